"""What the relay and its two kinds of callers tell each other."""

from __future__ import annotations

import msgspec

from orchestrator.core.changes import Position


class Hello(msgspec.Struct, frozen=True):
    """A branch's start of a round: what it is subscribed to, how far the relay is, what the relay has of it. `machine`:
    the identity that claimed the branch. `reloads`: streams of which a snapshot of that tick or later is needed.
    `moves`: streams (with channel) that it left in that tick. `now`: the relay's clock in seconds since 1970, None
    where it is too old to say. `begun`: ends of uploads, newer than `uploaded`, of which the rest has not come."""

    node: str
    epoch: int
    plan_version: int
    top_n: int
    top_token: int
    streams: tuple[tuple[int, str], ...]
    uploaded: Position
    machine: str | None = None
    reloads: tuple[tuple[int, int], ...] = ()
    moves: tuple[tuple[int, str, int], ...] = ()
    now: float | None = None
    begun: tuple[Position, ...] = ()
    plan_digest: str | None = None


class TickHead(msgspec.Struct, frozen=True):
    """A tick as it concerns one node: central's applied position of the node, and whether it must send again."""

    n: int
    epoch: int
    token: int
    plan_version: int
    ack: Position
    gap: bool


class Part(msgspec.Struct, frozen=True):
    """A framed part of a tick; kind is delta, snapshot or echo (an echo has stream 0). One that is only listed, because
    its tick is large, has an empty frame."""

    stream: int
    kind: str
    part: int
    frame: bytes


class UploadPart(msgspec.Struct, frozen=True):
    """A framed part of an upload group. `prev` and `end` are the group's, the same in all its parts."""

    uid: int
    part: int
    last: bool
    prev: Position
    end: Position
    frame: bytes


class FetchedUpload(msgspec.Struct, frozen=True):
    id: int
    node: str
    part: UploadPart


class Ack(msgspec.Struct, frozen=True):
    node: str
    position: Position
    gap: bool


class Head(msgspec.Struct, frozen=True):
    """Central's start of a round: the relay's epoch, newest tick, published plan, wanted snapshots, waiting uploads,
    its clock as in `Hello`, whether answers of tills wait, and the MD5 of the plan as tills see it (None: no plan, or a
    relay of an earlier version)."""

    epoch: int
    n: int
    token: int
    plan_version: int
    wants: tuple[int, ...]
    uploads: bool
    now: float | None = None
    results: bool = False
    plan_digest: str | None = None
