"""Making a tick: the routing of each table, and what comes of it, as parts for streams and nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from orchestrator import assets
from orchestrator.central.routing import Route, Statement, routes
from orchestrator.central.schema import Prepared, plans_since
from orchestrator.central.span import Span
from orchestrator.central.spool import Spool
from orchestrator.core import wire
from orchestrator.core.plan import Table
from orchestrator.relay.messages import Ack

MANY_ROWS = 5_000
"""Above so many rows in the logs the candidates are laid down and analyzed, which costs a few milliseconds."""


@dataclass
class Tick:
    """A tick in the making: what it carries lies in the spool until the intent is committed. `sent`: (rows, bytes) by
    stream or node, and table. `more`: what is less urgent goes with the next one."""

    n: int
    token: int
    epoch: int
    spool: Spool
    acks: list[Ack] = field(default_factory=list)
    served: tuple[int, ...] = ()
    moves: tuple[Move, ...] = ()
    more: bool = False
    rows: int = 0
    sent: dict[tuple[int | str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, target: int | str, kind: str, table: Table, rows: int, frame: bytes) -> None:
        """Takes in a part with so many rows of a table."""
        self.spool.add((target, kind), frame)
        self.rows += rows
        had_rows, had_bytes = self.sent.get((target, table.name), (0, 0))
        self.sent[target, table.name] = (had_rows + rows, had_bytes + len(frame))


@dataclass(frozen=True, slots=True)
class Move:
    """A branch that goes from one stream of a channel to another."""

    node: str
    channel: str
    old_stream: int
    new_stream: int


@dataclass(frozen=True)
class Changed:
    """What the logs have for a tick: how many rows by table (infinitely many after a truncation), and which tables were
    truncated or have echoes to make."""

    rows: Mapping[str, float] = field(default_factory=dict)
    truncated: Set[str] = frozenset()
    echoes: Set[str] = frozenset()


class TickMaker:
    """Fills ticks of one plan, within transactions of its caller's."""

    def __init__(self, conn: psycopg.Connection, prepared: Prepared, part_rows_max: int) -> None:
        self._conn, self._plan, self._part_rows = conn, prepared.plan, part_rows_max
        self._logs = {c.tab: c for c in prepared.captured}
        self._routes = routes(prepared.plan.channels, prepared.filters, self._logs, prepared.plan.parameters)

    @property
    def tables(self) -> Mapping[str, Set[str]]:
        """Of each channel, with those that its filters look at."""
        found: dict[str, set[str]] = {}
        for route in self._routes:
            found.setdefault(route.channel.name, set()).update((route.table.name, *route.dependencies))
        return found

    def deltas(
        self,
        tick: Tick,
        span: Span,
        changed: Changed,
        again: Mapping[str, bool],
        channels: Set[str] | None = None,
    ) -> None:
        """What changes in the streams that are loaded. `again`: as `replanned` says, empty for the same plan."""
        tables = {name: name in changed.truncated for name in changed.rows}
        for route in self._of(channels):
            own = (route.table.name, *route.dependencies)
            if again or changed.rows.keys() & set(own):
                every = again.get(route.table.name, True) if again else None
                statement = route.delta(span, self._logs, tables, self._part_rows, tick.n, every=every)
                many = bool(again) or sum(changed.rows.get(name, 0) for name in own) > MANY_ROWS
                self._collect(tick, route.table, "delta", statement, many=many)

    def moves(
        self,
        tick: Tick,
        moves: Collection[Move],
        live: Mapping[int, str],
        span: Span,
        changed: Changed,
        again: Mapping[str, bool],
    ) -> None:
        """What moving branches need; once for all that go the same way. New streams that are not loaded yet are loaded
        here alone: nobody takes them whole. `live`: the channels of streams."""
        loaded = {stream for (stream,) in self._conn.execute(assets.query("central.loaded_streams")).fetchall()}
        self._load(tick, {m.new_stream: live[m.new_stream] for m in moves if m.new_stream not in loaded})
        ways: dict[tuple[str, int, int], list[str]] = {}
        for move in moves:
            ways.setdefault((move.channel, move.old_stream, move.new_stream), []).append(move.node)
        for (channel, old, new), nodes in ways.items():
            if old == new:
                continue
            for route in (r for r in self._routes if r.channel.name == channel):
                whole = again.get(route.table.name, False) or route.table.name in changed.truncated
                statement = route.move(old, new, tick.n, self._part_rows, span, whole=whole)
                self._collect_move(tick, route.table, statement, nodes)
            for node in nodes:
                tick.spool.add((node, "echo"), _moved(old, new))

    def _load(self, tick: Tick, streams: Mapping[int, str]) -> None:
        """Brings the ledgers of streams up to the tick."""
        for route in self._routes:
            own = [s for s, channel in streams.items() if channel == route.channel.name]
            if own:
                with self._laid_down(route.snapshot(own, self._part_rows, tick.n), many=True) as statement:
                    self._conn.execute(statement)
        if streams:
            self._conn.execute(assets.query("central.loaded"), {"n": tick.n, "streams": list(streams)})

    def _of(self, channels: Set[str] | None) -> Iterator[Route]:
        return (r for r in self._routes if channels is None or r.channel.name in channels)

    def echoes(self, tick: Tick, span: Span, changed: Changed, channels: Set[str] | None = None) -> None:
        """What nodes asked about."""
        for route in self._of(channels):
            if route.table.name in changed.echoes:
                self._collect_echoes(tick, route.table, route.echo(span))

    def snapshots(self, tick: Tick, wanted: Mapping[int, str]) -> None:
        """All that these streams (with their channels) hold."""
        for route in self._routes:
            streams = [s for s, channel in wanted.items() if channel == route.channel.name]
            if streams:
                sent = self._collect(
                    tick, route.table, "snapshot", route.snapshot(streams, self._part_rows, tick.n), many=True
                )
                for stream in set(streams) - sent:
                    tick.spool.add((stream, "snapshot"), _body(route.table, "put", b""))
        if wanted:
            self._conn.execute(assets.query("central.loaded"), {"n": tick.n, "streams": list(wanted)})

    def replanned(self, since: int | None) -> dict[str, bool]:
        """After a change of plan since that version: every table is looked at again, and those whose columns changed
        (true) are sent again. Also where they changed back: a till may have taken a plan that no tick was made by."""
        if since is None or since == self._plan.version:
            return {}
        plans = plans_since(self._conn, since)
        told = [{t.name: t.columns for _, t in plan.tables()} for plan in plans if plans[0].version == since] or [{}]
        return {
            r.table.name: any(columns.get(r.table.name) != r.table.columns for columns in told) for r in self._routes
        }

    def _collect(self, tick: Tick, table: Table, kind: str, statement: Statement, *, many: bool) -> set[int]:
        """Run a routing statement and spool its parts; the streams that got any."""
        sent = set()
        with self._laid_down(statement, many=many) as composed, self._conn.cursor() as cursor:
            for stream, cut, rows, docs in cursor.stream(composed):
                tick.add(stream, kind, table, rows, _body(table, "cut" if cut else "put", docs.encode()))
                sent.add(stream)
        return sent

    @contextmanager
    def _laid_down(self, statement: Statement, *, many: bool) -> Iterator[sql.Composed]:
        """The statement to run: where there are many candidates they are laid down and counted first."""
        if not many:
            yield statement.at_once
            return
        candidates = self._conn.execute(statement.lay_down).rowcount
        self._conn.execute(assets.query("central.measure_candidates"))
        given = {"candidates": candidates, "hold": statement.hold}
        is_scanned = self._conn.execute(assets.query("central.is_scanned"), given).fetchone() == (True,)
        yield statement.scanned if is_scanned else statement.measured
        self._conn.execute(assets.query("central.forget_candidates"))

    def _collect_move(self, tick: Tick, table: Table, statement: sql.Composed, nodes: Iterable[str]) -> None:
        with self._conn.cursor() as cursor:
            for cut, rows, docs in cursor.stream(statement):
                frame = _body(table, "cut" if cut else "put", docs.encode(), after=True)
                for node in nodes:
                    tick.add(node, "echo", table, rows, frame)

    def _collect_echoes(self, tick: Tick, table: Table, statement: sql.Composed) -> None:
        with self._conn.cursor() as cursor:
            for node, cut, rows, docs in cursor.stream(statement):
                tick.add(node, "echo", table, rows, _body(table, "cut" if cut else "put", docs.encode()))


def _body(table: Table, kind: str, docs: bytes, *, after: bool = False) -> bytes:
    """A part of one table: rows that are put, or keys that are cut; its documents are already JSON. `after`: what a
    branch that moves gets, after all else of the tick."""
    said: dict[str, Any] = {"t": table.name, "c": _names(table)}
    head = msgspec.json.encode({**said, "after": True} if after else said)
    return wire.pack(head[:-1] + b',"' + kind.encode() + b'":[' + docs + b"]}")


def _moved(old: int, new: int) -> bytes:
    """A part for one node, of no table: from this tick on it takes another stream."""
    return news(moved=[(old, new)])


def news(**said: object) -> bytes:
    """A part for one branch, of no table: what it is told beside rows."""
    return wire.pack(msgspec.json.encode({"t": "", "c": [], **said}))


def _names(table: Table) -> Iterable[str]:
    return list(table.column_names)
