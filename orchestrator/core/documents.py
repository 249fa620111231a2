"""Documents: a header and its lines, which head office takes whole or not at all. Pure.

A table belongs to another one's documents where the plan says so (`document = [...]` on the header), or where a
foreign key does whose columns begin the line's own key, as those of `(order_id, line_no)` do. Of any other table each
row is a document by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.core.plan import Plan, Table


@dataclass(frozen=True)
class Reference:
    """A foreign key between two tables of the plan, columns in the order of their pairs."""

    child: str
    columns: tuple[str, ...]
    parent: str
    referred: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """What a table's rows are part of: the header's table, and the own columns that say which header, in the order of
    the header's key."""

    root: str
    columns: tuple[str, ...]


def documents(plan: Plan, references: Iterable[Reference]) -> dict[str, Document]:
    """The document that each table which goes up belongs to."""
    tables = {table.name: table for channel, table in plan.tables() if channel.goes_up}
    parents: dict[str, Reference] = {}
    for reference in sorted(references, key=lambda r: (r.child, r.parent, r.columns)):
        if reference.child in tables and reference.parent in tables and _identifies(reference, tables):
            parents.setdefault(reference.child, reference)
    for table in tables.values():
        for part in table.document:
            parents[part.table] = Reference(part.table, part.columns, table.name, table.key)
    return {name: _document(table, parents, tables) for name, table in tables.items()}


def _identifies(reference: Reference, tables: Mapping[str, Table]) -> bool:
    """Whether it is to the parent's whole key, out of the columns that the child's own key begins with."""
    child, parent = tables[reference.child], tables[reference.parent]
    begins = set(child.key[: len(reference.columns)]) == set(reference.columns)
    return child is not parent and begins and set(reference.referred) == set(parent.key)


def _document(table: Table, parents: Mapping[str, Reference], tables: Mapping[str, Table]) -> Document:
    """Up from the line to the header; a line of a line is a line of its header, where its columns say which."""
    columns = table.key
    seen = {table.name}
    while (reference := parents.get(table.name)) is not None and reference.parent not in seen:
        by_name = dict(zip(table.key, columns, strict=True)) if len(seen) > 1 else {c: c for c in reference.columns}
        own = dict(zip(reference.referred, reference.columns, strict=True))
        above = tables[reference.parent]
        if any(own.get(k) not in by_name for k in above.key):
            break
        columns = tuple(by_name[own[k]] for k in above.key)
        table = above
        seen.add(table.name)
    return Document(table.name, columns)
