"""A relay over lists, for tests of the till's half of the protocol. Integration tests use the real one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from orchestrator.core import plan as plans
from orchestrator.core import wire
from orchestrator.core.changes import ORIGIN, Change, Position, decode_upload
from orchestrator.core.plan import Plan
from orchestrator.relay.messages import Hello, Part, TickHead, UploadPart


def delta(stream: int, table: str, columns: Sequence[str], put: Sequence[Any] = (), cut: Sequence[Any] = ()) -> Part:
    return _part(stream, "delta", {"t": table, "c": columns, "put": put, "cut": cut})


def snapshot(stream: int, table: str, columns: Sequence[str], put: Sequence[Any]) -> Part:
    return _part(stream, "snapshot", {"t": table, "c": columns, "put": put})


def echo(table: str, columns: Sequence[str], put: Sequence[Any] = (), cut: Sequence[Any] = ()) -> Part:
    return _part(0, "echo", {"t": table, "c": columns, "put": put, "cut": cut})


def _part(stream: int, kind: str, body: dict[str, Any]) -> Part:
    return Part(stream, kind, 0, wire.pack(msgspec.json.encode(body)))


def _concerns(part: Part, mine: set[int], snapshot_streams: Sequence[int]) -> bool:
    of = {"echo": True, "delta": part.stream in mine, "snapshot": part.stream in snapshot_streams}
    return of[part.kind]


@dataclass
class ListedRelay:
    """What the relay would hold for one node. `lists_all`: every tick is a large one, whose parts are asked for."""

    plan_: Plan
    streams: tuple[tuple[int, str], ...] = ((1, "shared"),)
    node: str = "T1"
    epoch: int = 1
    ack: Position = ORIGIN
    ticks: list[tuple[TickHead, list[Part]]] = field(default_factory=list)
    pushed: list[UploadPart] = field(default_factory=list)
    wanted: set[int] = field(default_factory=set)
    reports: list[dict[str, Any]] = field(default_factory=list)
    lists_all: bool = False
    machine: str | None = None
    reloads: tuple[tuple[int, int], ...] = ()
    moves: tuple[tuple[int, str, int], ...] = ()
    asked: list[Part] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)

    def tick(self, *parts: Part, gap: bool = False, token: int | None = None) -> TickHead:
        """Publishes a tick with the present ack."""
        n = self.ticks[-1][0].n + 1 if self.ticks else 1
        head = TickHead(n, self.epoch, token or 1000 * self.epoch + n, self.plan_.version, self.ack, gap)
        self.ticks.append((head, [Part(p.stream, p.kind, i, p.frame) for i, p in enumerate(parts)]))
        return head

    def changes(self) -> list[Change]:
        """Everything pushed, with the shape replaced by nothing: as central would read it."""
        return [Change(*c) for p in self.pushed for c in decode_upload(wire.unpack(p.frame)).changes]

    def hello(self) -> Hello:
        top = self.ticks[-1][0] if self.ticks else None
        ends = [p.end for p in self.pushed if p.last]
        return Hello(
            node=self.node,
            epoch=self.epoch,
            plan_version=self.plan_.version,
            top_n=top.n if top else 0,
            top_token=top.token if top else 0,
            streams=self.streams,
            uploaded=ends[-1] if ends else ORIGIN,
            machine=self.machine,
            reloads=self.reloads,
            moves=self.moves,
        )

    def plan(self) -> str:
        return plans.encode(self.plan_).decode()

    def push(self, part: UploadPart) -> None:
        if not any((p.uid, p.part) == (part.uid, part.part) for p in self.pushed):
            self.pushed.append(part)

    def uploads(self) -> Iterator[UploadPart]:
        yield from self.pushed

    def knows(self, n: int, token: int) -> bool:
        return any((h.n, h.token) == (n, token) for h, _ in self.ticks)

    def snapshots(self) -> dict[int, int]:
        return {
            p.stream: h.n for h, parts in self.ticks for p in parts if p.kind == "snapshot" and h.epoch == self.epoch
        }

    def pull(self, after: int, snapshot_streams: Sequence[int], ticks_max: int) -> list[tuple[TickHead, list[Part]]]:
        mine = {s for s, _ in self.streams}
        found: list[tuple[TickHead, list[Part]]] = []
        for head, parts in self.ticks:
            own = [p for p in parts if _concerns(p, mine, snapshot_streams)]
            if head.n > after and self.lists_all and own:
                return [*found, (head, [Part(p.stream, p.kind, p.part, b"") for p in own])]
            if head.n > after:
                found.append((head, own))
        return found[:ticks_max]

    def parts(self, n: int, first: Part) -> list[Part]:
        self.asked.append(first)
        return [
            p
            for head, parts in self.ticks
            for p in parts
            if head.n == n and (p.kind, p.stream, p.part) == (first.kind, first.stream, first.part)
        ]

    def claim(self, identity: str) -> None:
        self.machine = self.machine or identity

    def want_snapshot(self, streams: Sequence[int]) -> None:
        self.wanted |= set(streams)

    def report(self, body: dict[str, Any]) -> None:
        self.reports.append(body)

    def put_result(self, frame: bytes) -> None:
        self.results.append(frame)

    def close(self) -> None:
        pass
