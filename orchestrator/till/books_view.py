"""A till's tables as head office has answered them: views that hide what is on its way.

Every change of the application's after the ack is in the changelog with its old image. The first change of a key tells
how its row was before; a key that the first change made had none. A "look again" mark tells it, too: whatever became of
its row, that is how it was. Columns that are not captured are taken from the row as it is now, where it still is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from orchestrator.core.changes import Position
from orchestrator.core.plan import Plan
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import shapes
from orchestrator.till.database import rows

Key = tuple[Any, ...]
_ORDINARY, _GENERATED, _STORED = 0, 2, 3


@dataclass(frozen=True)
class Hidden:
    """A table behind a view: how many keys have changes that head office has not answered."""

    till: str
    changes: int


def hide(reader: apsw.Connection, plan: Plan, ack: Position) -> dict[str, Hidden]:
    """Makes the views, in the reader's temporary schema, where a bare name is looked for first. By the table's name in
    lower case, as SQLite compares names."""
    known = shapes.load(reader)
    changed = {tab for (tab,) in rows(reader, "SELECT DISTINCT tab FROM tillsync_changelog WHERE seq > ?", (ack.seq,))}
    found: dict[str, Hidden] = {}
    for _, table in plan.tables():
        of_table = [known[n] for n in sorted(changed) if n in known and known[n].till.lower() == table.till.lower()]
        columns = _columns(reader, table.till) if of_table else []
        if columns:
            before = _before(reader, of_table, ack)
            _make_view(reader, len(found), of_table[-1], columns, before)
            found[table.till.lower()] = Hidden(table.till, len(before))
    return found


def _columns(reader: apsw.Connection, table: str) -> list[str]:
    """All that a SELECT sees, generated ones too."""
    listed = rows(reader, "SELECT name, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid", (table,))
    return [name for name, hidden in listed if hidden in (_ORDINARY, _GENERATED, _STORED)]


def _before(
    reader: apsw.Connection, of_table: Sequence[shapes.StoredShape], ack: Position
) -> dict[Key, Mapping[str, Any] | None]:
    """Each changed key with its row's captured columns before the first change; None where there was no row."""
    entries: list[tuple[int, str, shapes.StoredShape, Key, Key]] = []
    for stored in of_table:
        width = len(stored.till_columns)
        images = ", ".join(f"{image}{i}" for image in "on" for i in range(1, width + 1))
        query = f"SELECT seq, op, {images} FROM tillsync_changelog WHERE tab = ? AND seq > ?"
        for seq, op, *values in rows(reader, query, (stored.id, ack.seq)):
            entries.append((seq, op, stored, tuple(values[:width]), tuple(values[width:])))
    found: dict[Key, Mapping[str, Any] | None] = {}
    for _, op, stored, old, new in sorted(entries, key=lambda e: e[0]):
        places = [p - 1 for p in stored.key_places]
        if op != "I":
            row = dict(zip(stored.till_columns, old, strict=True))
            found.setdefault(tuple(old[p] for p in places), row)
        if op in ("I", "U"):
            found.setdefault(tuple(new[p] for p in places), None)
    return found


def _make_view(
    reader: apsw.Connection,
    number: int,
    stored: shapes.StoredShape,
    columns: list[str],
    before: Mapping[Key, Mapping[str, Any] | None],
) -> None:
    keys, images = f"tillsync_keys_{number}", f"tillsync_images_{number}"
    key_columns = ", ".join(f"k{i}" for i in range(1, len(stored.till_key) + 1))
    reader.execute(f"CREATE TEMP TABLE {keys} ({key_columns})")
    reader.execute(f"CREATE TEMP TABLE {images} ({', '.join(map(q, columns))})")
    key_names = [q(name) for name in stored.till_key]
    # The first term may use an index of any collation, the second means exactly this key.
    is_key = " AND ".join(f"t.{k} IS ?{i} AND t.{k} IS ?{i} COLLATE BINARY" for i, k in enumerate(key_names, 1))
    now = f"SELECT {', '.join(f't.{q(c)}' for c in columns)} FROM main.{q(stored.till)} AS t"
    for key, row in before.items():
        reader.execute(f"INSERT INTO {keys} VALUES ({', '.join('?' * len(key))})", key)
        if row is not None:
            there = rows(reader, f"{now} WHERE {is_key}", key)
            whole = {**dict(zip(columns, there[0] if there else (None,) * len(columns), strict=True)), **row}
            reader.execute(
                f"INSERT INTO {images} VALUES ({', '.join('?' * len(columns))})", [whole[c] for c in columns]
            )
    reader.execute(f"CREATE INDEX temp.{keys}_k ON {keys} ({key_columns})")
    # Without the affinity of a column, which would keep the index from being used: both are values as stored.
    is_hidden = " AND ".join(f"k.k{i} IS +t.{k}" for i, k in enumerate(key_names, 1))
    reader.execute(
        f"CREATE TEMP VIEW {q(stored.till)} ({', '.join(map(q, columns))}) AS {now}"
        f" WHERE NOT EXISTS (SELECT 1 FROM temp.{keys} AS k WHERE {is_hidden}) UNION ALL SELECT * FROM temp.{images}"
    )
