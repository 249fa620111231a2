"""Whether a till's table can take part in the plan; a ConfigError names what is in the way and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import apsw

from orchestrator.core.plan import Channel, Table
from orchestrator.errors import ConfigError
from orchestrator.till.catalog import TillTable, inspect, kind_of
from orchestrator.till.database import rows


def fitting(db: apsw.Connection, channel: Channel, table: Table) -> TillTable:
    """The till's table, which has all that the plan needs. Raises ConfigError TS-510 to TS-516."""
    kind = kind_of(db, table.till)
    if kind is None:
        names = [n for (n,) in rows(db, "SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        hint = f"create it, or say till_name in the plan{_nearest(table.till, names)}"
        raise ConfigError("TS-510", f"the till has no table {table.till} for {table.name}", hint=hint)
    if kind != "table":
        raise ConfigError(
            "TS-515", f"{table.till} at the till is a {kind}", hint="name the table behind it as till_name"
        )
    till = inspect(db, table.till)
    _check_columns(table, till)
    _check_key(table, till)
    if channel.goes_down:
        _check_writable(table, till)
    return till


def _check_columns(table: Table, till: TillTable) -> None:
    for column in table.columns:
        if till.column(column.till) is None:
            near = _nearest(column.till, [c.name for c in till.columns])
            raise ConfigError(
                "TS-511",
                f"the till's table {till.name} has no column {column.till} for {table.name}.{column.name}",
                hint=f"map or exclude it in the plan{near}",
            )


def _check_key(table: Table, till: TillTable) -> None:
    names = tuple(c.till for c in table.till_key)
    listed = ", ".join(names)
    if not names:
        raise ConfigError(
            "TS-516", f"no key column of {table.name} is shipped to the till", hint="do not exclude its key"
        )
    if not till.is_unique(names):
        raise ConfigError(
            "TS-512",
            f"the till's table {till.name} has no unique rule over ({listed}), the key of {table.name}",
            hint=f"CREATE UNIQUE INDEX {till.name}_key ON {till.name} ({listed})",
        )


def _check_writable(table: Table, till: TillTable) -> None:
    shipped = {c.till.lower() for c in table.columns}
    for column in till.columns:
        if column.name.lower() in shipped:
            if column.generated:
                raise ConfigError(
                    "TS-514", f"{till.name}.{column.name} at the till is generated", hint="exclude it in the plan"
                )
        elif column.not_null and column.default is None and not column.generated and column.name != till.rowid_key:
            raise ConfigError(
                "TS-513",
                f"{till.name}.{column.name} at the till is NOT NULL, has no default, is not in the plan",
                hint="give it a default, or map a column of central to it",
            )


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" (the nearest name is {near[0]})" if near else ""
