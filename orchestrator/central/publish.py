"""Publishing: one tick of central's history, from its snapshot to the relay. DESIGN: ticks, never sequence numbers.

A tick is taken in one REPEATABLE READ transaction: its snapshot says what it covers, the ledger is brought up to it
by the statements that route, and the transaction's own commit is the intent. That commit is durable before the relay
hears of the tick, and with it everything that the snapshot saw. Whether the relay took it is read off the relay's
newest token: whatever central intended beyond it did not happen, and the ledger is taken back to that point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central.routing import Statement, routes
from orchestrator.central.schema import Prepared, newest_plan
from orchestrator.central.span import Span, changes, prepare_changes
from orchestrator.central.spool import Spool
from orchestrator.core import wire
from orchestrator.core.changes import Position
from orchestrator.core.plan import Table
from orchestrator.core.world import World
from orchestrator.relay.client import CentralRelay
from orchestrator.relay.messages import Ack, Head

MANY_ROWS = 5_000
"""Above so many rows in the logs the candidates are laid down and analyzed, which costs a few milliseconds."""


@dataclass(frozen=True)
class Base:
    """Where a tick starts: after tick `n`, from its snapshot. `whole`: nothing is known of the relay, all goes anew."""

    n: int
    since: str
    epoch: int
    plan_version: int | None
    rewound: bool = False
    whole: bool = False


@dataclass
class Tick:
    """A tick in the making: what it carries lies in the spool until the intent is committed."""

    n: int
    token: int
    epoch: int
    spool: Spool
    acks: list[Ack] = field(default_factory=list)
    served: tuple[int, ...] = ()
    rows: int = 0


class Publisher:
    """Publishes ticks of one plan. `conn` is its own connection: every tick is one transaction of it."""

    def __init__(
        self, conn: psycopg.Connection, relay: CentralRelay, world: World, prepared: Prepared, part_rows_max: int
    ) -> None:
        self._conn, self._relay, self._world = conn, relay, world
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._plan, self._part_rows = prepared.plan, part_rows_max
        self._logs = {c.tab: c for c in prepared.captured}
        self._routes = routes(prepared.plan.channels, prepared.filters, self._logs, prepared.plan.parameters)
        self._conn.execute("SET plan_cache_mode = force_generic_plan")
        for statement in prepare_changes(prepared.captured) if self._logs else ():
            self._conn.execute(statement)

    def publish(self) -> Tick | None:
        """Publish what became visible since the last tick; None where there is nothing to tell anybody."""
        head = self._relay.head()
        with Spool() as spool:
            tick = self._intend(head, spool)
            if tick is None:
                return None
            self._world.crash("publish.intent")
            with self._relay.transaction():
                self._hand_over(tick, head)
            self._world.crash("publish.relay")
            self._conn.execute(assets.query("central.published"), {"n": tick.n})
            return tick

    def close(self) -> None:
        self._conn.close()

    def _intend(self, head: Head, spool: Spool) -> Tick | None:
        """Everything that happens in the tick's own transaction."""
        with self._conn.transaction():
            self._conn.execute(assets.query("central.work_memory"))
            here = self._row("here")
            base = self._base(head, here)
            span = Span(base.since, here["snapshot"])
            tick = Tick(max(head.n, here["newest_n"] or 0) + 1, self._world.random63(), base.epoch, spool)
            if base.rewound or base.whole:
                self._rewind(base)
            elif not self._anything(base, span, head):
                return None
            self._fill(tick, base, span, head)
            self._conn.execute(
                assets.query("central.intend"),
                {
                    "n": tick.n,
                    "token": tick.token,
                    "snapshot": here["snapshot"],
                    "epoch": tick.epoch,
                    "plan_version": self._plan.version,
                    "system_id": here["system_id"],
                },
            )
            self._world.crash("publish.routed")
        return tick

    def _base(self, head: Head, here: dict[str, Any]) -> Base:
        newest = here["newest_n"] or 0
        row = self._row("base", n=head.n, token=head.token) if head.n else None
        if row is not None and head.epoch == here["epoch"] and row["system_id"] == here["system_id"]:
            return Base(row["n"], row["snapshot"], head.epoch, row["plan_version"], rewound=newest > row["n"])
        if head.n == 0 and not here["published"] and head.epoch == here["epoch"]:
            return Base(0, here["snapshot"], head.epoch, None, rewound=newest > 0, whole=True)
        # Tills have seen what central has lost, or the relay has lost everything: a new epoch, every stream whole.
        return Base(-1, here["snapshot"], max(head.epoch, here["epoch"]) + 1, None, whole=True)

    def _rewind(self, base: Base) -> None:
        """Take the ledger back to the base: what was intended beyond it did not happen."""
        if base.n >= 0:
            self._conn.execute(assets.query("central.forget_intents"), {"n": base.n})
            for captured in self._logs.values():
                if captured.hold:
                    query = sql.SQL(assets.query("central.rewind_hold"))
                    self._conn.execute(query.format(hold=sql.Identifier(captured.hold), n=base.n))
        self._conn.execute(assets.query("central.unload_streams"), {"n": base.n})
        self._conn.execute(assets.query("central.set_epoch"), {"epoch": base.epoch})

    def _anything(self, base: Base, span: Span, head: Head) -> bool:
        if head.wants or base.plan_version != self._plan.version:
            return True
        if self._changed_logs(span):
            return True
        return bool(self._acks(base) or self._parked_news(base, ()))

    def _fill(self, tick: Tick, base: Base, span: Span, head: Head) -> None:
        live = self._live()
        wanted = set(live) if base.n < 0 else set(head.wants) & set(live)
        changed, echoes, rows = self._changes(span)
        again = self._replanned(base)
        if not base.whole:
            for route in self._routes:
                if again or changed.keys() & {route.table.name, *route.dependencies}:
                    every = again.get(route.table.name, True) if again else None
                    statement = route.delta(span, self._logs, changed, self._part_rows, tick.n, every=every)
                    many = (
                        bool(again) or sum(rows.get(t, 0) for t in (route.table.name, *route.dependencies)) > MANY_ROWS
                    )
                    self._collect(tick, route.table, "delta", statement, many=many)
        self._snapshots(tick, {s: c for s, c in live.items() if s in wanted})
        for route in self._routes:
            if route.table.name in echoes:
                self._collect_echoes(tick, route.table, route.echo(span))
        for node, news in groupby(self._parked_news(base, sorted(wanted)), key=lambda r: str(r["node"])):
            tick.spool.add((node, "echo"), _news(list(news)))
        tick.acks = self._acks(base)
        tick.served = tuple(head.wants)

    def _changes(self, span: Span) -> tuple[dict[str, bool], set[str], dict[str, float]]:
        """Changed tables (with whether they were truncated), those with an echo to make, and their rows in the logs."""
        rows = self._changed_logs(span)
        counts = {r["tab"]: inf if r["truncated"] else r["rows"] for r in rows}
        return {r["tab"]: bool(r["truncated"]) for r in rows}, {r["tab"] for r in rows if r["echo"]}, counts

    def _changed_logs(self, span: Span) -> Sequence[dict[str, Any]]:
        if not self._logs:
            return ()
        self._conn.execute(assets.query("central.seek"))
        rows = self._rows(changes(span))
        self._conn.execute(assets.query("central.seek_or_scan"))
        return rows

    def _replanned(self, base: Base) -> dict[str, bool]:
        """After a change of plan: every table is looked at again, and those whose columns changed are sent again."""
        if base.plan_version is None or base.plan_version == self._plan.version:
            return {}
        before = newest_plan(self._conn, base.plan_version)
        known = {t.name: t.columns for _, t in before.tables()} if before else {}
        return {r.table.name: known.get(r.table.name) != r.table.columns for r in self._routes}

    def _snapshots(self, tick: Tick, wanted: dict[int, str]) -> None:
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

    def _collect(self, tick: Tick, table: Table, kind: str, statement: Statement, *, many: bool) -> set[int]:
        """Run a routing statement and spool its parts; the streams that got any."""
        sent = set()
        if many:
            self._conn.execute(statement.lay_down)
            self._conn.execute(assets.query("central.measure_candidates"))
        with self._conn.cursor() as cursor:
            for stream, cut, rows, docs in cursor.stream(statement.measured if many else statement.at_once):
                tick.spool.add((stream, kind), _body(table, "cut" if cut else "put", docs.encode()))
                tick.rows += rows
                sent.add(stream)
        if many:
            self._conn.execute(assets.query("central.forget_candidates"))
        return sent

    def _collect_echoes(self, tick: Tick, table: Table, statement: sql.Composed) -> None:
        with self._conn.cursor() as cursor:
            for node, cut, rows, docs in cursor.stream(statement):
                tick.spool.add((node, "echo"), _body(table, "cut" if cut else "put", docs.encode()))
                tick.rows += rows

    def _hand_over(self, tick: Tick, head: Head) -> None:
        """Within one transaction of the relay."""
        if tick.epoch != head.epoch:
            self._relay.new_epoch(tick.epoch)
        with self._relay.pipeline():
            self._relay.put_tick(tick.n, tick.epoch, tick.token, self._plan.version, tick.served)
            for (target, kind), part, frame in tick.spool.parts():
                if kind == "echo":
                    self._relay.put_echo(str(target), tick.n, part, frame)
                else:
                    self._relay.put_payload(int(target), tick.n, kind, part, frame)
            for ack in tick.acks:
                self._relay.put_ack(tick.n, ack)

    def _acks(self, base: Base) -> list[Ack]:
        rows = self._rows(assets.query("central.changed_acks"), {"all": base.whole, "since": base.since})
        return [Ack(r["node"], Position(r["seq"], r["nonce"]), r["gap"]) for r in rows]

    def _parked_news(self, base: Base, streams: Sequence[int]) -> Sequence[dict[str, Any]]:
        given = {"all": base.whole, "since": base.since, "streams": list(streams)}
        return self._rows(assets.query("central.parked_news"), given)

    def _live(self) -> dict[int, str]:
        return {r["stream"]: r["channel"] for r in self._rows(assets.query("central.live_streams"))}

    def _row(self, name: str, **values: Any) -> dict[str, Any]:
        rows = self._rows(assets.query(f"central.{name}"), values)
        return rows[0] if rows else None  # type: ignore[return-value]

    def _rows(self, query: Any, values: dict[str, Any] | None = None) -> Sequence[dict[str, Any]]:
        with self._conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values).fetchall()


def _body(table: Table, kind: str, docs: bytes) -> bytes:
    """A part of one table: rows that are put, or keys that are cut; its documents are already JSON."""
    head = msgspec.json.encode({"t": table.name, "c": _names(table)})
    return wire.pack(head[:-1] + b',"' + kind.encode() + b'":[' + docs + b"]}")


def _news(rows: Sequence[dict[str, Any]]) -> bytes:
    """A part for one node, of no table: which of its changes are parked, and which are done with."""
    held = [(r["seq"], r["nonce"], r["reason"]) for r in rows if r["held"]]
    free = [(r["seq"], r["nonce"]) for r in rows if not r["held"]]
    return wire.pack(msgspec.json.encode({"t": "", "c": [], "held": held, "free": free}))


def _names(table: Table) -> Iterable[str]:
    return list(table.column_names)
