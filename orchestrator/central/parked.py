"""Parked changes: what central could not take and keeps, with the reason. The till is acked; custody is central's.

They go in again as they were, once in a round while they are fresh and more seldom later: all parked changes of a row
together, so that a later change can heal an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central import facts as facts_of
from orchestrator.central import stamps
from orchestrator.central import unit as units
from orchestrator.central.documents import WITH_IT, merge_whole
from orchestrator.central.facts import Facts
from orchestrator.central.faults import is_row_fault
from orchestrator.central.images import as_given, as_json, as_stored, row_of
from orchestrator.central.merge import Failure, Sender
from orchestrator.central.stage import Stage, Unread
from orchestrator.central.unit import Unit
from orchestrator.core.changes import Row, Shape
from orchestrator.core.filters import Filter
from orchestrator.core.plan import Plan
from orchestrator.policies import rules

ROWS_MAX = 20_000
RETRY_UID = 0
"""No group's id. A conflict with it came out of a parked change, and its seq is that change's id."""


def park(conn: psycopg.Connection, failures: Iterable[Failure], sender: Sender) -> int:
    """Record rows that could not be merged, out of the work tables of the merge that said so."""
    by_table: dict[str, list[Failure]] = {}
    for f in failures:
        by_table.setdefault(f.unit.table.name, []).append(f)
    for tab, found in by_table.items():
        given = {"node": sender.node, "uid": sender.uid, "tab": tab}
        listed = {
            "ats": [f.at for f in found],
            "reasons": [f.reason for f in found],
            "sqlstates": [f.sqlstate for f in found],
        }
        conn.execute(found[0].unit.sql("park"), given | listed)
    return sum(map(len, by_table.values()))


def take_out(
    conn: psycopg.Connection, sender: Sender, unit: Unit, documents: Sequence[str], failed: Sequence[Failure]
) -> int:
    """Park documents that are staged, whole, with what failed of them. Returns how many changes that were."""
    given = {
        "node": sender.node,
        "uid": sender.uid,
        "tab": unit.table.name,
        "documents": list(documents),
        "ats": [f.at for f in failed],
        "reasons": [f.reason for f in failed],
        "sqlstates": [f.sqlstate for f in failed],
    }
    return conn.execute(unit.sql("take_out"), given).rowcount


def park_unread(conn: psycopg.Connection, unread: Sequence[Unread], sender: Sender) -> int:
    """Record changes that could not be staged. A table that the till may not write is put right by an echo."""
    for u in unread:
        row = row_of(u)
        names = u.unit.table.key if u.unit is not None else u.shape.key
        given = {
            "node": sender.node,
            "uid": sender.uid,
            "seq": u.seq,
            "nonce": u.nonce,
            "tab": u.shape.table,
            "key": Jsonb({k: row.get(k) for k in names}),
            "op": u.op,
            "old": as_json(as_stored(u, u.old)),
            "new": as_json(as_stored(u, u.new)),
            "reason": u.reason,
            "sqlstate": u.sqlstate,
            "document": u.unit.document_of(row) if u.unit is not None else None,
        }
        conn.execute(assets.query("central/merge.park_unread"), given)
        if u.unit is not None and u.unit.direction == "down":
            _ask_echo(conn, u.unit, sender.node, row)
    return len(unread)


def listed(conn: psycopg.Connection, node: str | None = None, *, every: bool = False) -> list[dict[str, Any]]:
    """Parked changes for a person to see; `every`: released and dropped ones too."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(assets.query("central/merge.parked_list"), {"node": node, "all": every}).fetchall()


def drop(conn: psycopg.Connection, plan: Plan, ids: Sequence[int]) -> list[int]:
    """Give changes up, with their documents: they are kept as a record and not tried again, and their nodes are told
    what central has. Returns the ids that were open."""
    with conn.transaction():
        rows = conn.execute(assets.query("central/merge.parked_drop"), {"ids": list(ids)}).fetchall()
        facts = facts_of.read(conn, plan, {}) if rows else None
        for _, node, tab, key in rows:
            described = plan.find(tab)
            if facts is not None and described is not None and described[0].direction == "both":
                _ask_echo(conn, units.whole(*described, facts, node, {}), node, key)
    return sorted(number for number, *_ in rows)


def retry(
    conn: psycopg.Connection,
    plan: Plan,
    *,
    ids: Sequence[int] | None = None,
    force: bool = False,
    scopes: Mapping[str, Filter] | None = None,
) -> int:
    """Try parked changes again, those that are due or (`force`) all, of all rows or those of `ids`.

    One transaction per node. Returns how many changes are done with.
    """
    wanted = None if ids is None else list(ids)
    given = {"force": force, "ids": wanted}
    nodes = conn.execute(assets.query("central/merge.parked_nodes"), given).fetchall()
    if not nodes:
        return 0
    facts = facts_of.read(conn, plan, scopes)
    return sum(_retry_node(conn, plan, facts, node, wanted) for (node,) in nodes)


def _retry_node(conn: psycopg.Connection, plan: Plan, facts: Facts, node: str, ids: Sequence[int] | None) -> int:
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        conn.execute(assets.query("central/merge.lock_parked"), {"node": node})
        waiting = {chain.ids[0]: chain for chain in _chains(conn, plan, node, ids)}
        row = conn.execute(assets.query("central/merge.node"), {"node": node}).fetchone()
        params = row[1] if row else {}
        sender = Sender(node, RETRY_UID, params)

        def unit_of(shape: Shape) -> Unit | None:
            return units.find(conn, plan, shape, facts, node, params)

        stage = Stage(conn, unit_of, canonical=True)
        units_of: dict[str, Unit] = {}
        reasons: dict[int, tuple[str, str]] = {}
        stamps.lay_down(conn, [(c.ids[0], c.stamp, c.stamp_note) for c in waiting.values() if c.stamp is not None])
        # A row that came and went while it was parked comes to nothing.
        for shape, chains in _by_shape(c for c in waiting.values() if c.old or c.new).items():
            if not stage.takes(shape):
                reasons |= _merged(conn, stage, facts, sender)
                stage = Stage(conn, unit_of, canonical=True, follows=True)
            stage.add(shape, [(c.ids[0], 0, c.op, c.image(c.old), c.image(c.new)) for c in chains])
            units_of |= stage.units
        reasons |= _merged(conn, stage, facts, sender)
        for first, chain in waiting.items():
            unit = units_of.get(chain.tab)
            if first not in reasons and unit is not None and unit.direction == "both":
                _ask_echo(conn, unit, node, chain.key)
        return _note_retried(conn, waiting, reasons)


def _merged(conn: psycopg.Connection, stage: Stage, facts: Facts, sender: Sender) -> dict[int, tuple[str, str]]:
    """Merge what is staged, documents whole; which chains failed, by their first id, and why."""
    reasons: dict[int, tuple[str, str]] = {}

    def take(unit: Unit, documents: Sequence[str], failed: Sequence[Failure]) -> int:
        gone = conn.execute(unit.sql("drop_documents"), {"documents": list(documents)}).fetchall()
        reasons.update({at >> 1: (WITH_IT, "") for (at,) in gone} | {f.at >> 1: (f.reason, f.sqlstate) for f in failed})
        return len(gone)

    failed = merge_whole(conn, stage, facts.rank, sender, take).failures
    unread = {u.seq: (u.reason, u.sqlstate) for u in stage.unread}
    return reasons | unread | {f.at >> 1: (f.reason, f.sqlstate) for f in failed}


def _by_shape(chains: Iterable[Chain]) -> dict[Shape, list[Chain]]:
    """Chains in the order in which they were parked, as far as they go in together."""
    found: dict[Shape, list[Chain]] = {}
    for chain in chains:
        found.setdefault(Shape(chain.tab, chain.columns, tuple(chain.key)), []).append(chain)
    return found


def _note_retried(
    conn: psycopg.Connection, waiting: Mapping[int, Chain], reasons: Mapping[int, tuple[str, str]]
) -> int:
    rows = [(i, *reasons.get(first, ("", "")), first in reasons) for first, chain in waiting.items() for i in chain.ids]
    conn.execute(
        assets.query("central/merge.retried"),
        {
            "ids": [i for i, *_ in rows],
            "reasons": [reason for _, reason, _, _ in rows],
            "sqlstates": [state for _, _, state, _ in rows],
            "states": ["parked" if failed else "released" for *_, failed in rows],
        },
    )
    return sum(not failed for *_, failed in rows)


@dataclass
class Chain:
    """All parked changes of one row, as the one change that they come to."""

    tab: str
    key: Mapping[str, Any]
    ids: list[int] = field(default_factory=list)
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None
    stamp: datetime | None = None
    stamp_note: str | None = None

    @property
    def op(self) -> str:
        return "D" if self.new is None else "I" if self.old is None else "U"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.new or self.old or self.key)

    def image(self, side: Mapping[str, Any] | None) -> Row | None:
        return None if side is None else tuple(as_given(side.get(name)) for name in self.columns)


def _chains(conn: psycopg.Connection, plan: Plan, node: str, ids: Sequence[int] | None) -> list[Chain]:
    """A node's open parked changes, locked, by row. A delete counts for nothing where a till only adds."""
    only_added = {table.name for _, table in plan.tables() if not rules(table).table.deletes}
    given = {"node": node, "rows_max": ROWS_MAX, "ids": ids}
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(assets.query("central/merge.parked_of"), given).fetchall()
    found: dict[tuple[str, str], Chain] = {}
    for row in rows:
        name = (row["tab"], repr(sorted(row["key"].items())))
        counts = row["new"] is not None or row["tab"] not in only_added
        chain = found.setdefault(name, Chain(row["tab"], row["key"], old=row["old"] if counts else None))
        chain.ids.append(row["id"])
        if not counts:
            continue
        chain.new, chain.stamp, chain.stamp_note = row["new"], row["stamp"], row["stamp_note"]
    return list(found.values())


def _ask_echo(conn: psycopg.Connection, unit: Unit, node: str, key: Mapping[str, Any]) -> None:
    given = {f"k{i}": key.get(name) for i, name in enumerate(unit.table.key)}
    if any(isinstance(v, dict) or v is None for v in given.values()):
        return  # a key that cannot be read is no row of central's: there is nothing to tell of it
    try:
        with conn.transaction():
            conn.execute(unit.sql("ask_echo_of", given_key=unit.placeholders()), {"node": node, **given})
    except psycopg.Error as e:
        if not is_row_fault(e):
            raise
