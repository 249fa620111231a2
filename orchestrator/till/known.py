"""The till's memory of captured rows: what they were when capture or an apply last accounted for them.

SQLite drops a table's triggers with the table, and an application's upgrade may rebuild any table. What is written then
is captured by nobody. The agent therefore keeps, for every table that goes up, the images of its rows (for append-only
tables the keys alone), brings them up to date with the changelog and with what it applies, and compares after every
change of the file's schema: what differs was missed, and is entered into the changelog as if it had been captured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import apsw

from orchestrator import assets
from orchestrator.core.plan import Channel, Table
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import shapes
from orchestrator.till.catalog import TillTable, inspect
from orchestrator.till.database import make_temp, rows, value
from orchestrator.till.shapes import StoredShape
from orchestrator.till.target import Target

PREFIX = "tillsync_known_"
MISSING_SHARE_MAX = 0.5
MISSING_ROWS_MIN = 20
"""Where more than this share of so many rows is gone, an upgrade emptied the table: nothing is deleted elsewhere."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What one comparison found. emptied: rows are gone in a number that is not taken for deletes."""

    central: str
    table: str
    rows: int
    emptied: bool = False
    lost_key: bool = False


@dataclass(frozen=True)
class Memory:
    """The memory of one table: whose shape it has, and the places of the image columns that it keeps."""

    stored: StoredShape
    places: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"main.{PREFIX}{self.stored.id}"

    @property
    def keeps_all(self) -> bool:
        return len(self.places) == len(self.stored.till_columns)

    def column(self, place: int) -> str:
        """The till's column of a place."""
        return self.stored.till_columns[place - 1]

    def sql(self, block: str, **more: str) -> str:
        """A block of `sql/till/known/queries.sql` for this memory."""
        key = self.stored.key_places
        same = [(f"t.{q(self.column(p))}", f"k.c{p}") for p in key]
        pieces = {
            "known": self.name,
            "shape": str(self.stored.id),
            "table": f"main.{q(self.stored.till)}",
            "columns": ", ".join(f"c{p}" for p in self.places),
            "key": ", ".join(f"c{p}" for p in key),
            "values": ", ".join(f"t.{q(self.column(p))}" for p in self.places),
            "has_key": " AND ".join(f"t.{q(self.column(p))} IS NOT NULL" for p in key),
            # The table's own collation finds the row by its index; the second term says whether it is the very key.
            "is_known": " AND ".join(f"{here} = {was} AND {here} IS {was} COLLATE BINARY" for here, was in same),
            # Without the plus the comparison would have the column's affinity, and the memory's key be no index for it.
            "known_is_row": " AND ".join(f"{was} = +{here}" for here, was in same),
        }
        return Template(assets.query(f"till/known.{block}")).substitute({**pieces, **more})


def memories(db: apsw.Connection) -> dict[str, Memory]:
    """What is remembered, by central's name of the table."""
    found: dict[str, Memory] = {}
    known = shapes.load(db)
    names = rows(db, "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name GLOB 'tillsync[_]known[_]*'")
    for (name,) in names:
        stored = known.get(int(name.removeprefix(PREFIX)))
        if stored is not None:
            places = tuple(int(c[1][1:]) for c in rows(db, f"PRAGMA main.table_info({name})"))
            found[stored.shape.table] = Memory(stored, tuple(sorted(places)))
    return found


def begin(stored: StoredShape, channel: Channel, table: Table) -> Iterator[str]:
    """The statements that start the memory of a table with what is there."""
    append_only = channel.direction == "up" and table.policy.policy == "append_only"
    every = tuple(range(1, len(stored.till_columns) + 1))
    memory = Memory(stored, tuple(sorted(stored.key_places)) if append_only else every)
    yield memory.sql("make")
    yield memory.sql("fill")


def end(memory: Memory) -> str:
    """The statement that forgets a table."""
    return f"DROP TABLE {memory.name}"


def follow(db: apsw.Connection) -> None:
    """Brings the memory up to the end of the changelog. Within a write transaction in which marks are settled."""
    after = value(db, "SELECT followed_seq FROM tillsync_watch")
    newest = value(db, "SELECT max(seq) FROM tillsync_changelog")
    if after is None or newest is None or newest <= after:
        return
    changed = dict(
        rows(db, "SELECT tab, max(op IN ('D', 'U')) FROM tillsync_changelog WHERE seq > ? GROUP BY tab", (after,))
    )
    for memory in memories(db).values() if changed else ():
        if memory.stored.id in changed:
            _follow(db, memory, after, is_new=not changed[memory.stored.id])
    db.execute("UPDATE tillsync_watch SET followed_seq = ?", (newest,))


def _follow(db: apsw.Connection, memory: Memory, after: int, *, is_new: bool) -> None:
    key = memory.stored.key_places
    images = ", ".join(f"n{p}" for p in memory.places)
    has_key = " AND ".join(f"n{p} IS NOT NULL" for p in key)
    db.execute(memory.sql("follow_made", images=images, has_key=has_key), (after,))
    if not is_new:
        statement = memory.sql(
            "follow_gone",
            old_key=", ".join(f"o{p} AS c{p}" for p in key),
            old_places=", ".join(f"o{p}" for p in key),
            new_key=", ".join(f"n{p} AS c{p}" for p in key),
            new_places=", ".join(f"n{p}" for p in key),
            gone_key=", ".join(f"gone.c{p}" for p in key),
            made_is_gone=" AND ".join(f"made.c{p} IS gone.c{p}" for p in key),
        )
        db.execute(statement, (after,))


def remember(db: apsw.Connection, target: Target, memory: Memory, keys: Iterable[Sequence[Any]] | None) -> None:
    """After an apply: rows of these keys (None: all rows) are what they are now. The caller followed before."""
    if keys is None:
        db.execute(f"DELETE FROM {memory.name}")
        db.execute(memory.sql("fill"))
        return
    touched = _touched(db, target)
    bound = ", ".join(f"?{i}" for i in range(1, len(target.key) + 1))
    db.executemany(f"INSERT OR IGNORE INTO temp.{touched} VALUES ({bound})", keys)
    _catch_up(db, target, memory)


def remember_staged(db: apsw.Connection, target: Target, memory: Memory, keys: str, values: Sequence[Any] = ()) -> None:
    """As `remember`, for the keys that a SELECT gives."""
    db.execute(f"INSERT OR IGNORE INTO temp.{_touched(db, target)} {keys}", values)
    _catch_up(db, target, memory)


def _touched(db: apsw.Connection, target: Target) -> str:
    """An empty temporary table for touched keys, by its name."""
    touched = target.temp("known")
    make_temp(db, touched, target.key_declaration())
    return touched


def _catch_up(db: apsw.Connection, target: Target, memory: Memory) -> None:
    """What is remembered of the touched keys becomes what their rows are now."""
    touched = target.temp("known")
    places = range(1, len(target.key) + 1)
    by_place = dict(zip(memory.stored.till_key, memory.stored.key_places, strict=True))
    pairs = [(f"k{i}", f"c{by_place[name]}", q(name)) for i, name in zip(places, target.key, strict=True)]
    if all(target.collation(name) == "BINARY" for name in target.key):
        listed = ", ".join(f"+{k}" for k, _, _ in pairs)
        is_touched = f"({', '.join(c for _, c, _ in pairs)}) IN (SELECT {listed} FROM temp.{touched})"
    else:  # a key may have come in another spelling than the one that is remembered
        same = " AND ".join(f"k.{k} = {c}" for k, c, _ in pairs)
        is_touched = f"EXISTS (SELECT 1 FROM temp.{touched} AS k WHERE {same})"
    is_known = " AND ".join(f"t.{n} = {c} AND t.{n} IS {c} COLLATE BINARY" for _, c, n in pairs)
    db.execute(memory.sql("applied_cut", is_touched=is_touched, is_known=is_known))
    is_key = " AND ".join(f"t.{n} = k.{k}" for k, _, n in pairs)
    db.execute(memory.sql("applied_put", touched=touched, is_key=is_key))


def rescan(db: apsw.Connection, memory: Memory, now: StoredShape) -> Missed:
    """Compares a table with what is remembered of it, and enters what was missed into the changelog in its shape."""
    till = inspect(db, now.till)
    key = [memory.column(p) for p in memory.stored.key_places]
    if memory.stored.till.lower() != now.till.lower() or any(till.column(k) is None for k in key):
        return Missed(now.shape.table, now.till, 0, lost_key=True)
    before = int(value(db, "SELECT count(*) FROM tillsync_changelog"))
    gone = int(value(db, memory.sql("count_gone")))
    emptied = gone >= MISSING_ROWS_MIN and gone > MISSING_SHARE_MAX * int(
        value(db, f"SELECT count(*) FROM {memory.name}")
    )
    for statement in _comparison(memory, now, till, deletes=not emptied):
        db.execute(statement)
    found = int(value(db, "SELECT count(*) FROM tillsync_changelog")) - before
    return Missed(now.shape.table, now.till, found, emptied=emptied)


def _comparison(memory: Memory, now: StoredShape, till: TillTable, *, deletes: bool) -> Iterator[str]:
    places = {memory.column(p).lower(): p for p in memory.places}
    width = range(1, len(now.till_columns) + 1)
    # A column that is not remembered is taken to be as it was.
    old = [f"k.c{places[n.lower()]}" if n.lower() in places else f"t.{q(n)}" for n in now.till_columns]
    common = {
        "shape": str(now.id),
        "log_old": ", ".join(f"o{i}" for i in width),
        "log_new": ", ".join(f"n{i}" for i in width),
        "new": ", ".join(f"t.{q(n)}" for n in now.till_columns),
    }
    if deletes:
        remembered = [f"k.c{places[n.lower()]}" if n.lower() in places else "NULL" for n in now.till_columns]
        yield memory.sql("rescan_gone", **{**common, "old": ", ".join(remembered)})
    key = {memory.column(p).lower() for p in memory.stored.key_places}
    compared = [n for n in now.till_columns if n.lower() in places and n.lower() not in key]
    if compared:
        differs = " OR ".join(_differs(f"t.{q(n)}", f"k.c{places[n.lower()]}") for n in compared)
        yield memory.sql("rescan_changed", **{**common, "old": ", ".join(old), "differs": differs})
    yield memory.sql("rescan_new", **common)


def _differs(here: str, was: str) -> str:
    return f"{here} IS NOT {was} COLLATE BINARY OR typeof({here}) <> typeof({was})"
