"""Shapes: what the images of changelog entries are, for every column list that was ever captured."""

from __future__ import annotations

from dataclasses import dataclass

import apsw
import msgspec

from orchestrator.core.changes import Shape
from orchestrator.core.plan import Table
from orchestrator.till.database import rows


@dataclass(frozen=True, slots=True)
class StoredShape:
    """A shape with its number and the till's names of the table and of the columns."""

    id: int
    till: str
    till_columns: tuple[str, ...]
    shape: Shape

    @property
    def key_places(self) -> tuple[int, ...]:
        """Where the key columns stand in an image, from 1, as the changelog counts them."""
        return tuple(self.shape.columns.index(k) + 1 for k in self.shape.key)

    @property
    def till_key(self) -> tuple[str, ...]:
        """The key columns by the till's names."""
        return tuple(self.till_columns[p - 1] for p in self.key_places)


def of_table(table: Table, number: int) -> StoredShape:
    """The shape of a table of the plan."""
    shape = Shape(table.name, table.column_names, tuple(c.name for c in table.till_key))
    return StoredShape(number, table.till, tuple(c.till for c in table.columns), shape)


def load(db: apsw.Connection) -> dict[int, StoredShape]:
    """All shapes by their number."""
    found = rows(db, "SELECT id, till, till_columns, central, columns, key FROM tillsync_shape ORDER BY id")
    return {r[0]: StoredShape(r[0], r[1], _names(r[2]), Shape(r[3], _names(r[4]), _names(r[5]))) for r in found}


def insert(stored: StoredShape) -> str:
    """The statement that stores a shape."""
    shape = stored.shape
    texts = (stored.till, json(stored.till_columns), shape.table, json(shape.columns), json(shape.key))
    values = ", ".join([str(stored.id), *(apsw.format_sql_value(t) for t in texts)])
    return f"INSERT INTO tillsync_shape (id, till, till_columns, central, columns, key) VALUES ({values})"


def json(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()


def _names(body: str) -> tuple[str, ...]:
    return msgspec.json.decode(body, type=tuple[str, ...])
