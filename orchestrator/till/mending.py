"""What an installation over an earlier one has to find out and put right: rows that were written without capture, and
channels that must be loaded anew because the file has more of them now. Within the installation's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import apsw

from orchestrator.core.plan import Plan, Table
from orchestrator.till import known
from orchestrator.till.database import rows
from orchestrator.till.fitness import Fitted
from orchestrator.till.known import Missed
from orchestrator.till.shapes import StoredShape


def first_memories(fitted: Fitted, shapes: Mapping[str, StoredShape]) -> Iterator[str]:
    """The statements that start the memory of every table that goes up, in a file that has none."""
    for channel, table, _ in fitted.tables:
        if channel.goes_up:
            yield from known.begin(shapes[table.name], channel, table)


def remember(db: apsw.Connection, fitted: Fitted, shapes: Mapping[str, StoredShape]) -> tuple[Missed, ...]:
    """Compares every table that goes up with what is remembered of it, and starts the memory of its present shape."""
    memories = known.memories(db)
    missed: list[Missed] = []
    up = {table.name: (channel, table) for channel, table, _ in fitted.tables if channel.goes_up}
    for name, (channel, table) in up.items():
        memory = memories.pop(name, None)
        if memory is not None:
            found = known.rescan(db, memory, shapes[name])
            if found.rows or found.emptied or found.lost_key:
                missed.append(found)
            if memory.stored.id == shapes[name].id and not found.emptied:
                continue
            db.execute(known.end(memory))
        for statement in known.begin(shapes[name], channel, table):
            db.execute(statement)
    for memory in memories.values():
        if not _is_lacking(fitted, memory.stored.shape.table):
            db.execute(known.end(memory))
    known.follow(db)
    return tuple(missed)


def reload(
    db: apsw.Connection, before: Plan, plan: Plan, fitted: Fitted, torn: Collection[str], missed: Iterable[Missed]
) -> tuple[str, ...]:
    """Channels that need a snapshot: the file has a table or column that it lacked, a key is another one, or rows that
    only head office writes may have been written while nobody looked, or were emptied. `torn`: whose triggers were."""
    lacked = set(rows(db, 'SELECT central, "column" FROM tillsync_lack'))
    lacking = {(lack.table.name, lack.column) for lack in fitted.lacks}
    gained = {table for table, _ in lacked - lacking}
    emptied = {found.central for found in missed if found.emptied}
    names: dict[str, None] = {}
    for channel, table, _ in fitted.tables:
        old = before.find(table.name)
        is_rekeyed = old is not None and _key(old[1]) != _key(table)
        is_torn = table.name in torn and before.version == plan.version and channel.direction == "down"
        if channel.goes_down and (table.name in gained | emptied or is_rekeyed or is_torn):
            names[channel.name] = None
    for name in names:
        db.execute("UPDATE tillsync_stream SET loaded_tick = 0 WHERE channel = ? AND loaded_tick IS NOT NULL", (name,))
    return tuple(names)


def note_lacks(db: apsw.Connection, fitted: Fitted) -> None:
    """What the file lacks, for reports and for the day when it has it."""
    db.execute("DELETE FROM tillsync_lack")
    db.executemany(
        "INSERT INTO tillsync_lack VALUES (?, ?, ?, ?, ?)",
        [(k.table.name, k.column, k.error.code, k.error.message, k.error.hint) for k in fitted.lacks],
    )


def _key(table: Table) -> list[tuple[str, str]]:
    return [(c.name, c.kind) for c in table.till_key]


def _is_lacking(fitted: Fitted, table: str) -> bool:
    """Whether a table is set aside for now; what is remembered of it tells what happened when it is back."""
    return any(lack.table.name == table and not lack.column for lack in fitted.lacks)
