"""Applying a large tick: what was compared ahead goes in one short transaction, a first load in slices before it.

Where the till never had anything of a stream there is no old state that a reader could see mixed with the new one, so
its rows may come in several transactions, each far below `lock_ms_max`. Everything else of a tick is applied at once:
a price list is the old or the new one.
"""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from orchestrator.core.world import World
from orchestrator.log import logger
from orchestrator.till import known, orphans, state
from orchestrator.till.apply import apply
from orchestrator.till.changelog import settled
from orchestrator.till.database import rows
from orchestrator.till.lifting import lifted
from orchestrator.till.pending import Pending
from orchestrator.till.puts import ROW_FAULTS
from orchestrator.till.staged import NeedsCare, Staged
from orchestrator.till.target import Target
from orchestrator.till.ticks import Tick

SLICE_ROWS = 2_000
"""The first slice; the next ones follow the till's pace."""

log = logger("till.large")


def apply_large(
    db: apsw.Connection, targets: Mapping[str, Target], tick: Tick, world: World, lock_ms_max: float
) -> int:
    """Applies a tick that is laid out in the side file. Returns how many rows were put or cut."""
    never = {s for (s,) in rows(db, "SELECT stream FROM tillsync_stream WHERE loaded_tick IS NULL")}
    moved = 0
    for staged in tick.staged.values():
        if staged.loads & never and staged.is_only_new:
            moved += _first_rows(db, staged, world, lock_ms_max)
    while True:
        started = world.monotonic()
        try:
            moved += apply(db, targets, [tick], world)
            break
        except NeedsCare as e:
            e.staged.take_care()
    held_ms = (world.monotonic() - started) * 1000
    if held_ms > lock_ms_max:
        log.warning("the till's file was locked for long", ms=round(held_ms), lock_ms_max=lock_ms_max, rows=moved)
    orphans.catch_up(db, targets, tick.head.n, world.now().isoformat())
    return moved


def _first_rows(db: apsw.Connection, staged: Staged, world: World, lock_ms_max: float) -> int:
    """Puts the rows of a first load slice by slice; what is left over, because something is in the way, comes after."""
    size, moved = SLICE_ROWS, 0
    while (upto := staged.slice_end(size)) is not None:
        started = world.monotonic()
        try:
            with settled(db):
                _put_slice(db, staged, upto)
        except ROW_FAULTS:
            break
        taken_ms = (world.monotonic() - started) * 1000
        moved += staged.drop_slice(upto)
        size = max(1, round(size * min(4.0, max(0.25, lock_ms_max / 2 / max(taken_ms, 0.1)))))
        world.crash("apply.slice")
    return moved


def _put_slice(db: apsw.Connection, staged: Staged, upto: tuple[object, ...]) -> None:
    """Within the agent's write transaction."""
    known.follow(db)
    state.set_applying(db, True)
    with lifted(db, [staged.target]):
        staged.apply_slice(upto, pending=Pending(db, state.load(db).ack).of(staged.target))
        memory = known.memories(db).get(staged.target.table.name)
        if memory is not None:
            known.remember_staged(db, staged.target, memory, staged.keys_upto(), upto)
    state.set_applying(db, False)
