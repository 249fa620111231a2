"""Checks of the books at head office: what their SQL gives, asked of PostgreSQL once, and evaluated for a branch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from orchestrator.core import book_language, books, values
from orchestrator.core.books import BookAnswer, BookAsk
from orchestrator.core.digest import central_text
from orchestrator.core.plan import Book, Column
from orchestrator.errors import ConfigError
from orchestrator.postgres import first_line
from orchestrator.settings_parts import BookSettings

SECONDS_MAX = 30
"""A check that takes longer at head office is given up, and said to have failed."""

OWN = {"node": "text"}
"""The parameter that every check has: the branch."""


def described(
    conn: psycopg.Connection, wanted: Iterable[BookSettings], parameters: Mapping[str, str]
) -> tuple[Book, ...]:
    """The checks as the plan has them, with the columns that PostgreSQL says.

    Raises ConfigError TS-820 for SQL that is no plain SELECT, TS-821 for columns that do not fit `group`, TS-822 for
    what PostgreSQL cannot plan.
    """
    return tuple(_described(conn, one, {**parameters, **OWN}) for one in wanted)


def evaluate(
    conn: psycopg.Connection, book: Book, node: str, params: Mapping[str, Any], types: Mapping[str, str], ask: BookAsk
) -> BookAnswer:
    """Head office's side of a check for a branch, in the snapshot of the caller's transaction, whose state it leaves
    as it was. `params`: the branch's parameters, of these `types`."""
    known = {**types, **OWN}
    text = book_language.with_parameters(book.central, known, "central")
    references = [f"q.c{i}" for i in range(1, len(book.columns) + 1)]
    texts = ", ".join(central_text(c, r) for c, r in zip(book.columns, references, strict=True)).replace("%", "%%")
    names = ", ".join(r.removeprefix("q.") for r in references)
    query = f"SELECT {texts} FROM ({text}) AS q({names}) LIMIT {books.GROUPS_MAX + 1}"
    given = {name: params.get(name) for name in types} | {"node": node}
    begun = time.monotonic()
    try:
        with conn.transaction(force_rollback=True), conn.cursor(row_factory=tuple_row) as cursor:
            _only_reads(conn)
            return books.answer(book, cursor.execute(query.encode(), given), ask)
    except psycopg.errors.QueryCanceled:
        if time.monotonic() - begun < SECONDS_MAX:
            raise  # by somebody who ends the agent
        return BookAnswer(failed="it took too long")
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.InternalError) as e:
        return BookAnswer(failed=first_line(e))


def _described(conn: psycopg.Connection, wanted: BookSettings, types: Mapping[str, str]) -> Book:
    book_language.check(wanted.name, "central", wanted.central, types)
    book_language.check(wanted.name, "till", wanted.till, OWN)
    text = book_language.with_nulls(wanted.central, types)
    try:
        with conn.transaction(force_rollback=True), conn.cursor() as cursor:
            _only_reads(conn)
            cursor.execute(f"SELECT * FROM ({text}) AS q LIMIT 0".encode())
            found = [(c.name, c.type_code, c.precision, c.scale) for c in cursor.description or ()]
            columns = tuple(_column(conn, *one) for one in found)
    except (psycopg.ProgrammingError, psycopg.DataError) as e:
        raise ConfigError(
            "TS-822", f"book {wanted.name}: {first_line(e)}", hint="PostgreSQL cannot plan head office's SQL"
        ) from e
    _check_columns(wanted, [c.name for c in columns])
    return Book(wanted.name, wanted.message, wanted.group, columns, wanted.central, wanted.till)


def _column(conn: psycopg.Connection, name: str, oid: int, precision: int | None, scale: int | None) -> Column:
    row = conn.execute("SELECT format_type(%s, NULL)", [oid]).fetchone()
    assert row is not None
    base = str(row[0])
    scaled = f"{base}({precision},{scale})" if base == "numeric" and precision else base
    return Column(name, scaled, values.kind_of(base), name)


def _check_columns(wanted: BookSettings, names: list[str]) -> None:
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ConfigError("TS-821", f"book {wanted.name}: two columns are named {twice}", hint="name each with AS")
    if tuple(names[: len(wanted.group)]) != wanted.group or len(names) == len(wanted.group):
        raise ConfigError(
            "TS-821",
            f"book {wanted.name}: its columns are {', '.join(names)}, its group {', '.join(wanted.group) or 'empty'}",
            hint="the columns of `group` come first, in that order, and at least one value follows",
        )


def _only_reads(conn: psycopg.Connection) -> None:
    """For what follows in this transaction: nothing is written, nothing takes long, `public` is meant."""
    conn.execute("SET TRANSACTION READ ONLY")
    conn.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(SECONDS_MAX * 1000))
    conn.execute("SET LOCAL search_path = public, pg_temp")
