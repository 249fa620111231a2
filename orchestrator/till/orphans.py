"""Rows whose parent is not at the till. The agent does not enforce foreign keys; it says where they fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.catalog import ForeignKey
from orchestrator.till.database import rows
from orchestrator.till.target import Target, fill
from orchestrator.till.waiting import label

KEYS_MAX = 2_000
"""Above so many touched rows the whole table is looked through: it is one statement either way."""

REPORTED_MAX = 1_000


class Touched:
    """What a transaction put and cut, as far as foreign keys care."""

    def __init__(self) -> None:
        self._put: dict[str, list[Sequence[Any]]] = {}
        self._many: set[str] = set()
        self._cut: set[str] = set()

    def put(self, target: Target, keys: list[list[Any]]) -> None:
        if target.till.foreign_keys and target.table.name not in self._many:
            own = self._put.setdefault(target.table.name, [])
            own += keys
            if len(own) > KEYS_MAX:
                self._many.add(target.table.name)
                self._put.pop(target.table.name)

    def cut(self, target: Target) -> None:
        self._cut.add(target.till.name.lower())

    def all_of(self, target: Target) -> bool:
        """Whether the whole table is to be looked through: many rows came, or a parent of it went."""
        return target.table.name in self._many or any(f.parent.lower() in self._cut for f in target.till.foreign_keys)

    def keys_of(self, target: Target) -> list[Sequence[Any]]:
        return self._put.get(target.table.name, [])


def report(db: apsw.Connection, targets: Mapping[str, Target], touched: Touched, tick: int, at: str) -> None:
    """Brings the list of orphans up to date for the touched tables, before the commit."""
    known = {t for (t,) in rows(db, "SELECT DISTINCT central FROM tillsync_problem WHERE kind = 'orphan'")}
    for name, target in targets.items():
        whole = name in known or touched.all_of(target)
        keys = touched.keys_of(target)
        if not (whole or keys):
            continue
        if whole:
            db.execute("DELETE FROM tillsync_problem WHERE central = ? AND kind = 'orphan'", (name,))
        for foreign in target.till.foreign_keys:
            found = _orphans(db, target, foreign, None if whole else keys)
            db.executemany(fill("orphan"), [(name, label(k), _reason(foreign), tick, at) for k in found])


def _orphans(
    db: apsw.Connection, target: Target, foreign: ForeignKey, keys: Iterable[Sequence[Any]] | None
) -> list[tuple[Any, ...]]:
    source = f"{target.name} AS child"
    if keys is not None:
        table = target.temp("put")
        places = range(1, len(target.key) + 1)
        db.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({target.key_declaration()})")
        db.execute(f"DELETE FROM temp.{table}")
        bound = ", ".join(f"?{i}" for i in places)
        db.executemany(f"INSERT OR IGNORE INTO temp.{table} VALUES ({bound})", keys)
        is_key = target.is_key("child.", [f"p.k{i}" for i in places])
        source = f"temp.{table} AS p CROSS JOIN {target.name} AS child ON {is_key}"
    pairs = list(zip(foreign.columns, foreign.parent_columns, strict=True))
    sql = fill(
        "orphans",
        key=", ".join(f"child.{k}" for k in target.quoted_key),
        source=source,
        refers=" AND ".join(f"child.{q(c)} IS NOT NULL" for c, _ in pairs),
        parent=q(foreign.parent),
        is_parent=" AND ".join(f"parent.{q(p)} = child.{q(c)}" for c, p in pairs),
        limit=str(REPORTED_MAX),
    )
    return rows(db, sql)


def _reason(foreign: ForeignKey) -> str:
    return f"what {', '.join(foreign.columns)} refers to in {foreign.parent} is not at this till"
