"""The agent beside a till: one round pushes, pulls and says how it went. Each half goes on when the other fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import apsw

from orchestrator import __version__, postgres
from orchestrator.core.timing import Gate
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.log import logger
from orchestrator.relay.client import BranchRelay, connect_branch
from orchestrator.relay.messages import Hello
from orchestrator.settings import TillSettings
from orchestrator.till import changelog, machine, state, watch
from orchestrator.till.database import connect, explained, rows, value
from orchestrator.till.desk import Desk
from orchestrator.till.pull import check_node, pull
from orchestrator.till.push import push
from orchestrator.till.relay import Relay
from orchestrator.till.vitals import Vitals

REPORT_SECONDS = 60
"""A till with nothing new says so this often: that it is alive is news, too."""

log = logger("till.agent")


@dataclass(frozen=True, slots=True)
class Report:
    """What one round moved: `sent` changes up, `received` rows down. `pending`: changes not answered yet. `is_loaded`:
    whether every stream has been loaded. `more`: the pull ended, so that sales are sent, before it was through."""

    sent: int
    received: int
    pending: int
    waiting: int
    tick: int
    plan_version: int
    is_loaded: bool
    more: bool = False

    @property
    def moved(self) -> int:
        return self.sent + self.received


class TillAgent:
    """Holds the till's file and the relay's connection open between rounds."""

    def __init__(
        self,
        settings: TillSettings,
        world: World,
        relay: Relay | None = None,
        *,
        claims: bool = True,
        gate: Gate | None = None,
    ) -> None:
        """`claims`: whether the file lives on this machine; else it is only made here. `gate`: when it may send."""
        self._settings, self._world, self._gate = settings, world, gate
        self._relay = relay or connect_branch(postgres.conninfo(settings.relay))
        self._machine = machine.identity(settings) if claims else None
        self._vitals = Vitals(world, settings.till.database, None if relay else settings.relay.dsn)
        self._desk = Desk(world, settings)
        self._db: apsw.Connection | None = None
        self.beside: Sequence[str] = ()  # what went wrong beside the rounds, and head office is to hear
        self._reported: dict[str, Any] = {}
        self._reported_at = -inf

    def round(self) -> Report:
        """Push, then pull; what one of them raised is raised when both were tried."""
        db = self._open()
        with explained(db.filename):
            self._mend(db)
            asked = self._world.now()
            hello = self._relay.hello()
            self._vitals.heard(hello.now, asked)
            check_node(db, hello)
            if self._machine is not None:
                machine.check(self._relay, hello, self._machine)
            failed: list[TillsyncError] = []
            sent = _tried(failed, lambda: self._push(db, hello))
            received = _tried(
                failed, lambda: pull(db, self._relay, self._world, hello, lock_ms_max=self._settings.lock_ms_max)
            )
            self._purge(db)
            report = self._report(db, hello, sent, received, failed)
        if failed:
            raise failed[0]
        return report

    def interrupt(self) -> None:
        """Have the round give up what it is doing; called from another thread."""
        if self._db is not None:
            self._db.interrupt()
        if isinstance(self._relay, BranchRelay):
            self._relay.interrupt()

    def close(self) -> None:
        """Closes both ends; the next round opens them again."""
        self._relay.close()
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open(self) -> apsw.Connection:
        if self._db is None:
            till = self._settings.till
            db = connect(till.database, busy_ms=till.busy_timeout_ms)
            try:
                state.load(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    @staticmethod
    def _mend(db: apsw.Connection) -> None:
        """After a change of the application's schema: triggers are put right, and what was missed is found."""
        if watch.changed(db):
            with changelog.settled(db):
                pass

    def _push(self, db: apsw.Connection, hello: Hello) -> int:
        if self._gate is not None and not self._gate.may_send(db):
            return 0
        ahead = self._vitals.skew or 0.0
        sent = push(db, self._relay, self._world, self._settings, hello, ahead=ahead)
        if self._gate is not None:
            self._gate.sent(db)
        return sent

    def _purge(self, db: apsw.Connection) -> None:
        now = state.load(db)
        oldest = value(db, "SELECT min(seq) FROM tillsync_changelog")
        if oldest is not None and oldest < now.ack.seq - changelog.KEEP_ENTRIES - changelog.PURGE_ENTRIES:
            with changelog.settled(db):
                changelog.purge(db, now.ack)

    def _report(
        self, db: apsw.Connection, hello: Hello, sent: int, received: int, failed: list[TillsyncError]
    ) -> Report:
        now = state.load(db)
        waiting = int(value(db, "SELECT count(*) FROM tillsync_problem"))
        loading = [s for (s,) in rows(db, "SELECT stream FROM tillsync_stream WHERE coalesce(loaded_tick, 0) = 0")]
        pending, is_loaded = changelog.pending_count(db, now.ack), not loading and now.tick > 0
        more = received > 0 and not failed and now.tick < hello.top_n
        report = Report(sent, received, pending, waiting, now.tick, now.plan_version, is_loaded, more)
        body = {
            "version": __version__,
            "sqlite": apsw.sqlite_lib_version(),
            "instance": now.instance,
            "epoch": now.epoch,
            "tick": report.tick,
            "plan_version": report.plan_version,
            "pending": report.pending,
            "waiting": report.waiting,
            "held": int(value(db, "SELECT count(*) FROM tillsync_held")),
            "loading": loading,
            "extra": int(value(db, "SELECT count(*) FROM tillsync_extra")),
            "lacks": [r for (r,) in rows(db, 'SELECT reason FROM tillsync_lack ORDER BY central, "column"')],
            "pushed": list(now.pushed),
            "ack": list(now.ack),
            "errors": [*(str(e) for e in failed), *self.beside],
            **self._desk.told(db),
        }
        if body != self._reported or self._world.monotonic() - self._reported_at >= REPORT_SECONDS:
            vitals = self._vitals.told(succeeded=not failed)
            try:
                self._relay.report({**body, **vitals, "sent": sent, "received": received})
                self._reported, self._reported_at = body, self._world.monotonic()
            except TillsyncError as e:
                failed.append(e)
        return report


def _tried(failed: list[TillsyncError], step: Callable[[], int]) -> int:
    try:
        return step()
    except TillsyncError as e:
        log.warning("failed", error=str(e))
        failed.append(e)
        return 0
