"""Head office's agent: one round takes in what the tills sent, announces what is new, and publishes what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import psycopg

from orchestrator import postgres
from orchestrator.central import collect, drift, lost_merges, schema, scope, streams
from orchestrator.central.publish import Publisher
from orchestrator.central.purge import Purger
from orchestrator.central.reconcile import Comparisons
from orchestrator.central.schema import Prepared
from orchestrator.central.tick import Tick
from orchestrator.core import plan as plans
from orchestrator.core import skew
from orchestrator.core.filters import Filter
from orchestrator.core.timing import Timetable
from orchestrator.core.world import World
from orchestrator.errors import PersonMustDecide, Unreachable
from orchestrator.log import logger
from orchestrator.relay.client import connect_central
from orchestrator.relay.messages import Head
from orchestrator.settings import CentralSettings

log = logger("central")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What one round moved. tick: the published one, None where there was nothing to tell. refused: by node, why. more:
    the tick took in what is urgent, and another one is to follow."""

    merged: int = 0
    conflicts: int = 0
    parked: int = 0
    uploads: int = 0
    tick: int | None = None
    rows: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    more: bool = False

    @property
    def moved(self) -> int:
        return self.uploads + (self.tick is not None)


@dataclass(frozen=True, slots=True)
class _Central:
    """Two connections and the plan that they work by. The publisher's is its own: a tick is one transaction of it."""

    conn: psycopg.Connection
    publisher: Publisher
    publisher_conn: psycopg.Connection
    prepared: Prepared
    purger: Purger
    comparisons: Comparisons
    scopes: Mapping[str, Filter]
    plan_digest: str

    def knows(self, head: Head) -> bool:
        """Whether the relay's plan is this one, or one before it; not one that head office has lost."""
        mine = self.prepared.plan.version
        return head.plan_version < mine or (head.plan_version == mine and head.plan_digest in (None, self.plan_digest))

    @property
    def closed(self) -> bool:
        return self.conn.closed or self.publisher_conn.closed

    def close(self) -> None:
        self.comparisons.close()
        self.conn.close()
        self.publisher_conn.close()


class CentralAgent:
    """Opens nothing before its first round, and opens again in the next one what broke."""

    def __init__(self, settings: CentralSettings, world: World, timetable: Timetable | None = None) -> None:
        """`timetable`: when channels are published; without one all are in every round."""
        self._settings, self._world, self._timetable = settings, world, timetable
        self._dsn = postgres.conninfo(settings.central)
        self._place = postgres.place_of(settings.central.dsn)
        self._relay = connect_central(postgres.conninfo(settings.relay))
        self._central: _Central | None = None
        self._given_up: frozenset[str] = frozenset()
        self._ahead = timedelta(0)  # of the relay's clock
        self._is_new = True  # the connection: it may lead to another server than the one before
        self._is_mended = False  # what was parked for a table's shape may go in now

    def round(self) -> Report:
        """Collect and publish once. Neither stops the other; the first error of the two is raised at the end."""
        central = self._guarded(self._ready)
        faults: list[Exception] = []
        central = self._attempt(lambda: self._mended(central), faults) or central
        collected = self._attempt(lambda: self._collect(central), faults)
        tick = self._attempt(lambda: self._publish(central), faults)
        self._attempt(lambda: self._purge(central), faults)
        if faults:
            raise faults[0]
        assert collected is not None
        return Report(
            merged=collected.merged,
            conflicts=collected.conflicts,
            parked=collected.parked,
            uploads=collected.moved,
            tick=tick.n if tick else None,
            rows=tick.rows if tick else 0,
            refused=collected.refused,
            more=tick is not None and tick.more,
        )

    def interrupt(self) -> None:
        """Ask the server to give up what the round is waiting for; called from another thread."""
        self._relay.interrupt()
        central = self._central
        if central is not None:
            for conn in (central.conn, central.publisher_conn):
                conn.cancel_safe(timeout=0.5)

    def close(self) -> None:
        """Close every connection; the next round opens them again."""
        self._relay.close()
        self._disconnect()

    def _ready(self) -> _Central:
        """Connections that stand, and a publisher of the newest plan."""
        if self._central is not None and self._central.closed:
            self._disconnect()
        if self._central is not None:
            newest = self._central.conn.execute("SELECT max(version) FROM tillsync.plan").fetchone()
            if newest != (self._central.prepared.plan.version,):
                self._disconnect()
        if self._central is None:
            self._central = self._connect()
        return self._central

    def _connect(self) -> _Central:
        conn = postgres.connect(self._dsn, "tillsync collect")
        try:
            prepared = schema.installed(conn)
            own = postgres.connect(self._dsn, "tillsync publish")
        except BaseException:
            conn.close()
            raise
        log.info("connected", place=self._place, plan_version=prepared.plan.version)
        comparisons = Comparisons(self._dsn)
        publisher = Publisher(own, self._relay, self._world, prepared, self._settings.part_rows_max, comparisons)
        purger = Purger(conn, self._relay, self._world, prepared, self._settings.retention)
        scopes = scope.filters(conn, prepared.plan, prepared.catalog, prepared.filters)
        return _Central(conn, publisher, own, prepared, purger, comparisons, scopes, plans.digest(prepared.plan))

    def _disconnect(self) -> None:
        if self._central is not None:
            self._central.close()
            self._central, self._is_new = None, True

    def _mended(self, central: _Central) -> _Central:
        """After a change of tables or triggers under us: put right, and the plan read anew."""
        found = drift.look(central.conn)
        digests = frozenset(row["digest"] for row in found)
        if not found or digests == self._given_up:
            return central
        try:
            drift.mend(central.conn, self._settings, found)
        except PersonMustDecide:
            self._given_up = digests  # said once, and not tried again before something changes
            raise
        self._is_mended = True
        self._disconnect()
        self._central = self._connect()
        return self._central

    def _collect(self, central: _Central) -> collect.Collected:
        if self._is_new:
            lost_merges.offer_again(central.conn, self._relay)
            self._is_new = False
        plan, mended = central.prepared.plan, self._is_mended
        done = collect.collect(
            central.conn,
            self._relay,
            plan,
            self._world,
            retry_all=mended,
            ahead=self._ahead,
            scopes=central.scopes,
        )
        self._is_mended = False
        return done

    def _publish(self, central: _Central) -> Tick | None:
        asked, head = self._world.now(), self._relay.head()
        self._ahead = timedelta(seconds=skew.seconds(head.now, asked, self._world.now()) or 0.0)
        if not central.knows(head):
            log.warning("the relay has a plan that head office has lost: its own gets a number above that")
            schema.outnumber(central.conn, head.plan_version)
            return None  # the next round takes it up, and publishes it
        plan, announced = central.prepared.plan, head.plan_version
        if announced < plan.version:
            # A plan that a DBA installed by script has brought no streams yet.
            with central.conn.transaction():
                streams.refresh(central.conn, plan, central.prepared.filters)
        streams.announce(central.conn, self._relay, plan, announced)
        if head.results:
            central.comparisons.take(central.conn, self._relay)
        central.comparisons.advance(central.conn, central.prepared)
        due = self._timetable.due(central.conn, plan) if self._timetable is not None else None
        tick = central.publisher.publish(due)
        if self._timetable is not None and due is not None and not (tick is not None and tick.more):
            self._timetable.done(central.conn, plan, due)
        central.comparisons.work(central.conn)
        return tick

    @staticmethod
    def _purge(central: _Central) -> None:
        if gone := central.purger.run():
            log.info("purged", **gone)

    def _attempt(self, work: Callable[[], T], faults: list[Exception]) -> T | None:
        try:
            return self._guarded(work)
        except Exception as e:
            faults.append(e)
            return None

    def _guarded(self, work: Callable[[], T]) -> T:
        """`work` with central's errors translated; after a lost connection whatever follows is the loss, too."""
        try:
            with postgres.translated(self._place):
                return work()
        except psycopg.Error as e:
            if self._central is not None and self._central.closed:
                raise Unreachable("TS-400", f"{self._place} does not answer: {postgres.first_line(e)}") from e
            raise
