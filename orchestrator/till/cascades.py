"""Puts entries of the changelog in the order of what happened, where SQLite wrote an effect before its cause.

A change of a row runs the actions of the foreign keys that refer to it, and the triggers of the rows these touch,
before the row's own AFTER trigger. Where such an effect reaches the table again (a row that refers to itself, a trigger
that writes back), the log has the second change of a row before the first. The rows as they are now tell: walking
backwards from them, every entry must have left its row as it is found. One that did not is put off until it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from string import Template
from typing import Any

import apsw

from orchestrator import assets
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.catalog import inspect
from orchestrator.till.database import rows
from orchestrator.till.shapes import StoredShape

Image = tuple[tuple[type, Any], ...]
"""A row's values with their types: 1 is not 1.0."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. The keys are parts of the images, and None where there is no image or a part is NULL."""

    seq: int
    shape: int
    op: str
    old: Image | None
    new: Image | None
    old_key: Image | None
    new_key: Image | None


def settle_order(db: apsw.Connection, since: int, known: dict[int, StoredShape]) -> int:
    """Orders what was captured after a place, within a write transaction. Returns how many entries changed places."""
    changed = [known[tab].till.lower() for (tab,) in rows(db, _sql("changed_tables"), (since,))]
    referred = _reaching_back(db) if changed else {}
    moved = 0
    for till in sorted(set(changed) & referred.keys()):
        of_table = [s for s in known.values() if s.till.lower() == till]
        if any(_may_have_caused(db, since, s, referred[till]) for s in of_table):
            moved += _order_table(db, since, of_table)
    return moved


def _reaching_back(db: apsw.Connection) -> dict[str, set[str]]:
    """Tables whose changes may come back to them before they are logged, with the columns that are referred to."""
    refers: dict[str, set[str]] = {}
    columns: dict[str, set[str]] = {}
    for parent, child, column in rows(db, _sql("actions")):
        refers.setdefault(parent.lower(), set()).add(child.lower())
        columns.setdefault(parent.lower(), set()).update([column.lower()] if column else _primary_key(db, parent))
    triggered = {name for (name,) in rows(db, _sql("with_triggers"))} if refers else set()
    return {t: columns[t] for t in refers if (triggered | {t}) & _reached(t, refers)}


def _reached(table: str, refers: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [table]
    while ahead:
        new = refers.get(ahead.pop(), set()) - found
        found |= new
        ahead += new
    return found


def _primary_key(db: apsw.Connection, table: str) -> list[str]:
    return [c[1].lower() for c in rows(db, f"PRAGMA main.table_info({q(table)})") if c[5]]


def _may_have_caused(db: apsw.Connection, since: int, stored: StoredShape, referred: set[str]) -> bool:
    places = [p for p, n in enumerate(stored.till_columns, 1) if n.lower() in referred]
    seen = " OR ".join(f"o{p} IS NOT n{p}" for p in places)
    moved = seen if len(places) == len(referred) else "1"
    return bool(rows(db, _sql("may_have_caused", shape=str(stored.id), moved=moved), (since,)))


def _order_table(db: apsw.Connection, since: int, of_table: list[StoredShape]) -> int:
    """Over the columns that every shape of the table has, and the table too."""
    till = max(of_table, key=lambda s: s.id)
    there = {c.name.lower() for c in inspect(db, till.till).columns}
    for stored in of_table:
        there &= {n.lower() for n in stored.till_columns}
    columns = [n.lower() for n in till.till_columns if n.lower() in there]
    key = [n.lower() for n in till.till_key]
    if not set(key) <= there:
        return 0
    places = [columns.index(k) for k in key]
    walk = _Walk(_Table(db, till.till, of_table, columns, key))
    found = (_entries(db, since, stored, columns, places) for stored in of_table)
    for entry in merge(*found, key=lambda e: -e.seq):
        walk.meet(entry)
    return _put(db, list(reversed(walk.order)))


def _entries(
    db: apsw.Connection, since: int, stored: StoredShape, columns: list[str], key: list[int]
) -> Iterator[Entry]:
    place = {n.lower(): p for p, n in enumerate(stored.till_columns, 1)}
    images = ", ".join(_exact(f"{image}{place[c]}") for image in "on" for c in columns)
    # Fetched whole: rows are read on the same connection, and the entries are changed after the walk.
    for seq, op, *values in rows(db, _sql("entries", images=images, shape=str(stored.id)), (since,)):
        old = None if op == "I" else _image(values[: len(columns)])
        new = _image(values[len(columns) :]) if op in "IU" else None
        yield Entry(seq, stored.id, op, old, new, _key(old, key), _key(new, key))


class _Table:
    """The rows as they are now."""

    def __init__(
        self, db: apsw.Connection, till: str, of_table: list[StoredShape], columns: list[str], key: list[str]
    ) -> None:
        self.db = db
        images = ", ".join(_exact(f"t.{q(c)}") for c in columns)
        self.lookup: dict[tuple[int, str], str] = {}
        for stored in of_table:
            place = {n.lower(): p for p, n in enumerate(stored.till_columns, 1)}
            for image in "on":
                pairs = [(f"t.{q(k)}", f"m.{image}{place[k]}") for k in key]
                same = " AND ".join(f"{here} IS {was} AND {here} IS {was} COLLATE BINARY" for here, was in pairs)
                self.lookup[stored.id, image] = _sql("row", images=images, table=q(till), same=same)

    def row(self, entry: Entry, image: str) -> Image | None:
        """The row that has the key of an entry's image."""
        found = self.db.execute(self.lookup[entry.shape, image], (entry.seq,)).fetchone()
        return None if found is None else _image(found)


@dataclass
class _Walk:
    """Backwards from the rows as they are. `order`: entries as they are undone, the last that happened first."""

    table: _Table
    order: list[int] = field(default_factory=list)
    state: dict[Image, Image | None] = field(default_factory=dict)
    put_off: dict[Image, list[Entry]] = field(default_factory=dict)

    def meet(self, entry: Entry) -> None:
        if self._fits(entry):
            self._undo(entry)
        else:
            for key in _keys(entry):
                self.put_off.setdefault(key, []).append(entry)

    def _fits(self, entry: Entry) -> bool:
        """Whether the entry can be what made the rows as they are found. A mark never is in the way."""
        if entry.op == "M":
            return True
        if entry.new_key is not None and self._now(entry, "n") != entry.new:
            return False
        return entry.old_key in (None, entry.new_key) or self._now(entry, "o") is None

    def _now(self, entry: Entry, image: str) -> Image | None:
        key = entry.new_key if image == "n" else entry.old_key
        assert key is not None
        if key not in self.state:
            self.state[key] = self.table.row(entry, image)
        return self.state[key]

    def _undo(self, entry: Entry) -> None:
        """Takes the entry back, and then all that was put off and fits now."""
        ready: Entry | None = entry
        touched: list[Image] = []
        while ready is not None:
            self.order.append(ready.seq)
            if ready.op == "M" and ready.old_key is not None and self._now(ready, "o") is None:
                self.state[ready.old_key] = ready.old
            elif ready.op != "M":
                if ready.new_key is not None:
                    self.state[ready.new_key] = None
                if ready.old_key is not None:
                    self.state[ready.old_key] = ready.old
            touched += _keys(ready)
            ready = self._next(touched)

    def _next(self, touched: list[Image]) -> Entry | None:
        for key in touched:
            for entry in self.put_off.get(key, ()):
                if self._fits(entry):
                    for own in _keys(entry):
                        self.put_off[own].remove(entry)
                    return entry
        return None


def _put(db: apsw.Connection, order: list[int]) -> int:
    """Gives the entries the places that they have among them, in this order. What fitted nowhere stays where it is."""
    moved = [(place, seq) for place, seq in zip(sorted(order), order, strict=True) if place != seq]
    db.executemany(_sql("aside"), moved)
    if moved:
        db.execute(_sql("back"))
    return len(moved)


def _keys(entry: Entry) -> set[Image]:
    return {k for k in (entry.old_key, entry.new_key) if k is not None}


def _exact(column: str) -> str:
    """A value that can be read whatever it is: text need not be UTF-8, so its bytes are taken, marked as a text's."""
    return f"CASE typeof({column}) WHEN 'text' THEN CAST('t' || {column} AS BLOB) ELSE {column} END"


def _image(values: Iterable[Any]) -> Image:
    return tuple((type(v), v) for v in values)


def _key(image: Image | None, places: list[int]) -> Image | None:
    """The key of an image; one with a NULL names no row."""
    if image is None:
        return None
    key = tuple(image[p] for p in places)
    return None if any(v is None for _, v in key) else key


def _sql(block: str, **pieces: str) -> str:
    return Template(assets.query(f"till/cascades.{block}")).substitute(pieces)
