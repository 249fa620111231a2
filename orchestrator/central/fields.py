"""The columns of a change as merging sees them, and the SQL that is about one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from orchestrator.central.facts import ColumnFacts
from orchestrator.central.pieces import Piece, joined, literal, raw
from orchestrator.core import encodings
from orchestrator.core.plan import Column


@dataclass(frozen=True)
class Field:
    """A column that a change carries: its place among the unit's fields, and in the images of the shape."""

    place: int
    source: int
    column: Column
    facts: ColumnFacts
    is_key: bool

    @property
    def name(self) -> str:
        return self.column.name

    def at(self, letter: str, alias: str = "s") -> Piece:
        """`s.n0`: this field's new (n), old (o), central (c) or outcome (v) value in stage or work."""
        return sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(f"{letter}{self.place}"))

    def differs(self, one: str, other: str) -> Piece:
        """Whether two of the field's values are not the same, NULL counted as a value."""
        return self._differ(self.at(one), self.at(other))

    @property
    def is_torn(self) -> Piece:
        """Whether the old value is not the new one of the change before it, in a window `w` of a row's changes."""
        return self._differ(self.at("o"), sql.SQL("(lag({}) OVER w)").format(self.at("n")))

    def _differ(self, one: Piece, other: Piece) -> Piece:
        forms = {"typed": "{}", "string": '{} COLLATE "C"', "text": '{}::text COLLATE "C"'}
        form = sql.SQL(forms[self.facts.compare])
        unit = encodings.named(self.column.encode).unit if self.column.encode else None
        if unit and self.column.kind != "date":
            form = sql.SQL(f"date_trunc('{unit}', {{}})")  # finer than this the till cannot hold it
        return sql.SQL("{} IS DISTINCT FROM {}").format(form.format(one), form.format(other))

    def declared(self, letter: str) -> Piece:
        collation = f" COLLATE {self.facts.collation}" if self.facts.collation else ""
        return sql.SQL("{} {}").format(sql.Identifier(f"{letter}{self.place}"), raw(self.facts.type + collation))


@dataclass(frozen=True)
class Constant:
    """A column that central gets and the till does not have, with the value for this node as text."""

    name: str
    type: str
    text: str | None

    @property
    def value(self) -> Piece:
        return sql.SQL("{}::{}").format(literal(self.text), raw(self.type))


def outcome(f: Field) -> Piece:
    """The field's value where no policy has to be asked: central's where the till did not change it."""
    kept = sql.SQL("s.there AND s.had AND s.has AND NOT ({})").format(f.differs("n", "o"))
    return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(kept, f.at("c"), f.at("n"))


def judged(f: Field) -> Piece:
    return sql.SQL("{} = (r.v ->> {})::{}").format(
        sql.Identifier(f"v{f.place}"), sql.Literal(f.place), raw(f.facts.type)
    )


def digits(fields: Iterable[Field], one: str, other: str) -> Piece:
    """A text with a 1 for each field whose two values differ, else a 0."""
    digits = (sql.SQL("CASE WHEN {} THEN '1' ELSE '0' END").format(f.differs(one, other)) for f in fields)
    return joined(digits, " || ", "''")


def name_if_changed(f: Field) -> Piece:
    return sql.SQL("CASE WHEN {} THEN {} END").format(f.differs("n", "o"), literal(f.name))
