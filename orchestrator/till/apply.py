"""Applying ticks at the till: rows, ack and position in one write transaction, with capture at rest inside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw

from orchestrator.core import protocol
from orchestrator.core.world import World
from orchestrator.relay.messages import TickHead
from orchestrator.till import adopting, asked, extras, held, known, lost, notices, orphans, state, waiting
from orchestrator.till.changelog import has, settled
from orchestrator.till.database import make_temp, rows
from orchestrator.till.known import Memory
from orchestrator.till.lifting import LIFT_BYTES_MIN, lifted
from orchestrator.till.orphans import Touched
from orchestrator.till.parts import Piece, Rows
from orchestrator.till.pending import Pending
from orchestrator.till.puts import put, put_with_care
from orchestrator.till.staged import Staged
from orchestrator.till.state import State
from orchestrator.till.target import Target, fill
from orchestrator.till.ticks import Tick


@dataclass
class _Run:
    """One transaction: what was found at its start, and the pending keys as of the newest ack. `never`: the streams
    that were never loaded."""

    db: apsw.Connection
    at: str
    pending: Pending
    loaded: dict[int, bool]
    waiting: frozenset[str]
    memories: Mapping[str, Memory]
    never: set[int] = field(default_factory=set)
    touched: Touched = field(default_factory=Touched)
    moved: int = 0
    remembered: dict[str, list[Sequence[Any]] | None] = field(default_factory=dict)

    def look_again(self) -> None:
        """There are new own changes, or another ack."""
        self.pending = Pending(self.db, state.load(self.db).ack)

    def remember(self, target: Target, keys: Sequence[Sequence[Any]] | None) -> None:
        """Notes rows of a table (None: all of them) whose memory is to be brought up to date at the end."""
        noted = self.remembered.setdefault(target.table.name, [])
        if keys is None:
            self.remembered[target.table.name] = None
        elif noted is not None:
            noted += keys


def apply(db: apsw.Connection, targets: Mapping[str, Target], ticks: Sequence[Tick], world: World) -> int:
    """Applies ticks in their order, in one transaction. Returns how many rows were put or cut.

    A crash at any point leaves all of it or nothing. Whatever the application writes meanwhile waits for the commit
    and is captured: no other connection ever sees that capture rests.
    """
    with settled(db):
        known.follow(db)
        state.set_applying(db, True)
        world.crash("apply.begun")
        now = state.load(db)
        ticks_of = dict(rows(db, "SELECT stream, loaded_tick FROM tillsync_stream"))
        loaded = {stream: bool(tick) for stream, tick in ticks_of.items()}
        run = _Run(db, world.now().isoformat(), Pending(db, now.ack), loaded, waiting.tables(db), known.memories(db))
        run.never.update(stream for stream, tick in ticks_of.items() if tick is None)
        with lifted(db, _heavy(targets, ticks)):
            for tick in ticks:
                before, now = now, take_ack(db, now, tick.head)
                if held.take(db, tick.news, tick.head.n, run.at) or before.ack != now.ack:
                    run.look_again()
                _apply_tick(run, targets, tick)
                asked.note(db, tick.news, tick.head)
                lost.take(db, targets, tick.news, tick.head.n, run.at)
                world.crash("apply.tick")
            _try_again(run, targets, ticks[0].head.n, ticks[-1].head.n)
        for name, keys in run.remembered.items():
            known.remember(db, targets[name], run.memories[name], keys)
        orphans.report(db, targets, run.touched, ticks[-1].head.n, run.at)
        orphans.postpone(db, targets, run.touched, ticks[-1].head.n, run.at)
        state.set_applying(db, False)
        world.crash("apply.rows")
    world.crash("apply.committed")
    return run.moved


def take_ack(db: apsw.Connection, now: State, head: TickHead) -> State:
    """What central has answered, and whether it must be sent again. Also moves the till to this tick."""
    is_anew = not now.tick
    if head.epoch != now.epoch or is_anew:
        held.forget_all(db)  # head office says again what is parked
    marks = protocol.answered(now.marks, head.epoch, head.ack, is_own=has(db, head.ack), gap=head.gap, is_anew=is_anew)
    state.set_ack(db, marks.ack)
    state.set_pushed(db, marks.pushed)
    state.set_resend(db, marks.resend)
    state.set_tick(db, head.epoch, head.n, head.token)
    return state.load(db)


def _apply_tick(run: _Run, targets: Mapping[str, Target], tick: Tick) -> None:
    changes: dict[str, list[Piece]] = {}
    snapshots: dict[str, list[Piece]] = {}
    moves: dict[str, list[Piece]] = {}
    for piece in tick.pieces:
        if piece.applies(run.loaded):
            of_kind = {"snapshot": snapshots, "move": moves}.get(piece.kind, changes)
            of_kind.setdefault(piece.layout.target.table.name, []).append(piece)
    for name, target in targets.items():
        if name in tick.staged:
            _apply_staged(run, tick.staged[name], tick.head.n)
        elif name in changes or name in snapshots:
            _apply_table(run, target, snapshots.get(name, []), changes.get(name, []), tick.head.n)
    for name, target in targets.items():
        if name in moves:
            _apply_table(run, target, [], moves[name], tick.head.n)
    _switch(run, [pair for one in tick.news for pair in one.moved], tick.head.n)
    loaded = {p.stream for pieces in snapshots.values() for p in pieces}
    for stream in loaded.union(*(staged.loads for staged in tick.staged.values())):
        run.db.execute("UPDATE tillsync_stream SET loaded_tick = ? WHERE stream = ?", (tick.head.n, stream))
        run.loaded[stream] = True
    run.waiting = waiting.tables(run.db)  # the next tick may take back what this one could not put


def _switch(run: _Run, moved: Sequence[tuple[int, int]], tick: int) -> None:
    """From here on the till takes other streams of its channels. One that was not loaded is loaded as any new one."""
    for old, new in moved:
        if run.loaded.get(old) and new not in run.loaded:
            run.db.execute("UPDATE tillsync_stream SET stream = ?, loaded_tick = ? WHERE stream = ?", (new, tick, old))
            del run.loaded[old]
            run.loaded[new] = True


def _apply_staged(run: _Run, staged: Staged, tick: int) -> None:
    """As `_apply_table`, set by set. Raises NeedsCare where something came into the way after the comparison."""
    db, target = run.db, staged.target
    if staged.loads & run.never and adopting.own_values_win(target):
        staged.enter_own()
        run.look_again()
    name, pending = target.table.name, run.pending.of(target)
    if name in run.waiting and staged.loads:
        waiting.forget_all(db, target)
    elif name in run.waiting:
        waiting.forget_those(db, target, staged.has_key)
    if staged.cuts and staged.loads & run.never:
        extras.set_aside(db, target, staged.is_cut(pending=pending), tick, run.at)
    staged.apply_cuts(pending=pending)
    staged.apply_puts(pending=pending)
    careful = staged.with_care()
    is_noticed = staged.has_notices
    if careful and is_noticed:
        notices.start(db, target)
        notices.touch(db, target, [[row[p] for p in staged.layout.key_places] for row in careful])
        notices.remember(db, target)
    if careful:
        put_with_care(db, staged.layout, careful, pending=pending, tick=tick, at=run.at)
    if careful and is_noticed:
        notices.collect(db, target, tick, run.at)
    waiting.add_unfit(db, staged.layout, staged.unfit, tick, run.at)
    staged.apply_notices(tick, run.at, pending=pending)
    run.moved += staged.puts + staged.cuts
    run.touched.postpone(target, is_cut=bool(staged.cuts))
    if name in run.memories:
        known.remember_staged(db, target, run.memories[name], staged.keys())


def _apply_table(run: _Run, target: Target, snapshot: list[Piece], changes: list[Piece], tick: int) -> None:
    """One table in one tick: first what goes, then what comes, so that a value handed on is free."""
    db = run.db
    _adopt(run, target, snapshot)
    pending = run.pending.of(target)
    is_noticed = target.table.notice is not None and _notice(run, target, snapshot, changes)
    if target.table.name in run.waiting:
        for piece in changes:
            waiting.forget(db, target, piece.keys())
    if snapshot:
        waiting.forget_all(db, target)
        _cut_strangers(run, target, snapshot, pending=pending, tick=tick)
        run.touched.cut(target)
    for piece in changes:
        if cuts := piece.cuts():
            run.moved += len(cuts)
            run.touched.cut(target)
            _cut(db, target, cuts, pending=pending)
    for piece in (*snapshot, *changes):
        arrived = piece.puts()
        run.moved += len(arrived)
        put(db, piece.layout, arrived, pending=pending, tick=tick, at=run.at)
        waiting.add_unfit(db, piece.layout, piece.unfit, tick, run.at)
        if target.till.foreign_keys:
            run.touched.put(target, [[row[p] for p in piece.layout.key_places] for row in arrived])
    for piece in (*snapshot, *changes) if target.table.name in run.memories else ():
        run.remember(target, None if snapshot else piece.keys())
    if is_noticed:
        notices.collect(db, target, tick, run.at)


def _adopt(run: _Run, target: Target, snapshot: list[Piece]) -> None:
    """At a first load: where the branch wins, the rows that it has stand."""
    if run.never & {piece.stream for piece in snapshot} and adopting.own_values_win(target):
        for piece in snapshot:
            adopting.enter(run.db, piece.layout, piece.puts())
        run.look_again()


def _notice(run: _Run, target: Target, snapshot: list[Piece], changes: list[Piece]) -> bool:
    """Notes the rows that are about to change. A first load is no news: an empty table gives no notices."""
    if snapshot and not _has_rows(run.db, target):
        return False
    notices.start(run.db, target)
    if snapshot:
        notices.touch_all(run.db, target)
    for piece in (*snapshot, *changes):
        notices.touch(run.db, target, piece.keys())
    notices.remember(run.db, target)
    return True


def _cut(db: apsw.Connection, target: Target, keys: Rows, *, pending: bool) -> None:
    bound = [f"?{i}" for i in range(1, len(target.key) + 1)]
    unless = target.unless_pending(bound, pending)
    db.executemany(fill("cut", table=target.name, is_key=target.is_key("", bound), unless_pending=unless), keys)


def _cut_strangers(run: _Run, target: Target, snapshot: list[Piece], *, pending: bool, tick: int) -> None:
    db = run.db
    if not _has_rows(db, target):
        return
    members = target.temp("members")
    make_temp(db, members, target.key_declaration())
    places = range(1, len(target.key) + 1)
    bound = ", ".join(f"?{i}" for i in places)
    for piece in snapshot:
        db.executemany(f"INSERT OR IGNORE INTO temp.{members} VALUES ({bound})", piece.keys())
    own_key = [f"{target.name}.{k}" for k in target.quoted_key]
    is_member = " AND ".join(f"m.k{i} = {k}" for i, k in zip(places, own_key, strict=True))
    unless = target.unless_pending(own_key, pending)
    if run.never & {piece.stream for piece in snapshot}:
        is_stranger = f"NOT EXISTS (SELECT 1 FROM temp.{members} AS m WHERE {is_member}){unless}"
        extras.set_aside(db, target, is_stranger, tick, run.at)
    db.execute(fill("cut_strangers", table=target.name, members=members, is_member=is_member, unless_pending=unless))
    db.execute(f"DELETE FROM temp.{members}")


def _try_again(run: _Run, targets: Mapping[str, Target], first: int, last: int) -> None:
    """Rows that have waited since earlier applies: what was in their way may be gone."""
    for name in run.waiting & targets.keys():
        target = targets[name]
        for found, bodies in waiting.before(run.db, target, first):
            put_with_care(run.db, found, bodies, pending=run.pending.of(target), tick=last, at=run.at)
            if name in run.memories:
                run.remember(target, [[row[p] for p in found.key_places] for row in bodies])


def _heavy(targets: Mapping[str, Target], ticks: Sequence[Tick]) -> list[Target]:
    """The tables that get so many rows that their triggers are better lifted."""
    sizes = Counter({name: LIFT_BYTES_MIN for tick in ticks for name in tick.staged})
    for piece in (p for tick in ticks for p in tick.pieces):
        sizes[piece.layout.target.table.name] += piece.size
    return [targets[name] for name, size in sizes.items() if size >= LIFT_BYTES_MIN]


def _has_rows(db: apsw.Connection, target: Target) -> bool:
    return bool(rows(db, f"SELECT 1 FROM {target.name} LIMIT 1"))
