"""Marks ("look again") become deletes or vanish.

`INSERT OR REPLACE` removes rows without firing a delete trigger. A BEFORE trigger notes the rows that the statement may
remove, but the same trigger also fires for OR IGNORE, OR FAIL and UPSERT, which keep them. What came after tells which
it was. Walking backwards, a mark of a key is a delete if the next entry of that key creates it, or if there is none
and the row is gone; otherwise the row was there all the time, or its delete is an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

import apsw

from orchestrator.core.changes import Row
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import shapes
from orchestrator.till.database import rows

Entry = tuple[int, str, Row, Row]
"""seq, op, old key, new key."""


def resolve_marks(db: apsw.Connection) -> int:
    """Settles every open mark; the caller is in a write transaction. Returns how many became deletes."""
    first = dict(rows(db, "SELECT tab, min(seq) FROM tillsync_changelog WHERE op = 'M' GROUP BY tab"))
    if not first:
        return 0
    known = shapes.load(db)
    tables = {known[tab].shape.table for tab in first}
    deletes = 0
    for table in sorted(tables):
        of_table = [s for s in known.values() if s.shape.table == table]
        since = min(first[s.id] for s in of_table if s.id in first)
        deletes += _resolve_table(db, of_table, since)
    return deletes


def _resolve_table(db: apsw.Connection, of_table: list[shapes.StoredShape], since: int) -> int:
    newest = max(of_table, key=lambda s: s.id)
    created: dict[Row, bool] = {}  # whether the next entry of the key creates it
    removed: list[tuple[int]] = []
    void: list[tuple[int]] = []
    for seq, op, old, new in merge(*(_entries(db, s, since) for s in of_table), key=lambda e: -e[0]):
        if op == "M":
            gone = created[old] if old in created else not _exists(db, newest, old)
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
    columns = "".join(f", o{p}" for p in places) + "".join(f", n{p}" for p in places)
    # Fetched whole: _exists runs on the same connection, and the entries are changed after the walk.
    found = rows(
        db,
        f"SELECT seq, op{columns} FROM tillsync_changelog WHERE tab = ? AND seq >= ? ORDER BY seq DESC",
        (stored.id, since),
    )
    for row in found:
        yield row[0], row[1], row[2 : 2 + len(places)], row[2 + len(places) :]


def _exists(db: apsw.Connection, stored: shapes.StoredShape, key: Row) -> bool:
    """Whether the row is there under exactly this key: the first term may use an index of any collation."""
    where = " AND ".join(f"{q(n)} IS ?{i} AND {q(n)} IS ?{i} COLLATE BINARY" for i, n in enumerate(stored.till_key, 1))
    return bool(rows(db, f"SELECT 1 FROM main.{q(stored.till)} WHERE {where}", key))
