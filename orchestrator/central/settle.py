"""What is staged becomes part of central: merged, refused, parked, and answered for by an echo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from orchestrator import assets
from orchestrator.central.documents import merge_whole
from orchestrator.central.merge import Failure, Sender, Torn
from orchestrator.central.parked import park, park_unread, take_out
from orchestrator.central.stage import Stage
from orchestrator.central.stamps import Stamp, keep, lay_down
from orchestrator.central.unit import Unit

Window = tuple[int, int]
"""First and last number of the positions that may have been merged before."""


@dataclass(frozen=True)
class Settled:
    """Counts of changes. A change that a conflict decided against is merged too: it is done with."""

    merged: int = 0
    conflicts: int = 0
    parked: int = 0


def settle(
    conn: psycopg.Connection,
    stage: Stage,
    rank: Mapping[str, int],
    sender: Sender,
    window: Window | None,
    stamps: Iterable[Stamp] = (),
) -> Settled:
    """Settle all that is staged, within the caller's transaction. `window` is None where every change is a new one.

    The echo is asked for before anything else, and for changes that were merged before too: the till waits for it.
    """
    for unit in stage.units.values():
        if unit.direction != "up":
            conn.execute(unit.sql("ask_echo"), {"node": sender.node})
    if window is not None:
        _drop_known(conn, stage, sender, window)
    is_stamped = any(unit.table.asks_when for unit in stage.units.values())
    if is_stamped:
        lay_down(conn, stamps, follows=stage.follows)
    parked = park_unread(conn, stage.unread, sender)
    parked += _hold_back(conn, stage, sender)
    conflicts = failures = 0

    def take(unit: Unit, documents: Sequence[str], failed: Sequence[Failure]) -> int:
        nonlocal parked
        count = take_out(conn, sender, unit, documents, failed)
        parked += count
        return count

    is_left = True
    while is_left:
        try:
            merged = merge_whole(conn, stage, rank, sender, take)
        except Torn as torn:
            _set_aside(conn, stage, torn.at)
            continue
        conflicts += merged.conflicts
        failures += park(conn, merged.failures, sender)
        is_left = _bring_back(conn, stage)
        parked += _hold_back(conn, stage, sender) if is_left else 0
    if is_stamped and parked + failures:
        keep(conn, sender.node, sender.uid)
    return Settled(sum(stage.staged.values()) - failures, conflicts, parked + failures)


def _set_aside(conn: psycopg.Connection, stage: Stage, at: int) -> None:
    """Changes from a place on wait until those before it are merged.

    A till that sends again what head office has lost may have taken head office's row between two changes of its own.
    Taken together they would count what others did as the till's.
    """
    for unit in stage.units.values():
        conn.execute(unit.sql("make_later"), {})
        conn.execute(unit.sql("set_aside"), {"at": at})
    stage.is_torn = True


def _bring_back(conn: psycopg.Connection, stage: Stage) -> bool:
    """What was set aside takes the place of what is merged; whether that is anything."""
    if not stage.is_torn:
        return False
    stage.is_torn, stage.follows = False, True
    found = 0
    for unit in stage.units.values():
        conn.execute(unit.sql("empty_stage"), {})
        found += conn.execute(unit.sql("bring_back"), {}).rowcount
    return found > 0


def _drop_known(conn: psycopg.Connection, stage: Stage, sender: Sender, window: Window) -> None:
    given = {"node": sender.node, "first": window[0], "last": window[1]}
    for name, unit in stage.units.items():
        stage.staged[name] -= conn.execute(unit.sql("drop_known"), given).rowcount
    if stage.unread:
        known = set(conn.execute(assets.query("central/merge.known_positions"), given).fetchall())
        stage.unread = [u for u in stage.unread if (u.seq, u.nonce) not in known]


def _hold_back(conn: psycopg.Connection, stage: Stage, sender: Sender) -> int:
    """Changes of rows and documents that have parked ones wait behind them, so that they stay in order."""
    if conn.execute(assets.query("central/merge.any_parked"), {"node": sender.node}).fetchone() != (True,):
        return 0
    held = 0
    for name, unit in stage.units.items():
        if unit.direction != "down":
            count = conn.execute(unit.sql("hold_back"), {"node": sender.node, "uid": sender.uid, "tab": name}).rowcount
            stage.staged[name] -= count
            held += count
    return held
