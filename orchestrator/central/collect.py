"""Collecting: uploads that wait in the relay are merged at central, each group exactly once.

A group is everything that a till sent between two positions of its changelog. Its frames are brought here first, so
that no transaction of central's waits for the network; then one transaction stages and merges them together with the
marks that say so. Exactly once rests on three marks, each enough for a different accident: the group's id (it is
fetched again), the applied position (it follows straight on), and the ledger of positions (it was sent again).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central import facts as facts_of
from orchestrator.central import parked
from orchestrator.central import unit as units
from orchestrator.central.facts import Facts
from orchestrator.central.faults import AGAIN
from orchestrator.central.group import Group, Positions, by_shape, first_change, spooled
from orchestrator.central.merge import Sender
from orchestrator.central.settle import Settled, settle
from orchestrator.central.spool import Spool
from orchestrator.central.stage import Stage
from orchestrator.central.stamps import Stamps
from orchestrator.central.unit import Unit
from orchestrator.core.changes import ORIGIN, Position, Shape
from orchestrator.core.filters import Filter
from orchestrator.core.plan import Plan
from orchestrator.core.protocol import Place, Standing, overtaken
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError, Unreachable
from orchestrator.log import bound, logger
from orchestrator.postgres import first_line, place_of, translated
from orchestrator.relay.messages import FetchedUpload

ATTEMPTS_MAX = 12
# What is wrong with one node alone: the others' uploads go on.
_LOCKED = ("TS-313", "TS-405")
_NODES_OWN = ("TS-310", "TS-312", "TS-316", "TS-602")
_log = logger("central.collect")


class Uploads(Protocol):
    """What collecting needs of the relay."""

    def fetch_uploads(self) -> Iterator[FetchedUpload]: ...
    def mark_taken(self, node: str, uids: list[int]) -> None: ...


@dataclass(frozen=True)
class Collected:
    """What one round brought. moved: groups and parked rows that are done with. refused: why, by node."""

    moved: int = 0
    merged: int = 0
    conflicts: int = 0
    parked: int = 0
    gaps: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


class Collector:
    """One round of collecting. Facts of the catalog are read once, when there is something to merge."""

    def __init__(
        self,
        conn: psycopg.Connection,
        relay: Uploads,
        plan: Plan,
        world: World,
        ahead: timedelta = timedelta(0),
        scopes: Mapping[str, Filter] | None = None,
    ) -> None:
        self._conn, self._relay, self._plan, self._world, self._ahead = conn, relay, plan, world, ahead
        self._place = place_of(conn.info.dsn)
        self._facts: Facts | None = None
        self._scopes = scopes
        self._units: dict[tuple[str, Shape], Unit | None] = {}
        self._nodes: dict[str, dict[str, Any] | None] = {}
        self._met: list[tuple[str, int, Place]] = []
        self._overtaken: frozenset[tuple[str, int]] = frozenset()

    def run(self) -> Collected:
        """Every group that waits is merged; what is wrong with one node's uploads does not hold up the others'.

        Nor does a row that somebody holds locked: its node's uploads wait for the next round, and that is raised.
        """
        done = self._round()
        self._overtaken = overtaken(self._met)
        if self._overtaken:
            gaps = [n for n, uid, place in self._met if place is Place.GAP and (n, uid) not in self._overtaken]
            done = replace(added(done, self._round(self._overtaken)), gaps=tuple(dict.fromkeys(gaps)))
        return done

    def _round(self, only: Set[tuple[str, int]] | None = None) -> Collected:
        done, locked = Collected(), dict[str, TillsyncError]()
        for (node, uid), parts in groupby(self._relay.fetch_uploads(), key=lambda f: (f.node, f.part.uid)):
            if node in done.refused or node in locked or (only is not None and (node, uid) not in only):
                continue
            try:
                with bound(branch=node, upload=uid):
                    done = added(done, self._group(node, uid, parts))
            except TillsyncError as e:
                if e.code in _LOCKED:
                    locked[node] = e
                    continue
                if e.code not in _NODES_OWN:
                    raise
                _log.warning("upload refused", branch=node, upload=uid, error=str(e))
                done = replace(done, refused={**done.refused, node: str(e)})
        for error in locked.values():
            raise error
        return done

    def _group(self, node: str, uid: int, parts: Iterable[FetchedUpload]) -> Collected:
        found = self._node(node)
        if found is None or found["state"] != "active":
            raise TillsyncError(
                "TS-312",
                f"{node} is no active branch",
                hint="register it with `tillsync branch add`, or drop its uploads",
            )
        with Spool() as spool:
            prev, end = spooled(node, parts, spool)
            self._world.crash("collect.fetched")
            done = self._attempted(Group(node, uid, prev, end, spool))
        self._met.append((node, uid, Place.GAP if done.gaps else Place.NEXT))
        self._world.crash("collect.committed")
        if done.moved:
            self._relay.mark_taken(node, [uid])
            self._world.crash("collect.marked")
        return done

    def _attempted(self, group: Group) -> Collected:
        """The group's one transaction, again where it met another: it gives way before anybody is in a deadlock."""
        for attempt in range(ATTEMPTS_MAX):
            try:
                with translated(self._place), suppress(*AGAIN):
                    return self._transaction(group)
            except psycopg.Error as e:
                raise TillsyncError(
                    "TS-315",
                    f"merging an upload of {group.node} stopped: {first_line(e)}",
                    hint="nothing of it was taken",
                ) from e
            self._world.sleep(min(0.05 * 2**attempt, 1.0))
        raise Unreachable(
            "TS-313", f"an upload of {group.node} met other writers {ATTEMPTS_MAX} times", hint="it is tried again"
        )

    def _transaction(self, group: Group) -> Collected:
        with self._conn.transaction():
            self._conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            self._conn.execute(assets.query("central/merge.give_way"))
            done = self._taken(group)
            self._world.crash("collect.merged")
        return done

    def _taken(self, group: Group) -> Collected:
        """The group and its marks; `straight` spares the look at each position."""
        self._row("lock_node", node=group.node)
        standing = self._standing(group)
        place = standing.place
        is_stray = place is Place.GAP and (group.node, group.uid) in self._overtaken
        if place is Place.TAKEN:
            return Collected(moved=1)
        if place is Place.FORGOTTEN:
            raise TillsyncError(
                "TS-316",
                f"{group.node} sends changes from before what head office remembers of it",
                hint="its file is an old backup: take the newest one, or register the till anew",
            )
        if is_stray:
            _log.warning("an upload goes in that nothing leads to: its till has another history now", end=group.end.seq)
        elif place is Place.GAP:
            self._conn.execute(assets.query("central/merge.note_gap"), {"node": group.node})
            return Collected(gaps=(group.node,))
        self._conn.execute(assets.query("central/merge.take"), {"node": group.node, "uid": group.uid})
        positions, done = self._merged(group, standing.follows)
        end, straight = (standing.applied, False) if is_stray else (group.end, standing.stays_straight)
        self._conn.execute(
            assets.query("central/merge.note_applied"),
            {"node": group.node, "seq": end.seq, "nonce": end.nonce, "straight": straight},
        )
        positions.note(self._conn, group)
        return done

    def _standing(self, group: Group) -> Standing:
        row = self._row("standing", node=group.node, uid=group.uid, **group.ends)
        applied = Position(row.pop("seq"), row.pop("nonce"))
        first = first_change(group) if group.prev == ORIGIN and row["floor"] else 0
        return Standing(group.prev, group.end, applied=applied, first=first, **row)

    def _merged(self, group: Group, straight: bool) -> tuple[Positions, Collected]:
        """Stage the group part by part and merge it; a table whose columns changed midway is merged in two steps."""
        node, rank = self._node(group.node), self._read_facts().rank
        assert node is not None
        sender = Sender(group.node, group.uid, node["params"], self._ahead)
        positions, stamps, done = Positions(), Stamps(), Collected(moved=1)
        stage = self._stage(group.node)

        def settled() -> Settled:
            window = None if straight else positions.range
            return settle(self._conn, stage, rank, sender, window, stamps.read())

        for _, _, frame in group.spool.parts():
            for shape, changes in by_shape(frame, group, positions, stamps):
                if not stage.takes(shape):
                    done = added(done, settled())
                    stage = self._stage(group.node, follows=True)
                stage.add(shape, changes)
        return positions, added(done, settled())

    def _stage(self, node: str, *, follows: bool = False) -> Stage:
        return Stage(self._conn, lambda shape: self._unit(node, shape), follows=follows)

    def _unit(self, node: str, shape: Shape) -> Unit | None:
        if (node, shape) not in self._units:
            row = self._node(node)
            assert row is not None
            made = units.find(self._conn, self._plan, shape, self._read_facts(), node, row["params"])
            self._units[node, shape] = made
        return self._units[node, shape]

    def _read_facts(self) -> Facts:
        if self._facts is None:
            self._facts = facts_of.read(self._conn, self._plan, self._scopes)
        return self._facts

    def _node(self, node: str) -> dict[str, Any] | None:
        if node not in self._nodes:
            with self._conn.cursor(row_factory=dict_row) as cursor:
                self._nodes[node] = cursor.execute(assets.query("central/merge.node"), {"node": node}).fetchone()
        return self._nodes[node]

    def _row(self, block: str, **given: Any) -> dict[str, Any]:
        with self._conn.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(assets.query(f"central/merge.{block}"), given).fetchone()
        assert row is not None
        return row


def collect(
    conn: psycopg.Connection,
    relay: Uploads,
    plan: Plan,
    world: World,
    *,
    retry_all: bool = False,
    ahead: timedelta = timedelta(0),
    scopes: Mapping[str, Filter] | None = None,
) -> Collected:
    """Every complete group that waits in the relay is merged; parked changes that are due, or all, are tried again.

    ahead: how far central's clock is before the relay's. scopes: see `scope.filters`, which reads them where not given.
    `conn` is a connection to central in autocommit mode; each group is one transaction. Raises TillsyncError for what
    is nobody's row: a login, a right, a disk, a table that is gone. Nothing is parked then.
    """
    done = Collector(conn, relay, plan, world, ahead, scopes).run()
    with translated(place_of(conn.info.dsn)):
        released = parked.retry(conn, plan, force=retry_all, scopes=scopes)
    return replace(done, moved=done.moved + released, merged=done.merged + released)


def added(one: Collected, other: Collected | Settled) -> Collected:
    """The sum of what was done."""
    sums = {name: getattr(one, name) + getattr(other, name) for name in ("merged", "conflicts", "parked")}
    if isinstance(other, Settled):
        return replace(one, **sums)
    gaps = tuple(dict.fromkeys(one.gaps + other.gaps))
    return replace(one, **sums, moved=one.moved + other.moved, gaps=gaps, refused={**one.refused, **other.refused})
