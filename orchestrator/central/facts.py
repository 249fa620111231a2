"""What merging must know of the application's tables: types, collations, and who refers to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central import scope
from orchestrator.central.catalog import without_modifier
from orchestrator.central.pieces import Piece
from orchestrator.core.changes import Shape
from orchestrator.core.documents import Document, Reference, documents
from orchestrator.core.filters import Filter
from orchestrator.core.plan import Plan

# Types whose modifier rounds a value; the modifiers of others refuse or, in a cast, cut: those are left to the table.
_ROUNDING = ("numeric(", "timestamp(", "time(", "interval(")


@dataclass(frozen=True)
class ColumnFacts:
    """type: what a change is staged as. compare: how two values are held against each other (see the query `facts`).
    nullable: it may be empty."""

    type: str
    collation: str | None
    compare: str
    nullable: bool = False


@dataclass(frozen=True)
class Facts:
    """Columns by table and name, the tables' rank (who is referred to comes first), and what documents they make.

    scopes: filters that say what a branch may write. parameters: their types.
    """

    columns: Mapping[str, Mapping[str, ColumnFacts]]
    rank: Mapping[str, int]
    documents: Mapping[str, Document]
    scopes: Mapping[str, Filter]
    parameters: Mapping[str, str]
    _alike: dict[Shape, dict[str, Piece]] = field(default_factory=dict, compare=False, repr=False)

    def alike(self, shape: Shape) -> dict[str, Piece]:
        """Where units of a shape keep what is the same for every branch."""
        return self._alike.setdefault(shape, {})


def read(conn: psycopg.Connection, plan: Plan, scopes: Mapping[str, Filter] | None = None) -> Facts:
    """Read the facts of all tables of a plan. `scopes` spares reading the whole catalog for them."""
    tables = [table.name for _, table in plan.tables()]
    columns: dict[str, dict[str, ColumnFacts]] = {}
    with conn.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(assets.query("central/merge.facts"), {"tables": tables}).fetchall():
            facts = ColumnFacts(_staged(row["type"], row["base"]), row["collation"], row["compare"], row["nullable"])
            columns.setdefault(row["tab"], {})[row["name"]] = facts
        edges = cursor.execute(assets.query("central/merge.references"), {"tables": tables}).fetchall()
    references = [Reference(e["child"], tuple(e["columns"]), e["parent"], tuple(e["referred"])) for e in edges]
    rank = _ranked(tables, ((r.child, r.parent) for r in references))
    asked = scope.filters(conn, plan) if scopes is None else scopes
    return Facts(columns, rank, documents(plan, references), asked, plan.parameters)


def _staged(declared: str, base: str) -> str:
    return declared if declared.startswith(_ROUNDING) else without_modifier(base)


def _ranked(tables: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Parents before children; within a circle, and among strangers, the order of the plan."""
    parents: dict[str, set[str]] = {}
    for child, parent in edges:
        parents.setdefault(child, set()).add(parent)
    left, rank = list(tables), dict[str, int]()
    while left:
        name = next((t for t in left if not parents.get(t, set()) & set(left) - {t}), left[0])
        left.remove(name)
        rank[name] = len(rank)
    return rank
