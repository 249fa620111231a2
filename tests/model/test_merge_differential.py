"""Merging at head office and the pure function say the same of every row: thousands of random cells at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from orchestrator import policies, postgres
from orchestrator.central import catalog, schema
from orchestrator.central.collect import collect
from orchestrator.core import wire
from orchestrator.core.changes import ORIGIN, Position, Shape, encode_upload
from orchestrator.core.plan import Channel, Plan, Table
from orchestrator.core.world import World
from orchestrator.policies.contest import Rules
from orchestrator.policies.merging import Image, Merged, come_to, meet, merge
from orchestrator.relay.messages import FetchedUpload, UploadPart
from tests.model import cells
from tests.model.cells import Story

ROWS = int(os.environ.get("TILLSYNC_MERGE_ROWS", "40"))
"""Rows a table; every one has about forty cells."""
SEEDS = int(os.environ.get("TILLSYNC_MERGE_SEEDS", "1"))

NOW_MS, LONG_AGO_MS = 4_000_000_000_000, 946_684_800_000

Outcome = tuple[Image | None, Merged | None]


class _Waiting:
    """A relay with one upload."""

    def __init__(self, frame: bytes, end: Position) -> None:
        self._upload = FetchedUpload(1, "T1", UploadPart(1, 0, True, ORIGIN, end, frame))

    def fetch_uploads(self) -> Iterator[FetchedUpload]:
        yield self._upload

    def mark_taken(self, node: str, uids: list[int]) -> None: ...


@pytest.mark.parametrize("seed", range(SEEDS))
def test_head_office_merges_as_the_pure_function_says(database: Callable[..., str], world: World, seed: int) -> None:
    rng = Random(seed)
    tables = {name: cells.table(name, spec) for name, spec in cells.policies().items()}
    told = {name: cells.stories(rng, ROWS) for name in tables}
    with closing(postgres.connect(database("central"), "tillsync test")) as conn:
        plan = _installed(conn, tables)
        for name, rows in told.items():
            _fill(conn, name, rows)
        done = collect(conn, _Waiting(*_upload(rng, tables, told)), plan, world)
        assert (done.parked, done.refused) == (0, {})
        wrong = [line for name, rows in told.items() for line in _wrong(conn, tables[name], rows)]
        assert not wrong, "\n".join([f"{len(wrong)} rows differ", *wrong[:5]])
        assert done.conflicts == conn.execute("SELECT count(*) FROM tillsync.conflict").fetchall()[0][0] > 0


def _installed(conn: psycopg.Connection, tables: Mapping[str, Table]) -> Plan:
    conn.execute((cells.DECIDE + "".join(map(cells.ddl, tables))).encode())
    plan = Plan(1, {}, (Channel("all", "both", tuple(tables.values())),))
    schema.install(conn, schema.derived(plan, catalog.read(conn)))
    conn.execute("INSERT INTO tillsync.node (node, params) VALUES ('T1', %s)", (Jsonb({}),))
    return plan


def _fill(conn: psycopg.Connection, name: str, rows: list[Story]) -> None:
    with conn.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))) as copy:
        for story in rows:
            if story.ours is not None:
                copy.write_row(story.ours)


def _upload(rng: Random, tables: Mapping[str, Table], told: Mapping[str, list[Story]]) -> tuple[bytes, Position]:
    """Every step of every row, rows and tables mixed as a till's day mixes them."""
    shapes = [Shape(t.name, t.column_names, t.key) for t in tables.values()]
    paths = [(place, *path) for place, name in enumerate(tables) for path in cells.paths(rng, told[name])]
    order = [i for i, (*_, path) in enumerate(paths) for _ in path]
    rng.shuffle(order)
    changes: list[Any] = []
    stamps: list[int] = []
    for seq, i in enumerate(order, 1):
        place, is_late, path = paths[i]
        stamps.append(NOW_MS if is_late else LONG_AGO_MS)
        old, new = path.pop(0)
        op = "I" if old is None else "D" if new is None else "U"
        changes.append((seq, rng.getrandbits(62), place, op, cells.stored(rng, old), cells.stored(rng, new)))
    return wire.pack(encode_upload(shapes, changes, (0, NOW_MS), stamps)), Position(changes[-1][0], changes[-1][1])


def _wrong(conn: psycopg.Connection, table: Table, rows: list[Story]) -> Iterator[str]:
    """A line for every row that is not as the pure function has it, or whose conflict is told otherwise."""
    found = _texts(conn, table)
    conflicts = _conflicts(conn, table)
    rules = policies.rules(table)
    for story in rows:
        row, merged = _expected(table, rules, story)
        has = found.get(str(story.key))
        said = _said(table, rules, story, merged)
        if not _same(row, has):
            yield f"{table.name}: {_shown(table, story, rules)}: {_pairs(table, row, has)}"
        elif not _same_conflict(table, said, conflicts.get(str(story.key))):
            yield f"{table.name}: {_shown(table, story, rules)}: {said} but {conflicts.get(str(story.key))}"


def _expected(table: Table, rules: Rules, story: Story) -> Outcome:
    columns = [_Placed(name, place) for place, name in enumerate(table.column_names) if name not in table.key]
    base, theirs = _ends(story, rules)
    meeting = meet(base, theirs, story.ours, len(table.columns), cells.DIFFERENCE)
    # What head office does not have it has never had here: there is nothing later than that.
    asked = {cells.FUNCTION: cells.answer(theirs, story.ours)} if theirs or story.ours else {}
    return merge(meeting._replace(newer=story.is_late or story.ours is None, answers=asked), columns, rules)


def _ends(story: Story, rules: Rules) -> tuple[Image | None, Image | None]:
    return come_to(zip(story.path, story.path[1:], strict=False), rules)


class _Placed:
    def __init__(self, name: str, place: int) -> None:
        self.name, self.place = name, place


def _texts(conn: psycopg.Connection, table: Table) -> dict[str, Image]:
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in table.column_names)
    rows = conn.execute(sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(table.till)))
    return {row[0]: row for row in rows}


def _conflicts(conn: psycopg.Connection, table: Table) -> dict[str, tuple[Any, ...]]:
    rows = conn.execute(
        "SELECT key ->> 'id', columns, winner, base, theirs, ours, outcome FROM tillsync.conflict WHERE tab = %s",
        [table.name],
    )
    return {row[0]: row[1:] for row in rows}


def _said(table: Table, rules: Rules, story: Story, merged: Merged | None) -> tuple[Any, ...] | None:
    if merged is None or not merged.decision.conflict:
        return None
    images = (*_ends(story, rules), story.ours, merged.row)
    return (list(merged.judged), merged.decision.winner.value, *images)


def _same_conflict(table: Table, said: tuple[Any, ...] | None, noted: tuple[Any, ...] | None) -> bool:
    if said is None or noted is None:
        return said is noted
    images = [None if i is None else [i[c] for c in table.column_names] for i in noted[2:]]
    return said[:2] == noted[:2] and all(map(_same, said[2:], images))


def _same(one: Image | None, other: Image | None) -> bool:
    if one is None or other is None:
        return one is other
    return "1" not in cells.DIFFERENCE.digits(one, other)


def _shown(table: Table, story: Story, rules: Rules) -> str:
    return f"key {story.key} ({table.policy.policy}, {table.policy.fallback})"


def _pairs(table: Table, row: Image | None, has: Image | None) -> str:
    if row is None or has is None:
        return f"expected {row}, has {has}"
    differs = cells.DIFFERENCE.digits(row, has)
    named = zip(table.column_names, differs, row, has, strict=True)
    return ", ".join(f"{name}: expected {one!r}, has {other!r}" for name, digit, one, other in named if digit == "1")
