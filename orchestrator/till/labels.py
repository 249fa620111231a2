"""Labels out of notices: what is due, as the row is now in the till's file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

import apsw

from orchestrator.core.labels import Label, price_text, text
from orchestrator.core.plan import Column
from orchestrator.core.values import quote_sqlite as q
from orchestrator.errors import ConfigError
from orchestrator.settings_parts import LabelSettings
from orchestrator.till import noticed
from orchestrator.till.database import rows
from orchestrator.till.noticed import Notice
from orchestrator.till.target import Target
from orchestrator.till.targets import targets_of

GUESSED = {
    "name": ("name", "title", "label", "description"),
    "price": ("price", "amount", "unit_price"),
    "unit": ("unit",),
    "code": ("barcode", "ean", "gtin", "code", "sku", "plu"),
    "note": ("note",),
    "valid_from": ("valid_from",),
}
"""What stands on a label, and the columns that it is looked for in where the settings have no query for the table."""


@dataclass(frozen=True, slots=True)
class Listed:
    """`labels` in the order of their names; `gone`: notices of rows that are not there any more."""

    labels: tuple[Label, ...]
    gone: tuple[Notice, ...]


def listed(db: apsw.Connection, settings: LabelSettings, kind: str = "label") -> Listed:
    """The labels that are due. Raises ConfigError TS-882 for a query of the settings that does not do."""
    targets = targets_of(db)
    labels: list[Label] = []
    gone: list[Notice] = []

    def row_of(notice: Notice) -> tuple[str, tuple[Any, ...]]:
        return notice.table, tuple(map(str, notice.key))

    with _reading_only(db):
        for _, group in groupby(sorted(noticed.due(db, kind), key=row_of), key=row_of):
            notices = list(group)
            fields = _fields(db, settings, targets.get(notices[0].table), notices[0])
            if fields is None:
                gone += notices
            else:
                labels.append(_label(settings, notices, fields))
    return Listed(tuple(sorted(labels, key=lambda label: (label.name.casefold(), label.table, label.ids))), tuple(gone))


def names(db: apsw.Connection, settings: LabelSettings, notices: Iterable[Notice]) -> list[str]:
    """What the rows of notices are called now; empty for one that is gone, or where that cannot be told."""
    targets = targets_of(db)

    def name_of(notice: Notice) -> str:
        try:
            fields = _fields(db, settings, targets.get(notice.table), notice)
        except ConfigError:
            return ""  # the labels themselves say what is wrong with their query
        return text((fields or {}).get("name"))

    with _reading_only(db):
        return [name_of(notice) for notice in notices]


def late(labels: Iterable[Label], today: date) -> int:
    """How many hang with a price that is not the one of today. Those of a list that begins later have time."""
    return sum(1 for label in labels if (label.valid_from or "")[:10] <= today.isoformat())


def _label(settings: LabelSettings, notices: list[Notice], fields: Mapping[str, Any]) -> Label:
    first = notices[0]
    begins = fields.get("valid_from")
    return Label(
        table=first.table,
        key=first.key,
        name=text(fields.get("name")),
        price=price_text(fields.get("price"), settings.currency, comma=settings.decimal_comma),
        unit=text(fields.get("unit")),
        code=text(fields.get("code")),
        note=text(fields.get("note")),
        valid_from=None if begins is None else text(begins),
        ids=tuple(n.id for n in notices),
    )


def _fields(
    db: apsw.Connection, settings: LabelSettings, target: Target | None, notice: Notice
) -> dict[str, Any] | None:
    if target is None:
        return None
    query = settings.query.get(target.table.name, settings.query.get(target.till.name))
    if query is None:
        query = _guessed(target)
    for key in _keys(notice.key):
        found = _first(db, query, dict(zip(target.key, key, strict=True)), target)
        if found is not None:
            return found
    return None


def _keys(key: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The key, and what it was where its texts stand for bytes: a notice has them as hexadecimal digits."""
    yield key
    try:
        yield tuple(bytes.fromhex(k) if isinstance(k, str) else k for k in key)
    except ValueError:
        return


def _first(db: apsw.Connection, query: str, key: dict[str, Any], target: Target) -> dict[str, Any] | None:
    where = f"[labels] query for {target.table.name}"
    try:
        cursor = db.execute(query, key)
        row = cursor.fetchone()
        names = [] if row is None else [c[0] for c in cursor.get_description()]
        cursor.close()
    except (apsw.Error, apsw.BindingsError) as e:
        raise ConfigError("TS-882", f"{where}: {e}", hint=f"it may use {', '.join(':' + k for k in key)}") from None
    if strange := set(names) - set(GUESSED):
        raise ConfigError(
            "TS-882", f"{where} has a column {min(strange)}", hint=f"a label has {', '.join(GUESSED)}: name it with AS"
        )
    return None if row is None else dict(zip(names, row, strict=True))


def _guessed(target: Target) -> str:
    """A query out of the plan: columns by head office's names, or the till's."""
    chosen = {field: _column(target.table.columns, names) for field, names in GUESSED.items()}
    listed = [f"{q(c.till)} AS {field}" for field, c in chosen.items() if c is not None]
    if chosen["code"] is None:
        listed.append(f"{target.quoted_key[0]} AS code")
    bound = [f":{name}" for name in target.key]
    if not all(name.isidentifier() for name in target.key):
        raise ConfigError(
            "TS-882", f"{target.till.name} has a key that needs a query of its own", hint="set [labels] query"
        )
    return f"SELECT {', '.join(listed)} FROM {target.name} AS held WHERE {target.is_key('held.', bound)}"


def _column(columns: Iterable[Column], names: tuple[str, ...]) -> Column | None:
    known = {name.lower(): c for c in reversed(tuple(columns)) for name in (c.till, c.name)}
    return next((known[n] for n in names if n in known), None)


@contextmanager
def _reading_only(db: apsw.Connection) -> Iterator[None]:
    """A query of the settings reads, whatever it says."""
    before = rows(db, "PRAGMA query_only")[0][0]
    db.pragma("query_only", True)
    try:
        yield
    finally:
        db.pragma("query_only", bool(before))
