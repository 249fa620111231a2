"""Held rows: central has parked what this till wrote of them, and the till keeps its own until that is decided.

Central names the changes by their positions. Their keys are looked up in the changelog at once and kept, since entries
are purged. A held key is passed over like one with own changes that central has not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from orchestrator.till import shapes
from orchestrator.till.database import rows
from orchestrator.till.parts import News
from orchestrator.till.target import fill


def take(db: apsw.Connection, news: Sequence[News], tick: int, at: str) -> bool:
    """Brings the list up to date with what a tick says, and tells the operator how many rows wait now. Returns whether
    it said anything."""
    before = _counts(db) if any(one.held or one.free for one in news) else {}
    for one in news:
        for seq, nonce in one.free:
            db.execute("DELETE FROM tillsync_held WHERE seq = ? AND nonce = ?", (seq, nonce))
        for seq, nonce, reason in one.held:
            found = _key(db, seq, nonce)
            if found is not None:
                sql = "INSERT OR REPLACE INTO tillsync_held VALUES (?, ?, ?, ?, ?, ?, ?)"
                db.execute(sql, (seq, nonce, *found, reason, tick, at))
    if any(one.held or one.free for one in news):
        _tell(db, before, tick, at)
    return bool(news)


def forget_all(db: apsw.Connection) -> None:
    """In a new epoch, and to a till that starts anew, central says again what is held."""
    db.execute("DELETE FROM tillsync_held")


def keys(db: apsw.Connection) -> dict[str, list[dict[str, Any]]]:
    """The held keys by central's name of the table, each as values by central's names of the key columns."""
    found: dict[str, list[dict[str, Any]]] = {}
    for central, key in rows(db, "SELECT central, key FROM tillsync_held"):
        found.setdefault(central, []).append(msgspec.msgpack.decode(key))
    return found


def _counts(db: apsw.Connection) -> dict[str, int]:
    return dict(rows(db, "SELECT central, count(DISTINCT key) FROM tillsync_held GROUP BY central"))


def _tell(db: apsw.Connection, before: Mapping[str, int], tick: int, at: str) -> None:
    """One notice for a table: how many of its rows wait at head office. None is due any more when they are through."""
    after = _counts(db)
    for central in sorted(before.keys() | after.keys()):
        was, now = before.get(central), after.get(central)
        if was != now:
            db.execute(
                fill("tell"), ("parked", central, central.partition(".")[2], "[]", "waiting", was, now, tick, at)
            )


def _key(db: apsw.Connection, seq: int, nonce: int) -> tuple[str, bytes] | None:
    """The table and the key of a change of ours; None for one that this file does not have."""
    tabs = rows(db, "SELECT tab, op FROM tillsync_changelog WHERE seq = ? AND nonce = ?", (seq, nonce))
    stored = shapes.load(db).get(tabs[0][0]) if tabs else None
    if stored is None:
        return None
    image = "o" if tabs[0][1] == "D" else "n"
    columns = ", ".join(f"{image}{p}" for p in stored.key_places)
    (values,) = rows(db, f"SELECT {columns} FROM tillsync_changelog WHERE seq = ?", (seq,))
    return stored.shape.table, msgspec.msgpack.encode(dict(zip(stored.shape.key, values, strict=True)))
