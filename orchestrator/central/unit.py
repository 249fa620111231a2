"""One table of an upload as merging sees it, and the names and expressions that the SQL of merging is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from msgspec.structs import replace
from psycopg import sql

from orchestrator import assets
from orchestrator.central import scope as scopes
from orchestrator.central.capture import identifier, log_name
from orchestrator.central.facts import Facts
from orchestrator.central.fields import Constant, Field, digits, judged, name_if_changed, outcome
from orchestrator.central.pieces import Piece, any_of, column, comma, equal, joined, json_object, literal, raw
from orchestrator.central.scope import Scope
from orchestrator.core import encodings
from orchestrator.core.changes import Shape
from orchestrator.core.documents import Document
from orchestrator.core.plan import Channel, Column, Plan, Table
from orchestrator.errors import ConfigError, TillsyncError
from orchestrator.policies import rules
from orchestrator.policies.contest import Judges, Rules


@dataclass(frozen=True)
class Unit:
    """The changes of one table in one shape. Units are made per branch, their temporary tables once per session.

    alike: pieces that are the same for every branch, filled in by the first that asks.
    """

    table: Table
    direction: str
    shape: Shape
    fields: tuple[Field, ...]
    constants: tuple[Constant, ...]
    rules: Rules
    document: Document
    scope: Scope | None = None
    alike: dict[str, Piece] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def keys(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.is_key)

    @cached_property
    def values(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if not f.is_key)

    def sql(self, block: str, **more: Piece) -> sql.Composed:
        """A block of `sql/central/merge/queries.sql`, or of another file that it names, with this unit's names filled
        in; run it with parameters."""
        return sql.SQL(assets.query(block if "." in block else f"central/merge.{block}")).format(**self.pieces, **more)

    @cached_property
    def pieces(self) -> Mapping[str, Piece]:
        if not self.alike:
            made = {**self._images(), **self._judgement()}
            self.alike.update({name: raw(piece.as_string(None)) for name, piece in made.items()})
        return {**self._tables(), **self.alike, **self._json()}

    @cached_property
    def _digest(self) -> str:
        defined = repr([(f.name, f.facts, f.is_key) for f in self.fields])
        return hashlib.sha256(f"{self.table.name} {defined}".encode()).hexdigest()[:16]

    def _tables(self) -> dict[str, Piece]:
        key_fields = {f.name: f for f in self.keys}
        fixed = {c.name: c for c in self.constants}
        matches = [
            equal(name, key_fields[name].at("n") if name in key_fields else fixed[name].value)
            for name in self.table.key
        ]
        names = [f.name for f in self.fields] + [c.name for c in self.constants]
        constants = [c.value for c in self.constants]
        return {
            "stage": sql.Identifier("pg_temp", f"tillsync_stage_{self._digest}"),
            "work": sql.Identifier("pg_temp", f"tillsync_work_{self._digest}"),
            "later": sql.Identifier("pg_temp", f"tillsync_later_{self._digest}"),
            "target": identifier(self.table.name),
            "log": sql.Identifier(log_name(self.table.name)),
            "match": sql.SQL(" AND ").join(matches),
            "key": comma(map(column, self.table.key)),
            "one_key": column(self.table.key[0]),
            "target_key": comma(sql.SQL("t.{}").format(column(k)) for k in self.table.key),
            "key_values": comma(key_fields[k].at("n") if k in key_fields else fixed[k].value for k in self.table.key),
            "columns": comma(map(column, names)),
            "new_values": comma([*(f.at("n") for f in self.fields), *constants]),
            "outcome_values": comma([*(f.at("v") for f in self.fields), *constants]),
            # A key that comes from `set` alone is the same in every row.
            "stage_key": comma(f.at("n") for f in self.keys) if self.keys else raw("(s.at IS NULL)"),
            "same_key": joined(
                (sql.SQL("{} = {}").format(f.at("n"), f.at("n", "k")) for f in self.keys), " AND ", "true"
            ),
        }

    def _images(self) -> dict[str, Piece]:
        each = self.fields
        return {
            "stage_columns": comma(f.declared(letter) for letter in "no" for f in each),
            "work_columns": comma(f.declared(letter) for letter in "nocv" for f in each),
            **{letter: comma(sql.Identifier(f"{letter}{f.place}") for f in each) for letter in "nocv"},
            **{f"s_{letter}": comma(f.at(letter) for f in each) for letter in "noc"},
            **{f"{letter}_text": comma(sql.SQL("{}::text").format(f.at(letter)) for f in each) for letter in "noc"},
            "k_o": comma(f.at("o", "k") for f in each),
            "t_c": comma(sql.SQL("t.{} AS {}").format(column(f.name), sql.Identifier(f"c{f.place}")) for f in each),
            "outcome": comma(outcome(f) for f in each),
            "judged": comma(judged(f) for f in each),
            "mask": digits(self.values, "v", "c"),
            **{f"{side}_json": self._image_json(side[0]) for side in ("old", "new", "central")},
            **{f"{a}_{b}": digits(each, a, b) for a, b in ("no", "co", "nc")},
        }

    def _judgement(self) -> dict[str, Piece]:
        return {
            "deletes": sql.Literal(self.rules.table.deletes),
            "moved_here": any_of(f.differs("c", "o") for f in self.values),
            "differs": any_of(self._meets(f) for f in self.values),
            "clashes": any_of(self._clash(f) for f in self.values),
            "torn": any_of(f.is_torn for f in self.values),
            "changed_columns": sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(
                comma(name_if_changed(f) for f in self.fields)
            ),
        }

    def _json(self) -> dict[str, Piece]:
        fixed = {c.name: literal(c.text) for c in self.constants}
        texts = {f.name: sql.SQL("{}::text").format(f.at("n")) for f in self.keys}
        return {
            "key_json": json_object(self.table.key, ({**fixed, **texts}[k] for k in self.table.key)),
            "document": self._document(),
            "op": sql.SQL("CASE WHEN NOT s.has THEN 'D' WHEN s.had THEN 'U' ELSE 'I' END"),
        }

    def _document(self) -> Piece:
        """The header's table and key as one text, out of the new image, or the old one where the row is deleted."""
        by_name = {f.name: f for f in self.fields}
        fixed = {c.name: literal(c.text) for c in self.constants}
        document = self.document
        if any(c not in by_name and c not in fixed for c in document.columns):
            document = Document(self.table.name, self.table.key)  # captured before the column came
        form = sql.SQL("(CASE WHEN s.has THEN {} ELSE {} END)::text")
        texts = {
            n: sql.SQL("{}::text").format(f.at("n")) if f.is_key else form.format(f.at("n"), f.at("o"))
            for n, f in by_name.items()
        }
        parts = [literal(document.root), *((texts | fixed)[c] for c in document.columns)]
        return sql.SQL("concat_ws(chr(31), {})").format(comma(parts))

    def document_of(self, key: Mapping[str, Any]) -> str | None:
        """The same out of texts by column; None where one is missing or no text."""
        found = [key.get(c) for c in self.document.columns]
        if any(not isinstance(v, str) for v in found):
            return None
        return "\x1f".join([self.document.root, *map(str, found)])

    def _image_json(self, letter: str) -> Piece:
        texts = (sql.SQL("{}::text").format(f.at(letter)) for f in self.fields)
        return json_object((f.name for f in self.fields), texts)

    def _clash(self, f: Field) -> Piece:
        """Whether the field of a row that both sides have needs its policy."""
        tests = [f.differs("n", "o")]
        if self.judges(f) is not Judges.MOVES:
            tests.append(f.differs("n", "c"))
        if self.judges(f) is not Judges.EVERY_CHANGE:
            tests.append(f.differs("c", "o"))
        return sql.SQL("({})").format(sql.SQL(" AND ").join(tests))

    def _meets(self, f: Field) -> Piece:
        """Whether the field of a row that both sides made needs its policy."""
        return raw("true") if self.judges(f) is Judges.MOVES else f.differs("n", "c")

    def judges(self, f: Field) -> Judges:
        return self.rules.of(f.name).judges

    def assignments(self, mask: str) -> Piece:
        """`SET` for the columns that a mask names."""
        changed = (f for f, bit in zip(self.values, mask, strict=True) if bit == "1")
        return comma(sql.SQL("{} = {}").format(column(f.name), f.at("v")) for f in changed)

    @cached_property
    def vacant(self) -> tuple[Field, ...]:
        """Columns of other unique rules than the key that may be empty."""
        unique = {name for rule in self.table.unique for name in rule}
        return tuple(f for f in self.values if f.name in unique and f.facts.nullable)

    def vacating(self) -> dict[str, Piece]:
        """`SET` that empties them where they change, and where any does."""
        form = sql.SQL("{0} = CASE WHEN {1} THEN NULL ELSE t.{0} END")
        emptied = comma(form.format(column(f.name), f.differs("v", "c")) for f in self.vacant)
        return {"emptied": emptied, "handed_on": any_of(f.differs("v", "c") for f in self.vacant)}

    def key_of(self, image: Sequence[str | None]) -> dict[str, str | None]:
        """The row's whole key out of an image of texts."""
        found = {c.name: c.text for c in self.constants} | {f.name: image[f.place] for f in self.keys}
        return {name: found[name] for name in self.table.key}

    def placeholders(self) -> Piece:
        """Parameters k0, k1.. for the values of the whole key, given as text."""
        types = {f.name: f.facts.type for f in self.keys} | {c.name: c.type for c in self.constants}
        return comma(
            sql.SQL("{}::{}").format(sql.Placeholder(f"k{i}"), raw(types[k])) for i, k in enumerate(self.table.key)
        )


def make(channel: Channel, table: Table, shape: Shape, facts: Facts, node: str, params: Mapping[str, Any]) -> Unit:
    """The unit of a table and a shape.

    Raises TS-314 where the shape does not carry the key, TS-311 where central has lost a column of the plan.
    """
    at_central = facts.columns.get(table.name, {})
    missing = [name for name in (*table.column_names, *table.set) if name not in at_central]
    if missing:
        raise TillsyncError(
            "TS-311", f"{table.name} has no column {missing[0]} any more", hint="run `tillsync install central` again"
        )
    places = {name: place for place, name in enumerate(shape.columns)}
    columns = [_as_captured(c, shape, places[c.name]) for c in table.columns if c.name in places]
    fields = tuple(
        Field(place, places[c.name], c, at_central[c.name], c.name in table.key) for place, c in enumerate(columns)
    )
    carried = {f.name for f in fields if f.is_key}
    if any(k not in carried and k not in table.set for k in table.key):
        raise TillsyncError(
            "TS-314", f"{node} sends {table.name} without its key", hint="run `tillsync install till` there again"
        )
    constants = tuple(
        Constant(name, at_central[name].type, _given(given, node, params)) for name, given in table.set.items()
    )
    document = facts.documents.get(table.name, Document(table.name, table.key))
    scope = scopes.of(facts.scopes.get(table.name), facts.parameters, params)
    return Unit(table, channel.direction, shape, fields, constants, rules(table), document, scope, facts.alike(shape))


def whole(channel: Channel, table: Table, facts: Facts, node: str, params: Mapping[str, Any]) -> Unit:
    """The unit of a table with all the columns that it has in the plan."""
    shape = Shape(table.name, table.column_names, tuple(c.name for c in table.till_key))
    return make(channel, table, shape, facts, node, params)


def find(
    conn: psycopg.Connection, plan: Plan, shape: Shape, facts: Facts, node: str, params: Mapping[str, Any]
) -> Unit | None:
    """The unit of a shape that a branch sends; None for a table in no plan.

    Raises as `make` does, and TS-541 for a column that is not the branch's to send.
    """
    found = plan.find(shape.table)
    if found is None:
        return None
    scopes.check_columns(conn, node, found[1], shape)
    return make(*found, shape, facts, node, params)


def _as_captured(column: Column, shape: Shape, place: int) -> Column:
    """The column with the encoding that its values were captured in, which the plan's may not be any more."""
    if not shape.encodings:
        return column
    if len(shape.encodings) != len(shape.columns):
        raise TillsyncError("TS-310", f"a shape of {shape.table} is not whole", hint="look at its sender")
    captured = replace(column, encode=shape.encodings[place] or None)
    try:
        encodings.check(captured)
    except ConfigError as e:
        raise TillsyncError("TS-310", f"{shape.table}: {e.message}", hint="look at its sender") from None
    return captured


def _given(given: str, node: str, params: Mapping[str, Any]) -> str | None:
    """The value of a `set` column: `:node`, a parameter of the node, or the text itself."""
    if not given.startswith(":"):
        return given
    if given == ":node":
        return node
    value = params.get(given[1:])
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
