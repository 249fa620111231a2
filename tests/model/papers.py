"""Documents and contested values on the real chain: what is parked there, and what comes of it in the end.

`h` are headers and `l` their lines, which head office removes with them; `u` has a value that is unique at both ends.
A till's change of them may be parked. Until somebody decides, its row may differ; nothing else may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import apsw
import psycopg

LETTERS = "hlu"
CENTRAL = """
CREATE TABLE h (pk text PRIMARY KEY, store text, note text);
CREATE TABLE l (pk text PRIMARY KEY, h text REFERENCES h ON DELETE CASCADE, store text, qty numeric);
CREATE TABLE u (pk text PRIMARY KEY, store text, code text UNIQUE, note text);
"""
TILL = """
CREATE TABLE h (pk TEXT PRIMARY KEY, store TEXT, note TEXT);
CREATE TABLE l (pk TEXT PRIMARY KEY, h TEXT, store TEXT, qty NUMERIC);
CREATE TABLE u (pk TEXT PRIMARY KEY, store TEXT, code TEXT UNIQUE, note TEXT);
"""
CHANNEL: Mapping[str, Any] = {
    "name": "papers",
    "direction": "both",
    "table": [{"name": name, "filter": "store = :branch_id", "policy": "column_merge"} for name in LETTERS],
}
CODES = "KLM"
Sql = Callable[..., Any]


def write(sql: Sql, mark: str, rng: Random, store: str, fresh: Callable[[], str]) -> None:
    """One transaction of an application's. A statement that a unique value forbids fails, as it would in a shop."""
    known = {
        letter: [pk for (pk,) in sql(f"SELECT pk FROM {letter} WHERE store = {mark}", store)] for letter in LETTERS
    }
    doing = rng.choice([_document, _document, _line, _change, _undo, _value, _value, _other_value, _no_value])
    sql("BEGIN")
    try:
        for statement, *values in doing(rng, known, store, fresh):
            sql(statement.replace("?", mark), *values)
    except (apsw.ConstraintError, psycopg.errors.UniqueViolation):
        sql("ROLLBACK")
    else:
        sql("COMMIT")


Statements = Iterator[tuple[Any, ...]]


def _document(rng: Random, known: dict[str, list[str]], store: str, fresh: Callable[[], str]) -> Statements:
    header = fresh()
    yield ("INSERT INTO h VALUES (?, ?, 'made')", header, store)
    for _ in range(rng.randint(1, 3)):
        yield ("INSERT INTO l VALUES (?, ?, ?, 1)", fresh(), header, store)


def _line(rng: Random, known: dict[str, list[str]], store: str, fresh: Callable[[], str]) -> Statements:
    if known["h"]:
        header = rng.choice(known["h"])
        yield ("INSERT INTO l VALUES (?, ?, ?, 1)", fresh(), header, store)
        yield ("UPDATE h SET note = ? WHERE pk = ?", rng.choice("pqr"), header)


def _change(rng: Random, known: dict[str, list[str]], store: str, fresh: Callable[[], str]) -> Statements:
    for pk in rng.sample(known["l"], min(2, len(known["l"]))):
        yield ("UPDATE l SET qty = ? WHERE pk = ?", rng.randint(1, 9), pk)


def _undo(rng: Random, known: dict[str, list[str]], store: str, fresh: Callable[[], str]) -> Statements:
    if known["h"]:
        header = rng.choice(known["h"])
        yield ("DELETE FROM l WHERE h = ?", header)
        yield ("DELETE FROM h WHERE pk = ?", header)


def _value(rng: Random, known: dict[str, list[str]], store: str, fresh: Callable[[], str]) -> Statements:
    yield ("INSERT INTO u VALUES (?, ?, ?, 'made')", fresh(), store, rng.choice(CODES))


def _other_value(rng: Random, known: dict[str, list[str]], store: str, fresh: Callable[[], str]) -> Statements:
    if known["u"]:
        yield (
            "UPDATE u SET code = ?, note = ? WHERE pk = ?",
            rng.choice(CODES),
            rng.choice("pqr"),
            rng.choice(known["u"]),
        )


def _no_value(rng: Random, known: dict[str, list[str]], store: str, fresh: Callable[[], str]) -> Statements:
    if known["u"]:
        yield ("DELETE FROM u WHERE pk = ?", rng.choice(known["u"]))


def content(sql: Sql) -> dict[tuple[str, str], tuple[str, ...]]:
    """Every row of theirs, by table and key."""
    return {(letter, str(row[0])): tuple(map(str, row)) for letter in LETTERS for row in sql(f"SELECT * FROM {letter}")}


def differing(head: Sql, till: Sql, store: str) -> set[tuple[str, str]]:
    """Rows that differ between head office and a till that has this store's."""
    place = {"h": 1, "l": 2, "u": 1}
    wanted = {at: row for at, row in content(head).items() if row[place[at[0]]] == store}
    has = content(till)
    return {at for at in wanted.keys() | has.keys() if wanted.get(at) != has.get(at)}
