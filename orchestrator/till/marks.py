"""Marks ("look again") become deletes or vanish.

`INSERT OR REPLACE` removes rows without firing a delete trigger. A BEFORE trigger notes the rows that the statement may
remove, but the same trigger also fires for OR IGNORE, OR FAIL and UPSERT, which keep them. What came after tells which
it was. Walking backwards, a mark of a key is a delete if the next entry of that key creates it, or if there is none
and the row is gone; otherwise the row was there all the time, or its delete is an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import Any

import apsw

from orchestrator.core.changes import Row
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import shapes
from orchestrator.till.cascades import settle_order
from orchestrator.till.database import rows, value

Entry = tuple[int, str, Row, Row]
"""seq, op, old key, new key."""

_BEFORE_MARKS = "coalesce(min(CASE op WHEN 'M' THEN seq END) - 1, max(seq), 0)"


def resolve_marks(db: apsw.Connection) -> int:
    """Settles every open mark; the caller is in a write transaction. Returns how many became deletes.

    What follows a mark is only told by entries in the order of what happened, so that is seen to first.
    """
    since = _noted(db)
    if since is None:  # what has no mark may have been sent
        since = int(value(db, f"SELECT {_BEFORE_MARKS} FROM tillsync_changelog"))
    if not rows(db, "SELECT 1 FROM tillsync_changelog WHERE seq > ? LIMIT 1", (since,)):
        return 0
    known = shapes.load(db)
    settle_order(db, since, known)
    found = "SELECT tab, min(seq) FROM tillsync_changelog WHERE op = 'M' AND seq > ? GROUP BY tab"
    first = dict(rows(db, found, (since,)))
    tables = {known[tab].shape.table for tab in first}
    deletes = 0
    for table in sorted(tables):
        of_table = [s for s in known.values() if s.shape.table == table]
        since = min(first[s.id] for s in of_table if s.id in first)
        deletes += _resolve_table(db, of_table, since)
    return deletes


def note(db: apsw.Connection) -> None:
    """All that is in the changelog is settled: the end of a write transaction that began with it."""
    newest = value(db, "SELECT coalesce(max(seq), 0) FROM tillsync_changelog")
    if _noted(db) not in (None, newest):
        db.execute("UPDATE tillsync_settled SET seq = ?", (newest,))


def _noted(db: apsw.Connection) -> int | None:
    """Up to where the changelog is settled; None where a version installed it that did not note that."""
    try:
        return int(value(db, "SELECT seq FROM tillsync_settled"))
    except apsw.SQLError:
        return None


def _resolve_table(db: apsw.Connection, of_table: list[shapes.StoredShape], since: int) -> int:
    newest = max(of_table, key=lambda s: s.id)
    created: dict[Row, bool] = {}  # whether the next entry of the key creates it
    removed: list[tuple[int]] = []
    void: list[tuple[int]] = []
    for seq, op, old, new in merge(*(_entries(db, s, since) for s in of_table), key=lambda e: -e[0]):
        if op == "M":
            gone = created[old] if old in created else not _exists(db, newest, seq)
            (removed if gone else void).append((seq,))
            if gone:
                created[old] = False
        elif op == "U" and old == new:
            created[new] = False
        else:
            if op != "D":
                created[new] = True
            if op != "I":
                created[old] = False
    db.executemany("UPDATE tillsync_changelog SET op = 'D' WHERE seq = ?", removed)
    db.executemany("DELETE FROM tillsync_changelog WHERE seq = ?", void)
    return len(removed)


def _entries(db: apsw.Connection, stored: shapes.StoredShape, since: int) -> Iterator[Entry]:
    """The entries of one shape, the newest first."""
    places = stored.key_places
    columns = [f"o{p}" for p in places] + [f"n{p}" for p in places]
    try:
        found = _fetch(db, stored, since, columns)
    except UnicodeDecodeError:
        # Text that is no UTF-8 is compared byte for byte, like all the rest then.
        bytewise = [f"CASE typeof({c}) WHEN 'text' THEN CAST({c} AS BLOB) ELSE {c} END" for c in columns]
        found = _fetch(db, stored, since, bytewise)
    for row in found:
        yield row[0], row[1], row[2 : 2 + len(places)], row[2 + len(places) :]


def _fetch(db: apsw.Connection, stored: shapes.StoredShape, since: int, columns: list[str]) -> list[tuple[Any, ...]]:
    # Fetched whole: _exists runs on the same connection, and the entries are changed after the walk.
    return rows(
        db,
        f"SELECT seq, op, {', '.join(columns)} FROM tillsync_changelog WHERE tab = ? AND seq >= ? ORDER BY seq DESC",
        (stored.id, since),
    )


def _exists(db: apsw.Connection, stored: shapes.StoredShape, seq: int) -> bool:
    """Whether the row of a mark is there under exactly its key: the first term may use an index of any collation."""
    pairs = [(f"t.{q(n)}", f"m.o{p}") for n, p in zip(stored.till_key, stored.key_places, strict=True)]
    same = " AND ".join(f"{here} IS {was} AND {here} IS {was} COLLATE BINARY" for here, was in pairs)
    table = f"tillsync_changelog AS m CROSS JOIN main.{q(stored.till)} AS t"
    return bool(rows(db, f"SELECT 1 FROM {table} WHERE m.seq = ? AND {same}", (seq,)))
