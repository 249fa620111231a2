"""Notices: the net change of watched columns in a tick, from the rows before and after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.database import make_temp
from orchestrator.till.target import Target, fill


def start(db: apsw.Connection, target: Target) -> None:
    """Makes an empty list of touched rows."""
    watched = "".join(f", b{i}" for i in range(1, len(_watched(target)) + 1))
    make_temp(db, target.temp("touched"), f"was INTEGER{watched}, {target.key_declaration()}")


def touch(db: apsw.Connection, target: Target, keys: Iterable[Sequence[Any]]) -> None:
    """Notes keys whose rows are about to change."""
    places = range(1, len(target.key) + 1)
    names, values = ", ".join(f"k{i}" for i in places), ", ".join(f"?{i}" for i in places)
    db.executemany(f"INSERT OR IGNORE INTO temp.{target.temp('touched')} ({names}) VALUES ({values})", keys)


def remember(db: apsw.Connection, target: Target) -> None:
    """Notes the rows of the touched keys as they are now."""
    watched = _watched(target)
    sql = fill(
        "remember",
        touched=target.temp("touched"),
        before="".join(f", b{i}" for i in range(1, len(watched) + 1)),
        watched="".join(f", held.{q(n)}" for n in watched),
        table=target.name,
        is_key=target.is_key("held.", [f"{target.temp('touched')}.k{i}" for i in range(1, len(target.key) + 1)]),
    )
    db.execute(sql)


def touch_all(db: apsw.Connection, target: Target) -> None:
    """Notes the keys of all rows that are there: a snapshot is about to be compared with them."""
    names = ", ".join(f"k{i}" for i in range(1, len(target.key) + 1))
    own = ", ".join(target.quoted_key)
    db.execute(f"INSERT OR IGNORE INTO temp.{target.temp('touched')} ({names}) SELECT {own} FROM {target.name}")


def collect(db: apsw.Connection, target: Target, tick: int, at: str) -> None:
    """Writes a notice for each watched value that is another one now; also for rows that came or went."""
    notice = target.table.notice
    assert notice is not None
    places = range(1, len(target.key) + 1)
    key = ", ".join(f"CASE typeof(b.k{i}) WHEN 'blob' THEN hex(b.k{i}) ELSE b.k{i} END" for i in places)
    for i, (central, till) in enumerate(zip(notice.columns, _watched(target), strict=True), 1):
        sql = fill(
            "notice",
            touched_key=key,
            touched=target.temp("touched"),
            before=f"b{i}",
            column=q(till),
            table=target.name,
            is_key=target.is_key("held.", [f"b.k{i}" for i in places]),
            first_key=q(target.key[0]),
        )
        db.execute(sql, (notice.kind, target.table.name, target.till.name, central, tick, at))


def _watched(target: Target) -> tuple[str, ...]:
    """The watched columns by the till's names."""
    notice = target.table.notice
    names = {c.name: c.till for c in target.table.columns}
    return tuple(names[c] for c in notice.columns) if notice else ()
