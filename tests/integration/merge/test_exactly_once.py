"""Random histories of tills that are restored, cut off and killed, against the protocol's own rules in a few lines."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from msgspec.structs import replace as changed

from orchestrator.central.collect import collect
from orchestrator.core import wire
from orchestrator.core.changes import ORIGIN, Position, decode_upload
from orchestrator.relay.messages import FetchedUpload
from tests.integration.merge.conftest import Office, Till

SEEDS = int(os.environ.get("TILLSYNC_MERGE_SEEDS", "25"))
STEPS = 40
CRASHES = ("collect.fetched", "collect.merged", "collect.committed", "collect.marked")


class Killed(Exception):
    """The collector died here."""


@dataclass
class Rules:
    """What central may know after it has seen the uploads: the protocol, without any database."""

    applied: dict[str, tuple[Position, bool]] = field(default_factory=dict)
    inbound: set[tuple[str, Position]] = field(default_factory=set)
    taken: set[tuple[str, int]] = field(default_factory=set)
    gaps: set[str] = field(default_factory=set)
    moved: dict[str, int] = field(default_factory=dict)
    sold: set[tuple[str, int]] = field(default_factory=set)

    def pull(self, uploads: list[FetchedUpload], steps: int) -> None:
        """So many uploads of a round: what waits, then what stayed in a gap although something later went in."""
        passed = [upload for upload in uploads[:steps] if self._take(upload)]
        steps -= len(uploads)
        behind = [u for u in uploads if u not in passed and any(p.node == u.node and p.id > u.id for p in passed)]
        for upload in behind[: max(steps, 0)]:
            if not self._take(upload):
                self._merge_all(upload, straight=False)
                applied, _ = self.applied.get(upload.node, (ORIGIN, True))
                self.applied[upload.node] = (applied, False)

    def _take(self, upload: FetchedUpload) -> bool:
        """Whether it is no gap."""
        node, part = upload.node, upload.part
        if (node, part.uid) in self.taken:
            return True
        if not self._known(node, part.prev):
            self.gaps.add(node)
            return False
        empty = part.end == part.prev
        straight = self.applied.get(node, (ORIGIN, True)) == (part.prev, True)
        fresh = not self._known(node, part.end)
        self.applied[node] = (part.end, (straight and (fresh or empty)) or fresh)
        self._merge_all(upload, straight=straight)
        return True

    def _merge_all(self, upload: FetchedUpload, *, straight: bool) -> None:
        node, part = upload.node, upload.part
        for seq, nonce, _, op, old, new in decode_upload(wire.unpack(part.frame)).changes:
            if straight or not self._known(node, Position(seq, nonce)):
                assert not self._known(node, Position(seq, nonce)), "merged twice"
                self.inbound.add((node, Position(seq, nonce)))
                self._merge(node, op, old, new)
        self.taken.add((node, part.uid))

    def _known(self, node: str, position: Position) -> bool:
        return position == ORIGIN or (node, position) in self.inbound

    def _merge(self, node: str, op: str, old: Any, new: Any) -> None:
        if op == "I":
            self.sold.add((node, new[0]))
        else:
            self.moved["stock"] = self.moved.get("stock", 0) + int(new[1]) - int(old[1])


class Chaos:
    """Tills under one seed. A till's stock is its own idea; what counts is each movement, once."""

    def __init__(self, office: Office, seed: int) -> None:
        self.r = random.Random(seed)
        self.office, self.rules = office, Rules()
        self.tills = {node: office.till(node, seed) for node in ("T1", "T2")}
        self.stock = dict.fromkeys(self.tills, 100)
        self.backups: dict[str, tuple[Till, int]] = {}
        self.numbers = iter(range(1, 100_000))

    def step(self) -> None:
        node = self.r.choice(sorted(self.tills))
        till, choice = self.tills[node], self.r.random()
        if choice < 0.35:
            self.write(node, till)
        elif choice < 0.6:
            till.push(upto=self.r.randint(till.sent, len(till.log)))
        elif choice < 0.7:
            start = self.r.randint(0, len(till.log))
            till.push(since=start, upto=self.r.randint(start, len(till.log)))
        elif choice < 0.75:
            self.backups[node] = (self.copied(till), self.stock[node])
        elif choice < 0.8 and node in self.backups:
            backup, self.stock[node] = self.backups[node]
            self.tills[node] = self.copied(backup)
            self.tills[node].random = random.Random(self.r.random())  # another history from here on
        elif choice < 0.85:
            self.office.relay.taken.clear()  # the relay was restored: it offers everything again
        else:
            self.collect()

    def write(self, node: str, till: Till) -> None:
        for _ in range(self.r.randint(1, 3)):
            if self.r.random() < 0.5:
                till.insert("closure", number=next(self.numbers), day="2011-12-01", amount="1.00")
            else:
                now = self.stock[node]
                self.stock[node] = now + self.r.randint(-5, 5) or now + 1
                row = {"item_id": 1, "qty": str(now), "place": "A"}
                till.update("stock", row, qty=str(self.stock[node]))

    def collect(self, crash: bool = True) -> None:
        at = self.r.choice([*CRASHES, None, None]) if crash else None

        waiting = list(self.office.relay.fetch_uploads())
        reached: list[str] = []

        def strike(point: str) -> None:
            reached.append(point)
            if point == at and self.r.random() < 0.4:
                raise Killed

        office, done = self.office, 2 * len(waiting)
        try:
            collect(office.conn, office.relay, office.plan, replace(office.world, crash=strike))
        except Killed:
            done = reached.count("collect.fetched") - (reached[-1] in CRASHES[:2])
        self.rules.pull(waiting, done)
        self.check()

    def check(self) -> None:
        office, rules = self.office, self.rules
        applied = {
            n: (Position(s, o), f)
            for n, s, o, f in office.rows("SELECT node, seq, nonce, straight FROM tillsync.applied")
        }
        assert applied == rules.applied
        assert set(office.rows("SELECT node, uid FROM tillsync.taken")) == rules.taken
        assert {n for (n,) in office.rows("SELECT node FROM tillsync.gap")} == rules.gaps
        positions = office.rows(
            "SELECT node, u.seq, u.nonce FROM tillsync.inbound i, unnest(i.seqs, i.nonces) u (seq, nonce)"
        )
        assert {(n, Position(s, o)) for n, s, o in positions} == rules.inbound
        assert set(office.rows("SELECT till, number FROM closure")) == rules.sold
        assert office.rows("SELECT qty::integer FROM stock") == [(100 + rules.moved.get("stock", 0),)]
        assert office.rows("SELECT FROM tillsync.parked") == office.rows("SELECT FROM tillsync.conflict") == []

    def copied(self, till: Till) -> Till:
        relay, plan, ids = till.relay, till.plan, till.ids
        twin = copy.copy(till)
        twin.relay, twin.plan, twin.ids, twin.log = relay, plan, ids, list(till.log)
        return twin


@pytest.fixture
def additive_office(open_office: Callable[..., Office]) -> Office:
    return open_office("additive")


def test_b08_whatever_is_sent_again_restored_or_killed_counts_once(additive_office: Office) -> None:
    office = additive_office
    for seed in range(SEEDS):
        office.run(
            """TRUNCATE closure, closure_line, tillsync.applied, tillsync.taken, tillsync.gap, tillsync.inbound, stock;
            INSERT INTO stock VALUES (1, 100, 'A')"""
        )
        office.relay.uploads.clear()
        office.relay.taken.clear()
        chaos = Chaos(office, seed)
        try:
            for _ in range(STEPS):
                chaos.step()
            for _ in range(4):
                chaos.collect(crash=False)
        except AssertionError as e:
            raise AssertionError(f"seed {seed}: {e}") from e


@pytest.mark.parametrize("point", CRASHES)
def test_a_collector_that_dies_at_any_point_is_followed_by_one_that_goes_on(office: Office, point: str) -> None:
    till = office.till()
    till.insert("closure", number=1, day="2011-12-01", amount="1.00")
    till.push()

    def strike(where: str) -> None:
        if where == point:
            raise Killed

    with pytest.raises(Killed):
        collect(office.conn, office.relay, office.plan, replace(office.world, crash=strike))
    office.collect()
    assert office.rows("SELECT till, number FROM closure") == [("T1", 1)]
    assert len(office.rows("SELECT FROM tillsync.inbound")) == 1
    assert office.relay.taken == [("T1", till.relay.uploads[0].part.uid)]


def test_a_gap_is_asked_for_once_and_closed_by_what_comes(office: Office) -> None:
    till = office.till()
    for number in (1, 2, 3):
        till.insert("closure", number=number, day="2011-12-01", amount="1.00")
    till.push(since=1)  # the first change never arrived
    assert office.collect().gaps == ("T1",)
    asked = office.rows("SELECT xid::text FROM tillsync.gap")
    assert office.collect().moved == 0
    assert office.rows("SELECT xid::text FROM tillsync.gap") == asked
    till.push(since=0)
    office.collect()
    assert office.rows("SELECT number FROM closure ORDER BY 1") == [(1,), (2,), (3,)]
    assert len(office.relay.taken) == 2


def test_what_a_till_sent_in_a_former_life_goes_in_though_nothing_leads_to_it(office: Office) -> None:
    """Its file and head office came back from backups, and the relay has forgotten what was taken: the change between is
    nowhere. What came after it would wait, and be asked for, for ever."""
    till, twin = office.till(), office.till(seed=1)
    for number in (1, 2):
        till.insert("closure", number=number, day="2011-12-01", amount="1.00")
    till.push(since=1)
    assert office.collect().gaps == ("T1",)
    twin.insert("closure", number=3, day="2011-12-01", amount="1.00")
    twin.push()
    done = office.collect()
    assert (done.moved, done.merged, done.gaps) == (2, 2, ())
    assert office.rows("SELECT number FROM closure ORDER BY 1") == [(2,), (3,)]
    assert office.rows("SELECT seq, nonce, straight FROM tillsync.applied") == [(*_ends(twin), False)]
    twin.insert("closure", number=4, day="2011-12-01", amount="1.00")
    till.push(since=1)  # once more, by a relay that was restored
    twin.push()
    assert office.collect().gaps == ()
    assert office.rows("SELECT number FROM closure ORDER BY 1") == [(2,), (3,), (4,)]


def _ends(till: Till) -> tuple[int, int]:
    position = till.log[-1][0]
    return position.seq, position.nonce


def test_a_groups_end_may_be_the_position_of_no_change(office: Office) -> None:
    """A till commits a marker before it sends: the next group starts from there."""
    till = office.till()
    till.insert("closure", number=1, day="2011-12-01", amount="1.00")
    till.insert("closure", number=2, day="2011-12-01", amount="1.00")
    till.push(upto=1)
    marker = Position(2, 4711)
    first = office.relay.uploads[0]
    office.relay.uploads[0] = changed(first, part=changed(first.part, end=marker))
    till.log[1] = (Position(3, 1), *till.log[1][1:])
    till.push(since=1)
    second = office.relay.uploads[1]
    office.relay.uploads[1] = changed(second, part=changed(second.part, prev=marker))
    assert office.collect().gaps == ()
    assert office.rows("SELECT number FROM closure ORDER BY 1") == [(1,), (2,)]
    assert office.rows("SELECT seq, straight FROM tillsync.applied") == [(3, True)]
