"""Small pieces of SQL that statements about one table are composed of."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

Piece = sql.Composable


def comma(pieces: Iterable[Piece]) -> sql.Composed:
    return sql.SQL(", ").join(pieces)


def any_of(tests: Iterable[Piece]) -> Piece:
    return joined((sql.SQL("({})").format(t) for t in tests), " OR ", "false")


def joined(pieces: Iterable[Piece], between: str, nothing: str) -> Piece:
    found = list(pieces)
    return sql.SQL("({})").format(raw(between).join(found)) if found else raw(nothing)


def equal(name: str, value: Piece) -> Piece:
    return sql.SQL("t.{} = {}").format(column(name), value)


def json_object(names: Iterable[str], values: Iterable[Piece]) -> Piece:
    """A jsonb object of texts. The form with two arrays has no limit of a hundred arguments."""
    return sql.SQL("jsonb_object(ARRAY[{}]::text[], ARRAY[{}]::text[])").format(
        comma(map(literal, names)), comma(values)
    )


def raw(text: str) -> sql.SQL:
    return sql.SQL(text)


def column(name: str) -> sql.Identifier:
    # Every statement is run with parameters, so a per cent sign is doubled.
    return sql.Identifier(name.replace("%", "%%"))


def literal(value: str | None) -> sql.Literal:
    return sql.Literal(value if value is None else value.replace("%", "%%"))
