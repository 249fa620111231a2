"""The nightly comparison: asked on a schedule, gathered for a bounded time, kept, and laid down as a page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import inf
from pathlib import Path
from tempfile import NamedTemporaryFile

import psycopg

from orchestrator import postgres
from orchestrator.central import history, reconcile_report, schema
from orchestrator.central.history import Night
from orchestrator.core.trend import totals
from orchestrator.core.world import World
from orchestrator.errors import Unreachable
from orchestrator.log import logger
from orchestrator.relay.client import CentralRelay, connect_central
from orchestrator.report.reconcile_page import page
from orchestrator.service import schedules
from orchestrator.service.kept import Kept, Look
from orchestrator.settings import CentralSettings

LATE = timedelta(hours=12)
"""A night that was missed by more than this is left out: the next one is nearer."""

LOOK_SECONDS = 20.0
"""How often it is looked whether only tills that are offline are waited for."""

LONG_AGO, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
PREFIX, SUFFIX = "reconcile-", ".html"

log = logger("nightly")


@dataclass
class Nightly:
    """Rounds beside those of head office's agent, which carry the questions and the answers. All that it has to know
    after a crash is kept at central."""

    settings: CentralSettings
    world: World
    _relay: CentralRelay = field(init=False)
    _kept: Kept = field(init=False)
    _look_at: datetime = LONG_AGO
    _looked_at: float = -inf

    def __post_init__(self) -> None:
        self._relay = connect_central(postgres.conninfo(self.settings.relay))
        self._kept = Kept(self.settings, "tillsync nightly")

    def round(self) -> Look:
        """Moves something where a comparison begins or ends."""
        now = self.world.now()
        if now < self._look_at:
            return Look()
        with self._kept.connected() as conn:
            night = history.night(conn)
            if night is None:
                night = Night(now, None, now)  # the first one is the next that is due
                history.begin_night(conn, night)
            if night.id is not None:
                return Look(int(self._gathered(conn, night.id, night, now)))
            return Look(int(self._begun(conn, night, now)))

    def interrupt(self) -> None:
        self._kept.interrupt()

    def close(self) -> None:
        self._relay.close()
        self._kept.close()

    def _begun(self, conn: psycopg.Connection, night: Night, now: datetime) -> bool:
        """Begins the one that is due; else notes when the next one is."""
        zone, cron = self.settings.calendar.timezone, self.settings.reconcile.cron
        due = schedules.next_due(cron, zone, max(night.due, now - LATE))
        if due is None or due > now:
            self._look_at = due or NEVER
            return False
        with conn.transaction():
            number = reconcile_report.start(conn, self.world, history.active_nodes(conn))
            history.begin_night(conn, Night(due, number, now))
        log.info("the nightly comparison begins")
        return True

    def _gathered(self, conn: psycopg.Connection, number: int, night: Night, now: datetime) -> bool:
        """Ends it when all have answered, or those that are left will not, or the time is up."""
        is_late = (now - night.begun_at).total_seconds() >= self.settings.reconcile.wait_seconds
        still = reconcile_report.open_nodes(conn, number)
        if still and not is_late and self.world.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = self.world.monotonic()
        heard = self._heard()
        if not is_late and any(reconcile_report.is_alive(heard.get(node), now) for node in still):
            return False
        report = reconcile_report.report(conn, schema.installed(conn), now, heard)
        page_of = page(report, history.recent(conn, before=report.made_at))
        with conn.transaction():
            history.keep(conn, report)
            history.end_night(conn, number)
        self._lay_down(page_of, report.made_at)
        sums = totals(report)
        tell = log.info if report.equal else log.warning
        tell("compared", equal=report.equal, rows=sums.differing_rows, books=sums.books_failing, silent=sums.silent)
        return True

    def _heard(self) -> dict[str, datetime]:
        """When each till last said that it is alive; nothing where the relay does not answer."""
        try:
            return {str(r["node"]): r["at"] for r in self._relay.reports() if r["at"] is not None}
        except Unreachable:
            return {}

    def _lay_down(self, body: bytes, made_at: datetime) -> None:
        """The page by its day, whole or not at all; pages past the retention go. A full disk stops nothing."""
        folder = self.settings.reconcile.directory
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=folder, delete=False) as file:
                file.write(body)
            Path(file.name).chmod(0o640)
            Path(file.name).replace(folder / f"{PREFIX}{made_at.date().isoformat()}{SUFFIX}")
            keep_from = (made_at - timedelta(days=self.settings.retention.history_days)).date()
            for old in _older(folder, keep_from):
                old.unlink(missing_ok=True)
        except OSError as e:
            log.error("the page of the comparison is not written", error=str(e))


def _older(folder: Path, day: date) -> list[Path]:
    """Pages of ours of days before this one."""
    pattern = re.compile(re.escape(PREFIX) + r"(\d{4}-\d\d-\d\d)" + re.escape(SUFFIX))
    found = ((pattern.fullmatch(path.name), path) for path in folder.iterdir())
    return [path for match, path in found if match and match[1] < day.isoformat()]
