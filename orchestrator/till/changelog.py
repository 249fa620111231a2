"""Reading a till's changelog, and the agent's write transaction, which first settles what the triggers left open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from orchestrator.core.changes import ORIGIN, Change, Position, Row
from orchestrator.till import drift, marks, shapes
from orchestrator.till.database import rows, transaction, value

KEEP_ENTRIES = 10_000
"""Answered entries that stay, for a central or relay that comes back from a backup and asks again."""

PURGE_ENTRIES = 5_000
"""How many go at once: a purge is a write of its own, and a bounded one."""

_BEFORE = 5  # columns before the images


@contextmanager
def settled(db: apsw.Connection) -> Iterator[None]:
    """The agent's one kind of write transaction. Before anything else, triggers are put right where the file's schema
    changed, entries come in order, and marks become deletes or vanish.

    So marks are found only behind everything an agent has seen, and no row is removed uncaptured over an open mark.
    """
    with transaction(db):
        drift.settle(db)
        marks.resolve_marks(db)
        yield
        marks.note(db)


def last(db: apsw.Connection) -> Position | None:
    """The newest position, or None where the changelog is empty."""
    found = rows(db, "SELECT seq, nonce FROM tillsync_changelog ORDER BY seq DESC LIMIT 1")
    return Position(*found[0]) if found else None


def has(db: apsw.Connection, position: Position) -> bool:
    """Whether a position is one of this file's own history. Entries up to the ack may be purged, the ack never is."""
    return position == ORIGIN or bool(
        rows(db, "SELECT 1 FROM tillsync_changelog WHERE seq = ? AND nonce = ?", position)
    )


def has_seq(db: apsw.Connection, seq: int) -> bool:
    """Whether there is an entry of this number, whatever its nonce."""
    return bool(rows(db, "SELECT 1 FROM tillsync_changelog WHERE seq = ?", (seq,)))


def has_after(db: apsw.Connection, seq: int) -> bool:
    """Whether anything was captured after a place, marks included."""
    return bool(rows(db, "SELECT 1 FROM tillsync_changelog WHERE seq > ? LIMIT 1", (seq,)))


def tables_after(db: apsw.Connection, seq: int) -> list[str]:
    """Central's names of the tables of which anything was captured after a place."""
    asked = "SELECT DISTINCT s.central FROM tillsync_changelog c JOIN tillsync_shape s ON s.id = c.tab WHERE c.seq > ?"
    return [name for (name,) in rows(db, asked, (seq,))]


def read(db: apsw.Connection, after: int, upto: int, rows_max: int) -> list[Change]:
    """Changes with after < seq <= upto, in order, at most rows_max. Change.shape is the number of a stored shape."""
    widths = {s.id: len(s.shape.columns) for s in shapes.load(db).values()}
    wide = max(widths.values(), default=0)
    images = [f"{image}{i}" for image in "on" for i in range(1, wide + 1)]
    try:
        found = _fetch(db, after, upto, rows_max, images)
    except UnicodeDecodeError:
        found = _fetch_bytewise(db, after, upto, rows_max, images)
    return [_change(row, widths[row[2]], _BEFORE + wide) for row in found]


def _fetch(db: apsw.Connection, after: int, upto: int, rows_max: int, images: list[str]) -> list[tuple[Any, ...]]:
    columns = ", ".join(["seq, nonce, tab, op, at", *images])
    where = "WHERE seq > ? AND seq <= ? AND op <> 'M' ORDER BY seq LIMIT ?"
    return rows(db, f"SELECT {columns} FROM tillsync_changelog {where}", (after, upto, rows_max))


def _fetch_bytewise(
    db: apsw.Connection, after: int, upto: int, rows_max: int, images: list[str]
) -> list[tuple[Any, ...]]:
    """As `_fetch`, where some text is no UTF-8: it goes up as the bytes that it is, and central parks the row."""
    blobs = [f"CASE typeof({c}) WHEN 'text' THEN CAST({c} AS BLOB) ELSE {c} END" for c in images]
    was_text = [f"typeof({c}) = 'text'" for c in images]
    found = _fetch(db, after, upto, rows_max, blobs + was_text)
    middle = _BEFORE + len(images)
    return [
        (*row[:_BEFORE], *(_text(v) if t else v for v, t in zip(row[_BEFORE:middle], row[middle:], strict=True)))
        for row in found
    ]


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _change(row: tuple[Any, ...], width: int, middle: int) -> Change:
    seq, nonce, tab, op, at = row[:_BEFORE]
    old = row[_BEFORE : _BEFORE + width] if op != "I" else None
    new = row[middle : middle + width] if op != "D" else None
    return Change(seq, nonce, tab, op, old, new, at)


def keys_of(stored: shapes.StoredShape, change: Change) -> set[Row]:
    """The keys that a change touches: two where it changes the key."""
    places = [p - 1 for p in stored.key_places]
    return {tuple(image[p] for p in places) for image in (change.old, change.new) if image is not None}


def pending_keys(db: apsw.Connection, ack: Position) -> dict[str, set[Row]]:
    """Central's table name -> keys with own changes that central has not answered."""
    known = shapes.load(db)
    found: dict[str, set[Row]] = {}
    newest = last(db)
    for change in read(db, ack.seq, newest.seq if newest else 0, -1):
        stored = known[change.shape]
        found.setdefault(stored.shape.table, set()).update(keys_of(stored, change))
    return found


def pending_count(db: apsw.Connection, ack: Position) -> int:
    """How many changes central has not answered."""
    return int(value(db, "SELECT count(*) FROM tillsync_changelog WHERE seq > ? AND op <> 'M'", (ack.seq,)))


def purge(db: apsw.Connection, ack: Position, *, keep: int = KEEP_ENTRIES, rows_max: int = PURGE_ENTRIES) -> int:
    """Removes the oldest answered entries but for the last `keep`, and never the ack's own. Within a transaction."""
    db.execute(
        "DELETE FROM tillsync_changelog WHERE seq < ?"
        " AND seq IN (SELECT seq FROM tillsync_changelog ORDER BY seq LIMIT ?)",
        (ack.seq - keep, rows_max),
    )
    return db.changes()
