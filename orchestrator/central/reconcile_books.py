"""Checks of the books within a comparison: head office's side at the tick's snapshot, and what both ends come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json

from orchestrator import assets
from orchestrator.central import books
from orchestrator.central.schema import Prepared
from orchestrator.core.books import BookAnswer, BookAsk, compared, fitted, next_ask
from orchestrator.core.comparing import Answer
from orchestrator.core.reconciliation import BookComparison

ATTEMPTS_MAX = 8
"""A check whose rows are on their way is made again at so many ticks; then that is said."""

PREFIX = "book:"
"""Before a check's name, where what was compared is kept by table. No table is called so: its name has a dot."""

Asks = dict[str, BookAsk]


@dataclass(frozen=True)
class AskedBooks:
    """What one branch is asked of its books with a tick."""

    node: str
    params: Mapping[str, Any]
    asks: Asks


def asks_of(prepared: Prepared, asked: Any) -> Asks:
    """What is asked of checks that the plan has: as stored, or (None) a digest of each."""
    known = {book.name: BookAsk() for book in prepared.plan.books}
    given = known if asked is None else msgspec.convert(asked, Asks)
    return {name: ask for name, ask in given.items() if name in known}


def lay_down(conn: psycopg.Connection, prepared: Prepared, n: int, asked: Sequence[AskedBooks]) -> None:
    """Head office's side of a tick, in a transaction that sees what the tick saw."""
    for one in asked:
        for name, ask in one.asks.items():
            book = prepared.plan.book(name)
            assert book is not None
            made = books.evaluate(conn, book, one.node, one.params, prepared.plan.parameters, ask)
            given = {"n": n, "node": one.node, "book": name, "body": msgspec.msgpack.encode(made)}
            conn.execute(assets.query("central/reconcile.lay_down_book"), given)


def judge(conn: psycopg.Connection, prepared: Prepared, row: Mapping[str, Any], answer: Answer) -> Asks:
    """What is to be asked next, after what is known has been saved. `row`: the step, with its `books`."""
    following: Asks = {}
    sides, tables = _sides(conn, row["n"], row["node"]), {table.name for _, table in prepared.plan.tables()}
    for name, ask in asks_of(prepared, row["books"]).items():
        book, ours, theirs = prepared.plan.book(name), sides.get(name), answer.books.get(name)
        assert book is not None
        if ours is None or theirs is None:
            ours, theirs = (
                ours or BookAnswer(),
                theirs or BookAnswer(failed="it does not answer: upgrade Tillsync there"),
            )
        theirs = fitted(book, ask, theirs, tables)
        further = next_ask(ask, ours, theirs)
        if further is None:
            found = compared(book, ask, ours, theirs)
            if found.state == "in_flight" and row["step"] < ATTEMPTS_MAX:
                further = BookAsk()
            else:
                _save(conn, row, found)
        if further is not None:
            following[name] = further
    return following


def of_branch(prepared: Prepared, rows: Sequence[Mapping[str, Any]]) -> tuple[BookComparison, ...]:
    """The checks of the plan among what was kept of a branch, in the order of the plan."""
    kept = {r["tab"].removeprefix(PREFIX): r["body"] for r in rows if r["tab"] and r["tab"].startswith(PREFIX)}
    return tuple(msgspec.convert(kept[b.name], BookComparison) for b in prepared.plan.books if b.name in kept)


def _sides(conn: psycopg.Connection, n: int, node: str) -> dict[str, BookAnswer]:
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(assets.query("central/reconcile.books_of"), {"n": n, "node": node}).fetchall()
    return {r["book"]: msgspec.msgpack.decode(r["body"], type=BookAnswer) for r in found}


def _save(conn: psycopg.Connection, row: Mapping[str, Any], found: BookComparison) -> None:
    body = msgspec.to_builtins(found)
    given = {"node": row["node"], "tab": PREFIX + found.book, "n": row["n"], "tick_at": row["tick_at"]}
    conn.execute(assets.query("central/reconcile.save"), {**given, "body": Json(body)})
