"""Rows of central's that could not be put, in tillsync_problem, until something newer comes for their keys.

Those that something else is in the way of are tried again with each apply ('waiting'); those whose values the till
cannot hold as they are ('unfit') are only reported: what the till had before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw
import msgspec

from orchestrator.till.database import rows
from orchestrator.till.target import Layout, Target, fill, layout

_OF_ROWS = "kind IN ('waiting', 'unfit')"
_Body = tuple[tuple[str, ...], tuple[Any, ...]]


def label(key: Sequence[Any]) -> str:
    """A key as it is shown and compared: JSON."""
    return msgspec.json.encode(key).decode()


def tables(db: apsw.Connection) -> frozenset[str]:
    """Central's names of the tables that have rows waiting."""
    sql = f"SELECT DISTINCT central FROM tillsync_problem WHERE {_OF_ROWS}"
    return frozenset(t for (t,) in rows(db, sql))


def add(db: apsw.Connection, found: Layout, row: Sequence[Any], reason: str, tick: int, at: str) -> None:
    """Keeps a row, in place of an older one of the same key."""
    key = label([row[p] for p in found.key_places])
    body = msgspec.msgpack.encode(([c.name for c in found.columns], list(row)))
    db.execute(fill("problem"), (found.target.table.name, key, "waiting", reason, body, tick, at))


def add_unfit(
    db: apsw.Connection, found: Layout, unfit: Iterable[tuple[Sequence[Any], str]], tick: int, at: str
) -> None:
    """Reports rows whose values the till cannot hold."""
    for row, reason in unfit:
        key = label([row[p] for p in found.key_places])
        db.execute(fill("problem"), (found.target.table.name, key, "unfit", reason, None, tick, at))


def forget(db: apsw.Connection, target: Target, keys: Iterable[Sequence[Any]]) -> None:
    """Something newer came for these keys."""
    sql = f"DELETE FROM tillsync_problem WHERE central = ? AND key = ? AND {_OF_ROWS}"
    db.executemany(sql, [(target.table.name, label(key)) for key in keys])


def forget_those(db: apsw.Connection, target: Target, is_news: Callable[[Sequence[Any]], bool]) -> None:
    """As `forget`, for the keys of which `is_news` says that something newer came."""
    sql = f"SELECT DISTINCT key FROM tillsync_problem WHERE central = ? AND {_OF_ROWS}"
    keys = [msgspec.json.decode(key) for (key,) in rows(db, sql, (target.table.name,))]
    forget(db, target, [key for key in keys if is_news(key)])


def forget_all(db: apsw.Connection, target: Target) -> None:
    db.execute(f"DELETE FROM tillsync_problem WHERE central = ? AND {_OF_ROWS}", (target.table.name,))


def before(db: apsw.Connection, target: Target, tick: int) -> list[tuple[Layout, list[Sequence[Any]]]]:
    """Rows that wait since before a tick, by the columns that they came with."""
    found: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    sql = "SELECT body FROM tillsync_problem WHERE central = ? AND kind = 'waiting' AND tick < ?"
    for (body,) in rows(db, sql, (target.table.name, tick)):
        columns, values = msgspec.msgpack.decode(body, type=_Body)
        found.setdefault(columns, []).append(values)
    layouts = [(layout(target, columns), bodies) for columns, bodies in found.items()]
    return [(known, [[v[p] for p in known.places] for v in bodies]) for known, bodies in layouts if known.is_complete]
