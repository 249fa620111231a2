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
    encodings = tuple(c.encode or "" for c in table.columns)
    key = tuple(c.name for c in table.till_key)
    shape = Shape(table.name, table.column_names, key, encodings if any(encodings) else ())
    return StoredShape(number, table.till, tuple(c.till for c in table.columns), shape)


def load(db: apsw.Connection) -> dict[int, StoredShape]:
    """All shapes by their number."""
    encodings = "encodings" if has_encodings(db) else "'[]'"
    found = rows(
        db, f"SELECT id, till, till_columns, central, columns, key, {encodings} FROM tillsync_shape ORDER BY id"
    )
    return {r[0]: StoredShape(r[0], r[1], _names(r[2]), Shape(r[3], *map(_names, r[4:]))) for r in found}


def has_encodings(db: apsw.Connection) -> bool:
    """Whether the file's table has room for them: an earlier version's has not."""
    return any(c[1] == "encodings" for c in rows(db, "PRAGMA main.table_info(tillsync_shape)"))


def insert(stored: StoredShape) -> str:
    """The statement that stores a shape."""
    shape = stored.shape
    lists = (json(names) for names in (shape.columns, shape.key, shape.encodings))
    texts = (stored.till, json(stored.till_columns), shape.table, *lists)
    values = ", ".join([str(stored.id), *(apsw.format_sql_value(t) for t in texts)])
    return f"INSERT INTO tillsync_shape (id, till, till_columns, central, columns, key, encodings) VALUES ({values})"


def json(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()


def _names(body: str) -> tuple[str, ...]:
    return msgspec.json.decode(body, type=tuple[str, ...])
