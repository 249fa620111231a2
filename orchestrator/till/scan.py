"""Reading a whole table in slices, each a read of a few milliseconds: no lock is held in between.

What the application writes meanwhile is captured, so that whoever compares knows which rows are not as they were read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import Template
from typing import Any

import apsw

from orchestrator import assets
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.database import rows, value
from orchestrator.till.target import Target

SLICE_ROWS = 2_000


class Renumbered(Exception):
    """The file was rewritten (VACUUM, another schema) while it was read: places in it mean something else now."""


def scan(db: apsw.Connection, target: Target, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """The rows of a table as the till's values of these columns (by the till's names). Raises Renumbered."""
    names = [f"t.{q(c)}" for c in columns]
    at = _place(db, target)
    version = value(db, "PRAGMA main.schema_version")
    last: Sequence[Any] | None = None
    while found := _slice(db, target, at, names, last):
        yield from (row[len(at) :] for row in found)
        last = found[-1][: len(at)]
        if value(db, "PRAGMA main.schema_version") != version:
            raise Renumbered
        if len(found) < SLICE_ROWS:
            return


def _slice(
    db: apsw.Connection, target: Target, at: Sequence[str], columns: Sequence[str], last: Sequence[Any] | None
) -> list[tuple[Any, ...]]:
    place = ", ".join(at)
    bound = ", ".join(f"?{i}" for i in range(1, len(at) + 1))
    after = f"WHERE ({place}) > ({bound})" if last is not None else ""
    try:
        return rows(db, _sql(target, place, columns, after), last or ())
    except UnicodeDecodeError:
        # A text that is none is read as the bytes that it is, and so is every other text of the slice.
        bytewise = [f"CASE typeof({c}) WHEN 'text' THEN CAST({c} AS BLOB) ELSE {c} END" for c in columns]
        return rows(db, _sql(target, place, bytewise, after), last or ())


def _sql(target: Target, place: str, columns: Sequence[str], after: str) -> str:
    template = Template(assets.query("till/reconcile.slice"))
    return template.substitute(
        at=place, columns=", ".join(columns), table=target.name, after=after, rows=str(SLICE_ROWS)
    )


def _place(db: apsw.Connection, target: Target) -> list[str]:
    """What tells where a row is: its rowid, or the primary key of a table that has none."""
    taken = {c.name.lower() for c in target.till.columns}
    rowid = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    listed = rows(db, "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (target.till.name,))
    if rowid is not None and listed and not listed[0][0]:
        return [f"t.{rowid}"]
    primary = sorted((c for c in target.till.columns if c.pk), key=lambda c: c.pk)
    return [f"t.{q(c.name)}" for c in primary] or [f"t.{q(k)}" for k in target.key]
