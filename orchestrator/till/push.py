"""Pushing: from the till's changelog to the relay. The model's `push`; what was shipped is durable at home first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apsw

from orchestrator.core import wire
from orchestrator.core.changes import Change, Position, encode_upload
from orchestrator.core.protocol import stretch
from orchestrator.core.world import World
from orchestrator.relay.messages import Hello, UploadPart
from orchestrator.settings import TillSettings
from orchestrator.till import changelog, shapes, state
from orchestrator.till.changelog import settled
from orchestrator.till.database import value
from orchestrator.till.relay import Relay
from orchestrator.till.restored import has_begun, take_back
from orchestrator.till.schema import stored_plan


@dataclass(frozen=True, slots=True)
class _Group:
    """Everything between two positions; central merges it whole."""

    uid: int
    prev: Position
    end: Position


def push(
    db: apsw.Connection,
    relay: Relay,
    world: World,
    settings: TillSettings,
    hello: Hello | None = None,
    *,
    ahead: float = 0.0,
) -> int:
    """Ships what the application changed since the last push, and all after the ack where central asked for it again.

    ahead: how far the till's clock is before the relay's, in seconds.
    Returns how many changes went. A crash between any two steps sends some of it again, which central sees.
    """
    hello = hello or relay.hello()
    now = state.load(db)
    if hello.uploaded != now.pushed or has_begun(db, hello):
        take_back(db, relay, world, hello)
        now = state.load(db)
    if now.resend is None and not changelog.has_after(db, now.pushed.seq):
        return 0
    group = _seal(db, world)
    world.crash("push.sealed")
    if group is None:
        return 0
    sent = 0
    clock = (round(ahead * 1000), round((world.now().timestamp() - ahead) * 1000))
    for part, count in _parts(db, group, settings, clock):
        relay.push(part)
        sent += count
        world.crash("push.part")
    world.crash("push.sent")
    with settled(db):
        state.set_pushed(db, group.end)
        state.set_resend(db, None)
    world.crash("push.stored")
    return sent


def _seal(db: apsw.Connection, world: World) -> _Group | None:
    """Commits the mark up to which is shipped; None where nothing is.

    The application may commit without waiting for the disk. This commit waits, and with it everything before it is
    durable: a power cut cannot take back at the till what central has already merged.
    """
    with settled(db):
        now = state.load(db)
        ends = stretch(now.marks, changelog.last(db))
        upto = ends[1].seq if ends is not None else now.pushed.seq
        sealed = value(db, "SELECT sealed_seq FROM tillsync_state")
        # Another value each time: a commit that changes nothing writes nothing, and syncs nothing.
        db.execute("UPDATE tillsync_state SET sealed_seq = ?, seals = seals + 1", (max(sealed, upto),))
    return None if ends is None else _Group(world.random63(), *ends)


def _parts(
    db: apsw.Connection, group: _Group, settings: TillSettings, clock: tuple[int, int]
) -> Iterator[tuple[UploadPart, int]]:
    """The group cut by rows and bytes, with the number of changes of each part. No read stays open between parts."""
    after, number, rows_max = group.prev.seq, 0, settings.part_rows_max
    plan = stored_plan(db)
    stamped = plan.stamped if plan else frozenset()
    while True:
        changes = changelog.read(db, after, group.end.seq, rows_max)
        body = _encode(db, changes, clock, stamped)
        if len(body) > min(settings.part_bytes_max, wire.BODY_BYTES_MAX) and len(changes) > 1:
            rows_max = max(1, len(changes) // 2)
            continue
        after = changes[-1].seq if changes else group.end.seq
        is_last = after >= group.end.seq
        yield UploadPart(group.uid, number, is_last, group.prev, group.end, wire.pack(body)), len(changes)
        if is_last:
            return
        number += 1


def _encode(db: apsw.Connection, changes: list[Change], clock: tuple[int, int], stamped: frozenset[str]) -> bytes:
    """Changes as an upload part: shapes go with it, so that old entries stay readable after a change of plan."""
    known = shapes.load(db)
    used = sorted({c.shape for c in changes})
    index = {number: i for i, number in enumerate(used)}
    asked = {number for number in used if known[number].shape.table in stamped}
    return encode_upload(
        [known[number].shape for number in used],
        [(c.seq, c.nonce, index[c.shape], c.op, c.old, c.new) for c in changes],
        clock,
        [c.at if c.shape in asked else 0 for c in changes] if asked else (),
    )
