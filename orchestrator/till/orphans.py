"""Rows whose parent is not at the till. The agent does not enforce foreign keys; it says where they fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.catalog import ForeignKey
from orchestrator.till.database import make_temp, rows, transaction
from orchestrator.till.target import Target, fill
from orchestrator.till.waiting import label

KEYS_MAX = 2_000
"""Above so many touched rows the whole table is looked through: it is one statement either way."""

REPORTED_MAX = 1_000

NOT_LOOKED = ""
"""The key of the line that says that a table is still to be looked through."""


class Touched:
    """What a transaction put and cut, as far as foreign keys care."""

    def __init__(self) -> None:
        self._put: dict[str, list[Sequence[Any]]] = {}
        self._many: set[str] = set()
        self._cut: set[str] = set()
        self._later: set[str] = set()
        self._cut_later: set[str] = set()

    def put(self, target: Target, keys: list[list[Any]]) -> None:
        if target.till.foreign_keys and target.table.name not in self._many:
            own = self._put.setdefault(target.table.name, [])
            own += keys
            if len(own) > KEYS_MAX:
                self._many.add(target.table.name)
                self._put.pop(target.table.name)

    def cut(self, target: Target) -> None:
        self._cut.add(target.till.name.lower())

    def postpone(self, target: Target, *, is_cut: bool) -> None:
        """Too many rows to look through under the lock."""
        self._later.add(target.table.name)
        if is_cut:
            self._cut_later.add(target.till.name.lower())

    def all_of(self, target: Target) -> bool:
        """Whether the whole table is to be looked through: many rows came, or a parent of it went."""
        return target.table.name in self._many or any(f.parent.lower() in self._cut for f in target.till.foreign_keys)

    def later(self, target: Target) -> bool:
        """Whether the whole table is to be looked through after the commit."""
        keys = target.till.foreign_keys
        return bool(keys) and (
            target.table.name in self._later or any(f.parent.lower() in self._cut_later for f in keys)
        )

    def keys_of(self, target: Target) -> list[Sequence[Any]]:
        return self._put.get(target.table.name, [])


def report(db: apsw.Connection, targets: Mapping[str, Target], touched: Touched, tick: int, at: str) -> None:
    """Brings the list of orphans up to date for the touched tables, before the commit."""
    known = {t for (t,) in rows(db, "SELECT DISTINCT central FROM tillsync_problem WHERE kind = 'orphan'")}
    for name, target in targets.items():
        whole = name in known or touched.all_of(target)
        keys = touched.keys_of(target)
        if (whole or keys) and not touched.later(target):
            _write(db, target, _find(db, target, None if whole else keys), tick, at, whole=whole)


def postpone(db: apsw.Connection, targets: Mapping[str, Target], touched: Touched, tick: int, at: str) -> None:
    """Notes that tables are still to be looked through, should the agent end before `catch_up`."""
    for name, target in targets.items():
        if touched.later(target):
            db.execute(fill("orphan"), (name, NOT_LOOKED, "its rows are still to be looked through", tick, at))


def catch_up(db: apsw.Connection, targets: Mapping[str, Target], tick: int, at: str) -> None:
    """Looks tables through that were postponed: without a lock, but for writing down what was found."""
    sql = "SELECT central FROM tillsync_problem WHERE kind = 'orphan' AND key = ?"
    for (name,) in rows(db, sql, (NOT_LOOKED,)):
        if name in targets:
            found = _find(db, targets[name], None)
            with transaction(db):
                _write(db, targets[name], found, tick, at, whole=True)


def _find(
    db: apsw.Connection, target: Target, keys: list[Sequence[Any]] | None
) -> list[tuple[tuple[Any, ...], ForeignKey]]:
    return [(k, f) for f in target.till.foreign_keys for k in _orphans(db, target, f, keys)]


def _write(
    db: apsw.Connection,
    target: Target,
    found: list[tuple[tuple[Any, ...], ForeignKey]],
    tick: int,
    at: str,
    *,
    whole: bool,
) -> None:
    name = target.table.name
    if whole:
        db.execute("DELETE FROM tillsync_problem WHERE central = ? AND kind = 'orphan'", (name,))
    db.executemany(fill("orphan"), [(name, label(k), _reason(f), tick, at) for k, f in found])


def _orphans(
    db: apsw.Connection, target: Target, foreign: ForeignKey, keys: Iterable[Sequence[Any]] | None
) -> list[tuple[Any, ...]]:
    source = f"{target.name} AS child"
    if keys is not None:
        table = target.temp("put")
        places = range(1, len(target.key) + 1)
        make_temp(db, table, target.key_declaration())
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
