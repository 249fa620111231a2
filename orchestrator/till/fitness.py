"""How much of the plan a till's tables can take part in, and a ConfigError for each thing in the way, with its remedy.

A till whose application is older than the plan, or newer, goes on with what it has: a column that it lacks stays away,
a table that does not fit is set aside whole. Nothing is lost by that: what the till lacks comes when it has it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apsw
import msgspec

from orchestrator import __version__
from orchestrator.core import encodings
from orchestrator.core.plan import Channel, Column, Notice, Plan, Table
from orchestrator.errors import ConfigError, PersonMustDecide
from orchestrator.till.catalog import TillTable, inspect, kind_of
from orchestrator.till.database import rows, value


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that the plan asks for and the till does not have; `column` is empty for a whole table."""

    channel: Channel
    table: Table
    column: str
    error: ConfigError


@dataclass(frozen=True, slots=True)
class Fitted:
    """The part of the plan that the till can obey, table by table, and what it cannot."""

    tables: tuple[tuple[Channel, Table, TillTable], ...]
    lacks: tuple[Lack, ...]


def fitted(db: apsw.Connection, plan: Plan) -> Fitted:
    """The plan cut down to what the file has."""
    tables: list[tuple[Channel, Table, TillTable]] = []
    lacks: list[Lack] = []
    for channel, table in plan.tables():
        try:
            till = _table(db, table)
            missing = dict(_missing(channel, table, till))
            own = _without(table, missing.keys())
            _check_key(own, till)
            if channel.goes_down:
                _check_required(own, till)
        except ConfigError as e:
            lacks.append(Lack(channel, table, "", e))
            continue
        tables.append((channel, own, till))
        lacks += [Lack(channel, table, name, e) for name, e in missing.items()]
    return Fitted(tuple(tables), tuple(lacks))


def check_age(db: apsw.Connection, plan: Plan) -> None:
    """Raises PersonMustDecide TS-532 where Tillsync, or the application's file, is older than the plan asks.

    The till then stays with the plan that it has: it goes on selling, and what it sells goes up.
    """
    if _numbers(__version__) < _numbers(plan.version_min):
        raise PersonMustDecide(
            "TS-532",
            f"plan {plan.version} needs Tillsync {plan.version_min} at the till, this is {__version__}",
            hint="upgrade Tillsync here; until then the till sends, and takes nothing",
        )
    found = int(value(db, "PRAGMA main.user_version"))
    if found < plan.schema_min:
        raise PersonMustDecide(
            "TS-532",
            f"plan {plan.version} needs user_version {plan.schema_min} of the till's file, which has {found}",
            hint="upgrade the till's application; until then the till sends, and takes nothing",
        )


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version)]


def _table(db: apsw.Connection, table: Table) -> TillTable:
    kind = kind_of(db, table.till)
    if kind is None:
        names = [n for (n,) in rows(db, "SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        hint = f"create it, or say till_name in the plan{_nearest(table.till, names)}"
        raise ConfigError("TS-510", f"the till has no table {table.till} for {table.name}", hint=hint)
    if kind != "table":
        raise ConfigError(
            "TS-515", f"{table.till} at the till is a {kind}", hint="name the table behind it as till_name"
        )
    return inspect(db, table.till)


def _missing(channel: Channel, table: Table, till: TillTable) -> Iterator[tuple[str, ConfigError]]:
    """Columns of the plan that the till does not have or cannot take. Raises where one of them is of the key."""
    for column in table.columns:
        error = _why_not(channel, table, column, till)
        if error is not None:
            if column.name in table.key:
                raise error
            yield column.name, error


def _why_not(channel: Channel, table: Table, column: Column, till: TillTable) -> ConfigError | None:
    found = till.column(column.till)
    if found is None:
        near = _nearest(column.till, [c.name for c in till.columns])
        return ConfigError(
            "TS-511",
            f"the till's table {till.name} has no column {column.till} for {table.name}.{column.name}",
            hint=f"map or exclude it in the plan, or go on without it with --partial{near}",
        )
    if channel.goes_down and found.generated:
        return ConfigError(
            "TS-514", f"{till.name}.{found.name} at the till is generated", hint="exclude it in the plan"
        )
    try:
        encodings.check(column)
    except ConfigError as e:  # of a plan that a newer head office made
        return ConfigError(e.code, f"{table.name}: {e.message}", hint="upgrade Tillsync at this till")
    return None


def _without(table: Table, missing: Iterable[str]) -> Table:
    gone = set(missing)
    if not gone:
        return table
    notice = table.notice
    watched = tuple(c for c in notice.columns if c not in gone) if notice else ()
    return msgspec.structs.replace(
        table,
        columns=tuple(c for c in table.columns if c.name not in gone),
        notice=Notice(notice.kind, watched) if notice and watched else None,
    )


def _check_key(table: Table, till: TillTable) -> None:
    names = tuple(c.till for c in table.till_key)
    listed = ", ".join(names)
    if not names:
        raise ConfigError(
            "TS-516", f"no key column of {table.name} is shipped to the till", hint="do not exclude its key"
        )
    if len(names) > 1 and till.rowid_key in names:
        # One row for each value of it, whatever the rest of the key is; and no ON CONFLICT can name such a pair.
        raise ConfigError(
            "TS-512",
            f"{till.name}.{till.rowid_key} is an INTEGER PRIMARY KEY, but only a part of the key ({listed})"
            f" of {table.name}",
            hint=f"make the till's table with PRIMARY KEY ({listed})",
        )
    if not till.is_unique(names):
        raise ConfigError(
            "TS-512",
            f"the till's table {till.name} has no unique rule over ({listed}), the key of {table.name}",
            hint=f"CREATE UNIQUE INDEX {till.name}_key ON {till.name} ({listed})",
        )


def _check_required(table: Table, till: TillTable) -> None:
    shipped = {c.till.lower() for c in table.columns}
    for column in till.columns:
        is_given = column.name.lower() in shipped or column.generated or column.name == till.rowid_key
        if not is_given and column.not_null and column.default is None:
            raise ConfigError(
                "TS-513",
                f"{till.name}.{column.name} at the till is NOT NULL, has no default, is not in the plan",
                hint="give it a default, or map a column of central to it",
            )


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" (the nearest name is {near[0]})" if near else ""
