"""Publishing: one tick of central's history, from its snapshot to the relay. DESIGN: ticks, never sequence numbers.

A tick is taken in one REPEATABLE READ transaction: its snapshot says what it covers, the ledger is brought up to it
by the statements that route, and the transaction's own commit is the intent. That commit is durable before the relay
hears of the tick, and with it everything that the snapshot saw. Whether the relay took it is read off the relay's
newest token: whatever central intended beyond it did not happen, and the ledger is taken back to that point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central import lanes as laning
from orchestrator.central.lanes import Lane, Lanes, Start
from orchestrator.central.reconcile import Comparisons
from orchestrator.central.schema import Prepared
from orchestrator.central.span import Span, changes, prepare_changes
from orchestrator.central.spool import Spool
from orchestrator.central.tick import Changed, Move, Tick, TickMaker, news
from orchestrator.core.changes import Position
from orchestrator.core.protocol import base_of
from orchestrator.core.world import World
from orchestrator.relay.client import CentralRelay
from orchestrator.relay.messages import Ack, Head


@dataclass(frozen=True)
class Base:
    """Where a tick starts, as `base_of` says, with that tick's snapshot and plan. `held`: the earlier snapshots of
    channels that stayed back."""

    n: int
    since: str
    epoch: int
    plan_version: int | None
    rewound: bool = False
    whole: bool = False
    held: Mapping[str, str] = field(default_factory=dict)


class Publisher:
    """Publishes ticks of one plan. `conn` is its own connection: every tick is one transaction of it."""

    def __init__(
        self,
        conn: psycopg.Connection,
        relay: CentralRelay,
        world: World,
        prepared: Prepared,
        part_rows_max: int,
        comparisons: Comparisons | None = None,
    ) -> None:
        self._conn, self._relay, self._world = conn, relay, world
        self._prepared, self._comparisons = prepared, comparisons
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._plan, self._maker = prepared.plan, TickMaker(conn, prepared, part_rows_max)
        self._channels = [c for c in prepared.plan.channels if c.name in self._maker.tables]
        self._logs = {c.tab: c for c in prepared.captured}
        self._conn.execute("SET plan_cache_mode = force_generic_plan")
        for statement in prepare_changes(prepared.captured) if self._logs else ():
            self._conn.execute(statement)

    def publish(self, due: Set[str] | None = None) -> Tick | None:
        """Publish what became visible since the last tick; None where there is nothing to tell anybody. `due`: the
        channels whose time it is, None for all of them."""
        head = self._relay.head()
        with Spool() as spool:
            tick = self._intend(head, spool, due)
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

    def _intend(self, head: Head, spool: Spool, due: Set[str] | None) -> Tick | None:
        """Everything that happens in the tick's own transaction."""
        with self._conn.transaction():
            self._conn.execute(assets.query("central.work_memory"))
            here = self._row("here")
            base = self._base(head, here)
            is_whole = self._is_about_all(base, head)
            start = Start(base.since, base.held, here["snapshot"])
            lanes = laning.sort(self._channels, self._maker.tables, start, None if is_whole else due, self._changes)
            tick = Tick(max(head.n, here["newest_n"] or 0) + 1, self._world.random63(), base.epoch, spool)
            if base.rewound or base.whole:
                self._rewind(base)
            elif not (is_whole or lanes.is_news or self._acks(base) or self._parked_news(base, ())):
                return None
            self._fill(tick, base, lanes, head)
            tick.more = lanes.more
            self._conn.execute(
                assets.query("central.intend"),
                {
                    "n": tick.n,
                    "token": tick.token,
                    "snapshot": here["snapshot"],
                    "epoch": tick.epoch,
                    "plan_version": self._plan.version,
                    "system_id": here["system_id"],
                    "held": Jsonb(lanes.held) if lanes.held else None,
                },
            )
            self._world.crash("publish.routed")
        return tick

    def _base(self, head: Head, here: dict[str, Any]) -> Base:
        row = self._row("base", n=head.n, token=head.token) if head.n else None
        start = base_of(
            head.n,
            (here["epoch"], head.epoch),
            is_intended=row is not None and row["system_id"] == here["system_id"],
            newest=here["newest_n"] or 0,
            published=here["published"],
        )
        since, plan_version = here["snapshot"], None
        held: Mapping[str, str] = {}
        if row is not None and not start.whole:
            since, plan_version = row["snapshot"], row["plan_version"]
            held = row["held"] or {}
        return Base(start.n, since, start.epoch, plan_version, start.rewound, start.whole, held)

    def _rewind(self, base: Base) -> None:
        """Take the ledger back to the base: what was intended beyond it did not happen."""
        if base.n >= 0:
            self._conn.execute(assets.query("central.forget_intents"), {"n": base.n})
            for captured in self._logs.values():
                if captured.hold:
                    query = sql.SQL(assets.query("central.rewind_hold"))
                    self._conn.execute(query.format(hold=sql.Identifier(captured.hold), n=base.n))
        self._conn.execute(assets.query("central.unload_streams"), {"n": base.n})
        self._conn.execute(assets.query("central.rewind_moves"), {"n": base.n})
        self._conn.execute(assets.query("central.unannounce"))  # the relay may have lost subscriptions, too
        self._conn.execute(assets.query("central.set_epoch"), {"epoch": base.epoch})

    def _is_about_all(self, base: Base, head: Head) -> bool:
        """A tick that loads, moves or compares anything is about its own snapshot, in all channels."""
        if head.wants or base.whole or base.rewound or base.plan_version != self._plan.version:
            return True
        compares = self._comparisons is not None and self._comparisons.any_due(self._conn)
        return bool(compares or self._row("any_move")["any_move"])

    def _fill(self, tick: Tick, base: Base, lanes: Lanes, head: Head) -> None:
        live = self._live()
        wanted = set(live) if base.n < 0 else set(head.wants) & set(live)
        again = self._maker.replanned(base.plan_version)
        for lane in () if base.whole else lanes.going:
            self._maker.deltas(tick, lane.span, lane.changed, again, lane.channels)
        self._maker.snapshots(tick, {s: c for s, c in live.items() if s in wanted})
        self._move(tick, base, live, lanes.going, again)
        for lane in lanes.going:  # after the moves: a branch hears what the streams hold that it goes to
            self._maker.echoes(tick, lane.span, lane.changed, lane.channels)
        for node, of_node in groupby(self._parked_news(base, sorted(wanted)), key=lambda r: str(r["node"])):
            tick.spool.add((node, "echo"), _parked_part(list(of_node)))
        for row in self._rows(assets.query("central.lost_news"), {"since": base.since}):
            tick.spool.add((row["node"], "echo"), news(lost=row["lost"]))
        tick.acks = self._acks(base)
        tick.served = tuple(head.wants)
        if self._comparisons is not None:
            self._comparisons.ask(self._conn, self._prepared, tick)

    def _move(
        self,
        tick: Tick,
        base: Base,
        live: Mapping[int, str],
        lanes: Sequence[Lane],
        again: Mapping[str, bool],
    ) -> None:
        """Branches that change their streams get what differs; streams that are new by that are only loaded here."""
        if base.whole:
            self._conn.execute(assets.query("central.drop_moves"))
            return
        self._conn.execute(assets.query("central.moves_done"), {"n": base.n})
        tick.moves = tuple(Move(**row) for row in self._rows(assets.query("central.pending_moves")))
        for lane in lanes:
            own = [m for m in tick.moves if m.channel in lane.channels]
            self._maker.moves(tick, own, live, lane.span, lane.changed, again)
        self._conn.execute(assets.query("central.moved"), {"n": tick.n})
        self._conn.execute(assets.query("central.rest_streams"))

    def _changes(self, span: Span) -> Changed:
        rows = self._changed_logs(span)
        return Changed(
            {r["tab"]: inf if r["truncated"] else r["rows"] for r in rows},
            {r["tab"] for r in rows if r["truncated"]},
            {r["tab"] for r in rows if r["echo"]},
        )

    def _changed_logs(self, span: Span) -> Sequence[dict[str, Any]]:
        if not self._logs:
            return ()
        self._conn.execute(assets.query("central.seek"))
        rows = self._rows(changes(span))
        self._conn.execute(assets.query("central.seek_or_scan"))
        return rows

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
            for move in tick.moves:
                self._relay.put_move(move.node, move.channel, move.old_stream, move.new_stream, tick.n)
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


def _parked_part(rows: Sequence[dict[str, Any]]) -> bytes:
    """A part for one node, of no table: which of its changes are parked, and which are done with."""
    held = [(r["seq"], r["nonce"], r["reason"]) for r in rows if r["held"]]
    free = [(r["seq"], r["nonce"]) for r in rows if not r["held"]]
    return news(held=held, free=free)
