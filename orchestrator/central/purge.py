"""Purging: what no tick, no rewind and no till that comes back can ask for any more goes, some rows at a time.

The base is the newest tick that is older than the retention. Everything before it may go, delivered or not: a till that
was away longer finds its tick unknown, and takes snapshots. So no branch, silent or retired, holds the others' logs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central import stamps
from orchestrator.central.capture import Captured
from orchestrator.central.schema import Prepared
from orchestrator.core.world import World
from orchestrator.relay.client import CentralRelay
from orchestrator.settings import RetentionSettings

ROWS_MAX = 10_000
"""In one statement: some tens of milliseconds."""

RELAY_ROWS_MAX = 2_000
"""Likewise of each kind at the relay, where a row may be a part of some megabytes."""

SECONDS_MAX = 0.5
"""In one round; the next one goes on."""

EVERY_SECONDS = 600

Step = tuple[str, Callable[[], int]]
"""What goes, and a call that removes some of it and says how many."""


class Purger:
    """Looks every ten minutes, and goes on from round to round while there is something to remove."""

    def __init__(
        self,
        conn: psycopg.Connection,
        relay: CentralRelay,
        world: World,
        prepared: Prepared,
        retention: RetentionSettings,
    ) -> None:
        self._conn, self._relay, self._world = conn, relay, world
        self._captured, self._retention = prepared.captured, retention
        self._stamped = prepared.plan.stamped
        self._look_at = world.monotonic()
        self._left: Iterator[tuple[str, int]] | None = None

    def run(self, *, at_once: bool = False) -> Mapping[str, int]:
        """What was removed, by kind; nothing where it is not time yet."""
        if not at_once and not self._is_due():
            return {}
        until = self._world.monotonic() + SECONDS_MAX
        left, self._left = self._left or self._removals(), None
        gone = Counter[str]()
        for kind, found in left:
            gone[kind] += found
            if self._world.monotonic() >= until:
                self._left = left
                return gone
        self._conn.execute(assets.query("central/purge.done"), {"at": self._world.now()})
        return gone

    @property
    def is_at_work(self) -> bool:
        """Whether the last run left something to the next one."""
        return self._left is not None

    def _is_due(self) -> bool:
        """When the last one ended is kept at central, for agents that make one round and end."""
        if self._left is not None:
            return True
        if self._world.monotonic() < self._look_at:
            return False
        self._look_at = self._world.monotonic() + EVERY_SECONDS
        row = self._conn.execute(assets.query("central/purge.last")).fetchone()
        last = row[0] if row else None
        return last is None or abs(self._world.now() - last) >= timedelta(seconds=EVERY_SECONDS)

    def _removals(self) -> Iterator[tuple[str, int]]:
        for kind, remove in self._steps():
            while found := remove():
                yield kind, found

    def _steps(self) -> Iterator[Step]:
        keep, now = self._retention, self._world.now()
        history = now - timedelta(days=keep.history_days)
        base = self._base(now - timedelta(days=keep.ticks_days))
        if base is not None:
            # First what a tick could start from: as long as it is there, so is everything since.
            yield "ticks", partial(self._bounded, "intents", n=base["n"])
            for captured in self._captured:
                yield captured.log, partial(self._of_log, captured, base["xmin"])
                if captured.hold:
                    yield captured.hold, partial(self._of, "hold", hold=captured.hold, n=base["n"])
        if self._rested():
            for captured in self._captured:
                if captured.hold:
                    yield captured.hold, partial(self._of, "rested_hold", hold=captured.hold)
        yield "relay", partial(self._of_relay, base["n"] if base else 0)
        for kind in ("inbound", "taken", "parked", "conflicts"):
            yield kind, partial(self._bounded, kind, before=history)
        yield "reconciliations", partial(self._forget_reports, history)

    def _base(self, before: object) -> dict[str, Any] | None:
        with self._conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(assets.query("central/purge.base"), {"before": before}).fetchone()

    def _rested(self) -> bool:
        return bool(self._conn.execute(assets.query("central/purge.rested")).fetchall())

    def _of(self, block: str, **names: Any) -> int:
        """A statement about one log or ledger."""
        pieces: dict[str, sql.Composable] = {}
        for name, given in names.items():
            pieces[name] = sql.Identifier(given) if name in ("log", "hold") else sql.Literal(given)
        statement = sql.SQL(assets.query(f"central/purge.{block}"))
        return self._conn.execute(statement.format(**pieces, rows_max=ROWS_MAX)).rowcount

    def _of_log(self, captured: Captured, xmin: str) -> int:
        if captured.tab not in self._stamped:
            return self._of("log", log=captured.log, xmin=xmin)
        return stamps.purge(self._conn, captured, xmin, ROWS_MAX)

    def _bounded(self, block: str, **given: Any) -> int:
        return self._conn.execute(assets.query(f"central/purge.{block}"), {**given, "rows_max": ROWS_MAX}).rowcount

    def _forget_reports(self, before: object) -> int:
        given = {"before": before, "rows_max": ROWS_MAX}
        return self._conn.execute(assets.query("central/history.forget"), given).rowcount

    def _of_relay(self, before_n: int) -> int:
        now, keep = self._world.now(), self._retention
        return self._relay.purge(
            before_n, now - timedelta(days=keep.snapshots_days), now - timedelta(days=keep.uploads_days), RELAY_ROWS_MAX
        )
