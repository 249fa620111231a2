"""Filters against PostgreSQL itself: what is taken can be planned there, and type errors are its to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.unit.test_filters import CATALOG, PARAMETERS, TAKEN, parsed

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def connection(database: Callable[..., str]) -> Iterator[Connection]:
    with psycopg.connect(database("questions"), autocommit=True) as opened:
        opened.execute("CREATE SCHEMA extra")
        for info in CATALOG.values():
            columns = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in info.columns.items()]
            opened.execute(
                sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
                    sql.Identifier(info.schema, info.bare),
                    sql.SQL(", ").join(columns),
                    sql.SQL(", ").join(map(sql.Identifier, info.key)),
                )
            )
        parameters = ", ".join(f"p_{name} {pg_type}" for name, pg_type in PARAMETERS.items())
        opened.execute(f"CREATE TABLE streams ({parameters})".encode())
        yield opened


def test_what_is_taken_can_be_planned(connection: Connection) -> None:
    for text in TAKEN:
        compiled = parsed(text)
        connection.execute(compiled.question().encode())
        connection.execute(f"EXPLAIN SELECT FROM item r, streams s WHERE {compiled.predicate('r', 's')}".encode())
        for reach in compiled.reach("r", "s", lambda table, columns: None if table == "public.store" else table):
            routed = f"EXPLAIN SELECT FROM streams s, item r, {reach.sql_from} WHERE {reach.sql_where}"
            connection.execute(routed.encode())


@pytest.mark.parametrize("text", ["name = 3", "price", "lower(price) = 'x'", "id = (SELECT max(region) FROM store)"])
def test_types_are_postgresqls_business(connection: Connection, text: str) -> None:
    with pytest.raises(psycopg.errors.ProgrammingError):
        connection.execute(parsed(text).question().encode())
