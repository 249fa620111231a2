"""Head office, a relay and three tills in memory, made of the pure functions that the real ones are made of.

Rows are four texts: store, note, qty, status. The first letter of a key says which policy its table has; `s` is a sale,
which only goes up. Keys that end with `x` may be deleted. Every step may be cut short where the real one may die.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from orchestrator import policies
from orchestrator.core import protocol
from orchestrator.core.changes import ORIGIN, Position
from orchestrator.core.plan import Column, PolicySpec, Table
from orchestrator.core.protocol import Marks, Place, Standing
from orchestrator.policies.contest import Rules
from orchestrator.policies.merging import Difference, come_to, in_turn, meet, merge

T = TypeVar("T")
Row = tuple[str, str, str, str]
Stamp = tuple[int, str]
COLUMNS = ("store", "note", "qty", "status")
STATES = ("draft", "sent", "paid", "done")
TABLES = {"c": "central_wins", "b": "branch_wins", "n": "newest_wins", "m": "column_merge", "s": "append_only"}
DIFFERENCE = Difference(lambda place, one, other: one != other)


@dataclass(frozen=True)
class Placed:
    name: str
    place: int


PLACED = [Placed(name, place) for place, name in enumerate(COLUMNS)]


def make_rules(policy: str) -> Rules:
    columns = tuple(Column(c, "text", "text", c) for c in COLUMNS)
    own = {"qty": PolicySpec("additive"), "status": PolicySpec("state_machine", STATES)}
    given = {} if policy == "append_only" else own
    return policies.rules(Table("t", "t", ("id",), columns, PolicySpec(policy), given))


RULES = {letter: make_rules(policy) for letter, policy in TABLES.items()}


@dataclass(frozen=True)
class Change:
    """A captured change. `at`: when, by a clock that all share."""

    pos: Position
    pk: str
    old: Row | None
    new: Row | None
    at: int


@dataclass(frozen=True)
class Upload:
    uid: int
    node: str
    prev: Position
    end: Position
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Tick:
    n: int
    epoch: int
    token: int
    deltas: dict[str, dict[str, Row | None]]
    echoes: dict[str, dict[str, Row | None]]
    acks: dict[str, Position]
    gaps: frozenset[str]
    snapshots: dict[str, dict[str, Row]]


@dataclass
class Central:
    """log: what changed, as (node or "" for a change, key, stores before and after). edits: head office's own.
    conflicts: keys of which there were any. met_nothing: those that a till changed and head office did not have."""

    rows: dict[str, Row] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    log: list[tuple[str, str, str, str]] = field(default_factory=list)
    applied: dict[str, tuple[Position, bool]] = field(default_factory=dict)
    inbound: dict[tuple[str, Position], Change] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    gaps: set[str] = field(default_factory=set)
    intents: dict[int, tuple[int, int]] = field(default_factory=dict)
    epoch: int = 1
    published: bool = False
    edits: list[tuple[str, Row | None, Row | None]] = field(default_factory=list)
    conflicts: set[str] = field(default_factory=set)
    met_nothing: set[str] = field(default_factory=set)

    def copy(self) -> Central:
        return _copied(self)


@dataclass
class Till:
    node: str
    store: str
    rows: dict[str, Row] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)
    marks: Marks = field(default_factory=lambda: Marks(0, ORIGIN, ORIGIN))
    tick: tuple[int, int] = (0, 0)

    def copy(self) -> Till:
        return _copied(self)

    def after(self, pos: Position) -> list[Change]:
        return [c for c in self.log if c.pos.seq > pos.seq]

    def has(self, pos: Position) -> bool:
        return pos == ORIGIN or (pos.seq <= len(self.log) and self.log[pos.seq - 1].pos == pos)

    def pending(self) -> set[str]:
        return {c.pk for c in self.after(self.marks.ack)}


@dataclass
class Relay:
    ticks: list[Tick] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    epoch: int = 1
    wants: set[str] = field(default_factory=set)

    def copy(self) -> Relay:
        return _copied(self)

    def of(self, node: str) -> list[Upload]:
        return [u for u in self.uploads if u.node == node]


class Chain:
    """The agents. A method whose name a planted bug overrides is one decision."""

    def __init__(self) -> None:
        self.central, self.relay = Central(), Relay()
        self.tills = {node: Till(node, store) for node, store in (("T1", "A"), ("T2", "A"), ("T3", "B"))}
        self.clock = 1
        self._random = 0
        self.rules = dict(RULES)

    # The decisions ---------------------------------------------------------------------------------------------------

    answered = staticmethod(protocol.answered)
    aligned = staticmethod(protocol.aligned)
    overtaken = staticmethod(protocol.overtaken)
    stretch = staticmethod(protocol.stretch)
    base_of = staticmethod(protocol.base_of)

    def place(self, standing: Standing) -> Place:
        return standing.place

    def follows(self, standing: Standing) -> bool:
        return standing.follows

    def skipped(self, till: Till) -> set[str]:
        return till.pending()

    def is_newer(self, stamp: Stamp, ours: Stamp) -> bool:
        return stamp > ours

    def is_same_tick(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return one == other

    def wants_echo(self, change: Change) -> bool:
        return change.pk[0] != "s"

    def is_own(self, till: Till, pos: Position) -> bool:
        return till.has(pos)

    def merged_row(self, rules: Rules, base: Row | None, theirs: Row | None, ours: Row | None, newer: bool) -> Any:
        meeting = meet(base, theirs, ours, len(COLUMNS), DIFFERENCE)._replace(newer=newer)
        return merge(meeting, PLACED, rules)

    # The applications ------------------------------------------------------------------------------------------------

    def office_write(self, pk: str, new: Row | None) -> None:
        old = self.central.rows.get(pk)
        if old is not None or new is not None:
            self._set(pk, new)
            self.central.edits.append((pk, old, new))
            self.central.stamps[pk] = max((self.clock, ""), self.central.stamps.get(pk, (0, "")))

    def till_write(self, till: Till, pk: str, new: Row | None) -> Change:
        pos = Position(len(till.log) + 1, self.random())
        change = Change(pos, pk, till.rows.get(pk), new, self.clock)
        till.log.append(change)
        _put(till.rows, pk, new)
        return change

    # The agents ------------------------------------------------------------------------------------------------------

    def push(self, till: Till, *, dies: bool = False) -> None:
        sent = self.relay.of(till.node)
        top = sent[-1].end if sent else ORIGIN
        if top != till.marks.pushed:
            self._align(till, sent, top)
        ends = self.stretch(till.marks, till.log[-1].pos if till.log else None)
        if ends is None:
            return
        changes = tuple(c for c in till.after(ends[0]) if c.pos.seq <= ends[1].seq)
        self.relay.uploads.append(Upload(self.random(), till.node, *ends, changes))
        if not dies:
            till.marks = replace(till.marks, pushed=ends[1], resend=None)

    def _align(self, till: Till, sent: list[Upload], top: Position) -> None:
        is_own = self.is_own(till, top)
        if not is_own:
            fresh = {c.pk for c in till.after(till.marks.pushed)}
            for change in (c for u in sent for c in u.changes if not till.has(c.pos)):
                if change.pk[0] == "s" and change.pk not in fresh:
                    _put(till.rows, change.pk, change.new)
        ends = [u.end for u in sent if till.has(u.end)]
        till.marks = self.aligned(till.marks, top, is_own=is_own, ends=ends)

    def collect(self, *, dies_after: int | None = None) -> None:
        waiting = [u for u in self.relay.uploads if u.uid not in self.central.taken]
        met = [(u.node, u.uid, self.collect_one(u)) for u in waiting[:dies_after]]
        late = self.overtaken(met) if dies_after is None else ()
        for upload in waiting:
            if (upload.node, upload.uid) in late:
                self.collect_one(upload, is_overtaken=True)

    def standing(self, upload: Upload) -> Standing:
        c, node = self.central, upload.node
        prev_known, end_known = (pos == ORIGIN or (node, pos) in c.inbound for pos in (upload.prev, upload.end))
        applied, straight = c.applied.get(node, (ORIGIN, True))
        return Standing(
            upload.prev, upload.end, upload.uid in c.taken, prev_known, end_known, applied, straight, floor=0
        )

    def collect_one(self, upload: Upload, *, is_overtaken: bool = False) -> Place:
        """One transaction."""
        c, standing = self.central, self.standing(upload)
        place = self.place(standing)
        is_stray = place is Place.GAP and is_overtaken
        if place is Place.GAP and not is_stray:
            c.gaps.add(upload.node)
            return place
        c.taken.add(upload.uid)
        for change in upload.changes:
            if self.wants_echo(change):
                c.log.append((upload.node, change.pk, "", ""))
        self.merge(upload, self.follows(standing))
        c.applied[upload.node] = (standing.applied, False) if is_stray else (upload.end, standing.stays_straight)
        return place

    def merge(self, upload: Upload, follows: bool) -> None:
        inbound = self.central.inbound
        new = [c for c in upload.changes if follows or (upload.node, c.pos) not in inbound]
        for change in collapsed(new, self.rules):
            self.merge_one(upload.node, change)
        for change in new:
            assert (upload.node, change.pos) not in inbound, "a change was merged twice"
            inbound[upload.node, change.pos] = change

    def merge_one(self, node: str, change: Change) -> None:
        c, pk = self.central, change.pk
        ours = c.rows.get(pk)
        stamp, stamped = (change.at, node), c.stamps.get(pk, (0, ""))
        newer = self.is_newer(stamp, stamped)
        row, merged = self.merged_row(self.rules[pk[0]], change.old, change.new, ours, newer)
        outcome = None if row is None else tuple(row)
        self.promised(change, ours, outcome, newer)
        if outcome != ours:
            self._set(pk, outcome)
            c.stamps[pk] = stamp if stamp > stamped else (stamped[0] + 1, node)
        if merged is not None and merged.decision.conflict:
            c.conflicts.add(pk)
            if ours is None:
                c.met_nothing.add(pk)

    def promised(self, change: Change, ours: Row | None, outcome: Row | None, newer: bool) -> None:
        """For an oracle that looks on."""

    def tick(self, *, dies_at: str = "") -> None:
        c, relay = self.central, self.relay
        top = relay.ticks[-1] if relay.ticks else None
        intended = c.intents.get(top.token) if top else None
        newest = max((n for n, _ in c.intents.values()), default=0)
        base = self.base_of(
            top.n if top else 0,
            (c.epoch, relay.epoch),
            is_intended=intended is not None,
            newest=newest,
            published=c.published,
        )
        now = len(c.log)
        since = now if base.whole or intended is None else intended[1]
        if base.n >= 0:
            c.intents = {token: intent for token, intent in c.intents.items() if intent[0] <= base.n}
        c.epoch = base.epoch
        wanted = {"A", "B"} if base.n < 0 else relay.wants
        tick = self._made(max(top.n if top else 0, newest) + 1, base.epoch, c.log[since:now], wanted)
        c.intents[tick.token] = (tick.n, now)
        if dies_at == "intent":
            return
        relay.ticks.append(tick)
        relay.epoch, relay.wants = base.epoch, set()
        c.gaps = set()
        if dies_at == "":
            c.published = True

    def _made(self, n: int, epoch: int, log: list[tuple[str, str, str, str]], wanted: Iterable[str]) -> Tick:
        c = self.central
        deltas: dict[str, dict[str, Row | None]] = {"A": {}, "B": {}}
        echoes: dict[str, dict[str, Row | None]] = {}
        for node, pk, *stores in log:
            row = c.rows.get(pk)
            if node:
                store = self.tills[node].store
                echoes.setdefault(node, {})[pk] = row if row and row[0] == store else None
            else:
                for store in set(stores) & {"A", "B"}:
                    deltas[store][pk] = row if row and row[0] == store else None
        acks = {node: position for node, (position, _) in c.applied.items()}
        snapshots = {store: self.content(store) for store in wanted}
        return Tick(n, epoch, self.random(), deltas, echoes, acks, frozenset(c.gaps), snapshots)

    def content(self, store: str) -> dict[str, Row]:
        return {pk: row for pk, row in self.central.rows.items() if pk[0] != "s" and row[0] == store}

    def pull(self, till: Till, *, ticks_max: int = 99) -> None:
        relay = self.relay
        same = any(self.is_same_tick((k.n, k.token), till.tick) for k in relay.ticks)
        if till.marks.epoch == relay.epoch and same:
            for tick in [k for k in relay.ticks if k.n > till.tick[0]][:ticks_max]:
                self.take(till, tick)
                for rows in (tick.deltas[till.store], tick.echoes.get(till.node, {})):
                    self.put(till, rows)
                till.tick = (tick.n, tick.token)
            return
        bases = [k for k in relay.ticks if till.store in k.snapshots and k.epoch == relay.epoch]
        if not bases:
            relay.wants.add(till.store)
            return
        self.take(till, bases[-1], is_anew=True)
        gone = {pk: None for pk in till.rows if pk[0] != "s"}
        self.put(till, gone | bases[-1].snapshots[till.store])
        till.tick = (bases[-1].n, bases[-1].token)

    def take(self, till: Till, tick: Tick, *, is_anew: bool = False) -> None:
        ack = tick.acks.get(till.node, ORIGIN)
        gap = till.node in tick.gaps
        given = {"is_own": self.is_own(till, ack), "gap": gap, "is_anew": is_anew}
        till.marks = self.answered(till.marks, tick.epoch, ack, **given)

    def put(self, till: Till, rows: dict[str, Row | None]) -> None:
        skipped, pending = self.skipped(till), till.pending()
        for pk, row in rows.items():
            if pk not in skipped:
                assert pk not in pending, "a till's own change was overwritten before it was answered"
                _put(till.rows, pk, row)

    # The rest --------------------------------------------------------------------------------------------------------

    def random(self) -> int:
        self._random += 1
        return self._random

    def drain(self) -> None:
        """Until nothing moves; all that was broken is whole."""
        for _ in range(12):
            for till in self.tills.values():
                self.push(till)
            self.collect()
            self.tick()
            for till in self.tills.values():
                self.pull(till)
            if self._is_still():
                return
        raise AssertionError("it does not come to rest")

    def _is_still(self) -> bool:
        return not (self.relay.wants or self.central.gaps) and all(
            t.marks.resend is None and not t.pending() and (t.tick == self._top()) for t in self.tills.values()
        )

    def _top(self) -> tuple[int, int]:
        return (self.relay.ticks[-1].n, self.relay.ticks[-1].token)

    def _set(self, pk: str, row: Row | None) -> None:
        old = self.central.rows.get(pk)
        _put(self.central.rows, pk, row)
        self.central.log.append(("", pk, old[0] if old else "", row[0] if row else ""))


def collapsed(changes: list[Change], rules: Mapping[str, Rules]) -> Iterator[Change]:
    """One change for each row and turn, stamped as its last."""
    of: dict[str, list[Change]] = {}
    for change in changes:
        of.setdefault(change.pk, []).append(change)
    for pk, found in of.items():
        left = iter(found)
        for turn in in_turn(((c.old, c.new) for c in found), lambda one, other: one != other):
            last = [next(left) for _ in turn][-1]
            old, new = come_to(turn, rules[pk[0]])
            if old is not None or new is not None:
                yield replace(last, old=cast("Row | None", old), new=cast("Row | None", new))


def _put(rows: dict[str, Row], pk: str, row: Row | None) -> None:
    if row is None:
        rows.pop(pk, None)
    else:
        rows[pk] = row


def _copied(one: T) -> T:
    """A copy that shares nothing that changes: containers are copied, what is in them never changes."""
    parts = {name: v.copy() if isinstance(v, dict | list | set) else v for name, v in vars(one).items()}
    return type(one)(**parts)
