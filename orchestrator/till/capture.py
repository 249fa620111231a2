"""The capture triggers of one table, made from the templates in `triggers/sqlite/`. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Template

from orchestrator import assets
from orchestrator.core.plan import Table
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.catalog import Term, TillTable, UniqueRule

PREFIX = "tillsync_"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger: its name and the whole CREATE TRIGGER statement."""

    name: str
    sql: str


def triggers(table: Table, till: TillTable, shape: int) -> list[Trigger]:
    """The five capture triggers of a table whose changelog entries have the shape `shape`, and before them, where the
    plan protects the table, three that refuse."""
    width = len(table.columns)
    names = tuple(c.till for c in table.columns)
    values = {
        "table": q(till.name),
        "shape": str(shape),
        "log_old": ", ".join(f"o{i}" for i in range(1, width + 1)),
        "log_new": ", ".join(f"n{i}" for i in range(1, width + 1)),
        "old": _images("OLD", names),
        "new": _images("NEW", names),
        "held": _images("held", names),
        "differs": " OR ".join(_differs(n) for n in names),
    }
    key = tuple(c.till for c in table.till_key)
    return [
        _make("before_insert", {**values, **_marks(till, values, other="")}),
        _make("before_update", {**values, **_marks(till, values, _not_itself(key)), "differs": _moves(till)}),
        _make("after_insert", values),
        _make("after_update", values),
        _make("after_delete", values),
        *(_refusals(values) if table.protect == "refuse" else ()),
    ]


def _refusals(values: dict[str, str]) -> Iterator[Trigger]:
    message = f"{values['table'][1:-1]} is head office's: change it there".replace("'", "''")
    for event in ("insert", "update", "delete"):
        differs = f" AND ({values['differs']})" if event == "update" else ""
        more = {"event": event.upper(), "differs": differs, "message": f"'{message}'"}
        yield _make("refuse", {**values, **more}, suffix=f"refuse_{event}")


def _make(kind: str, values: dict[str, str], suffix: str = "") -> Trigger:
    name = f"{PREFIX}{values['table'][1:-1].replace(chr(34) * 2, chr(34))}_{suffix or kind}"
    return Trigger(name, _fill(kind, {**values, "trigger": q(name)}).strip())


def _fill(template: str, values: dict[str, str]) -> str:
    """A template without its header comment, filled in."""
    lines = assets.text(f"triggers/sqlite/{template}.sql").splitlines(keepends=True)
    body = "".join(line for line in lines if not line.startswith("--"))
    return Template(body).substitute(values)


def _images(row: str, names: Sequence[str]) -> str:
    return ", ".join(f"{row}.{q(n)}" for n in names)


def _differs(name: str) -> str:
    """True where a value is another one: byte for byte, whatever the column's collation, and of the same type."""
    old, new = f"OLD.{q(name)}", f"NEW.{q(name)}"
    return f"{old} IS NOT {new} COLLATE BINARY OR typeof({old}) <> typeof({new})"


def _marks(till: TillTable, values: dict[str, str], other: str) -> dict[str, str]:
    """One statement for each unique rule, and whether any finds a row. A partial rule is taken to hold for all."""
    rules = [_matches(rule, till) for rule in till.unique]
    found = " OR ".join(f"EXISTS (SELECT 1 FROM {values['table']} AS held WHERE {matches}{other})" for matches in rules)
    marks = "\n".join(_fill("mark", {**values, "matches": matches, "other": other}).rstrip() for matches in rules)
    return {"marks": marks, "is_held": found}


def _matches(rule: UniqueRule, till: TillTable) -> str:
    return " AND ".join(_same(term, till) for term in rule.terms)


def _same(term: Term, till: TillTable) -> str:
    if term.column is None:
        # The expression's own words twice: over the table's columns, and over a row that has the new values under
        # the same names.
        new_row = ", ".join(f"NEW.{q(c.name)} AS {q(c.name)}" for c in till.columns)
        return f"({term.expression}) = (SELECT {term.expression} FROM (SELECT {new_row})) COLLATE {q(term.collation)}"
    return f"held.{q(term.column)} = {_taken(term.column, till)} COLLATE {q(term.collation)}"


def _taken(name: str, till: TillTable) -> str:
    """The value that the new row will have: OR REPLACE puts the default where NULL is not allowed."""
    column = till.column(name)
    if column is not None and column.not_null and column.default is not None and not column.pk:
        return f"coalesce(NEW.{q(name)}, {column.default})"
    return f"NEW.{q(name)}"


def _not_itself(key: Sequence[str]) -> str:
    same = " AND ".join(f"held.{q(k)} IS OLD.{q(k)} COLLATE BINARY" for k in key)
    return f" AND NOT ({same})"


def _moves(till: TillTable) -> str:
    """True where an UPDATE gives a column of a unique rule another value; always for rules over expressions."""
    if any(rule.columns is None for rule in till.unique):
        return "1"
    names = dict.fromkeys(c for rule in till.unique for c in rule.columns or ())
    return " OR ".join(f"OLD.{q(n)} IS NOT NEW.{q(n)} COLLATE BINARY" for n in names)
