"""The life of one row at a till: what it is there, what the till changed of it, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import shapes, state
from orchestrator.till.database import rows
from orchestrator.till.target import Target
from orchestrator.till.targets import targets_of
from orchestrator.till.waiting import label

ENTRIES_MAX = 20


def life(db: apsw.Connection, table: str, key: Sequence[str]) -> dict[str, Any] | None:
    """Everything that a till's file knows of a row; None where the till has no such table."""
    full = table if "." in table else f"public.{table}"
    target = targets_of(db).get(full)
    if target is None:
        return None
    values = _as_held(db, target, key)
    now = state.load(db)
    return {
        "node": now.node,
        "tick": now.tick,
        "row": _row(db, target, values),
        "changes": _changes(db, full, target, values, now),
        "held": [r for (r,) in rows(db, "SELECT reason FROM tillsync_held WHERE central = ?", (full,))],
        "problems": [
            {"kind": kind, "reason": reason, "tick": tick, "at": at}
            for kind, reason, tick, at in rows(
                db, "SELECT kind, reason, tick, at FROM tillsync_problem WHERE central = ? AND key = ?",
                (full, label(values)),
            )
        ],
        "notices": _notices(db, full, values),
    }  # fmt: skip


def _as_held(db: apsw.Connection, target: Target, key: Sequence[str]) -> tuple[Any, ...]:
    """The key's texts as the till's columns take them."""
    casts = ", ".join(f"CAST(? AS {target.column(k).affinity})" for k in target.key)
    return rows(db, f"SELECT {casts}", key)[0]


def _row(db: apsw.Connection, target: Target, key: Sequence[Any]) -> dict[str, Any] | None:
    names = [c.till for c in target.table.columns]
    bound = [f"?{i}" for i in range(1, len(target.key) + 1)]
    found = rows(
        db, f"SELECT {', '.join(map(q, names))} FROM {target.name} AS t WHERE {target.is_key('t.', bound)}", key
    )
    return dict(zip(names, found[0], strict=True)) if found else None


def _changes(
    db: apsw.Connection, table: str, target: Target, key: Sequence[Any], now: state.State
) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for stored in shapes.load(db).values():
        if stored.shape.table != table or len(stored.key_places) != len(key):
            continue
        same = [" AND ".join(f"{image}{p} = ?" for p in stored.key_places) for image in "on"]
        sql = (
            "SELECT seq, op, at FROM tillsync_changelog"
            f" WHERE tab = ? AND op <> 'M' AND (({same[0]}) OR ({same[1]})) ORDER BY seq DESC LIMIT {ENTRIES_MAX}"
        )
        for seq, op, at in rows(db, sql, (stored.id, *key, *key)):
            where = "answered" if seq <= now.ack.seq else "sent" if seq <= now.pushed.seq else "not sent yet"
            made.append({"seq": seq, "op": op, "at_ms": at, "state": where})
    return sorted(made, key=lambda m: -m["seq"])[:ENTRIES_MAX]


def _notices(db: apsw.Connection, table: str, key: Sequence[Any]) -> list[dict[str, Any]]:
    names = ("kind", "column", "old", "new", "tick", "at", "acked")
    sql = (
        f"SELECT {', '.join(map(q, names))} FROM tillsync_notice WHERE central = ? AND key = ? ORDER BY id DESC LIMIT ?"
    )
    text = msgspec.json.encode(list(key)).decode()
    return [dict(zip(names, row, strict=True)) for row in rows(db, sql, (table, text, ENTRIES_MAX))]
