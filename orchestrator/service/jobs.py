"""Jobs on their schedules: at a till before each round, at head office beside the rounds, which they do not hold up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, Protocol, TypeVar

import apsw
import psycopg

from orchestrator.central import jobs as of_central
from orchestrator.core.jobs import Job, Slot, of_settings
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.log import logger
from orchestrator.service import schedules
from orchestrator.service.kept import Kept, Look
from orchestrator.service.rounds import Agent, Moved
from orchestrator.settings import CentralSettings, TillSettings
from orchestrator.till import jobs as of_till
from orchestrator.till.agent import TillAgent

AGAIN_SECONDS_MAX = 600.0
LOOK_SECONDS = 60.0
"""A till's plan is looked at so often, should it have come by hand."""

EVER = datetime.max.replace(tzinfo=UTC)

log = logger("jobs")
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Place(Protocol[C_contra]):
    """A database with its record of jobs."""

    def newest_due(self, conn: C_contra, job: Job) -> datetime | None: ...
    def begin(self, conn: C_contra, job: Job, slot: Slot) -> None: ...
    def run(self, conn: C_contra, job: Job, slot: Slot) -> int | None: ...


@dataclass
class _Waiting:
    """When a job is looked at again, and how it went the last time."""

    at: datetime
    failures: int = 0
    said: str = ""


class Jobs(Generic[C]):
    """The jobs of one place. What has run is asked of the place's own record, whenever something may be due."""

    def __init__(self, place: Place[C], jobs: Sequence[Job], zone: str, world: World) -> None:
        self._place, self._zone, self._world = place, zone, world
        self._jobs = {job.name: job for job in jobs}
        self._waiting = {name: _Waiting(datetime.min.replace(tzinfo=UTC)) for name in self._jobs}

    def is_due(self) -> bool:
        """Whether something has to be looked at."""
        now = self._world.now()
        return any(waiting.at <= now for waiting in self._waiting.values())

    @property
    def failing(self) -> list[str]:
        """What the jobs say that failed the last time."""
        return [waiting.said for waiting in self._waiting.values() if waiting.said]

    def run_due(self, conn: C) -> int:
        """Runs what is due, oldest first; how many runs were made. A job that fails is told once and tried again later;
        its later dates wait for the earlier one, and other jobs do not."""
        now, made = self._world.now(), 0
        for name, waiting in self._waiting.items():
            if waiting.at <= now:
                try:
                    made += self._of(conn, self._jobs[name], now)
                except TillsyncError as e:
                    self._failed(name, e, now)
        return made

    def _of(self, conn: C, job: Job, now: datetime) -> int:
        since = self._place.newest_due(conn, job)
        if since is None:
            since = now
            self._place.begin(conn, job, schedules.slot(job, self._zone, now)._replace(key=""))
        made = 0
        for slot in schedules.slots(job, self._zone, since, now):
            rows = self._place.run(conn, job, slot)
            since = slot.due
            if rows is not None:
                made += 1
                log.info("job has run", job=job.name, business_date=slot.business_date.isoformat(), rows=rows)
        self._waiting[job.name] = _Waiting(schedules.wakes_at(job, self._zone, max(since, now)) or EVER)
        return made

    def _failed(self, name: str, error: TillsyncError, now: datetime) -> None:
        waiting = self._waiting[name]
        pause = min(AGAIN_SECONDS_MAX, 2.0**waiting.failures)
        if str(error) != waiting.said:
            log.error("job failed", job=name, error=str(error), again_in_seconds=pause)
        self._waiting[name] = _Waiting(now + timedelta(seconds=pause), min(waiting.failures + 1, 16), str(error))


@dataclass(frozen=True, slots=True)
class _Till:
    node: str
    world: World

    def newest_due(self, conn: apsw.Connection, job: Job) -> datetime | None:
        return of_till.newest_due(conn, job)

    def begin(self, conn: apsw.Connection, job: Job, slot: Slot) -> None:
        of_till.begin(conn, job, slot, self.world)

    def run(self, conn: apsw.Connection, job: Job, slot: Slot) -> int | None:
        return of_till.run(conn, job, slot, self.node, self.world)


@dataclass(frozen=True, slots=True)
class _Central:
    world: World

    def newest_due(self, conn: psycopg.Connection, job: Job) -> datetime | None:
        return of_central.newest_due(conn, job)

    def begin(self, conn: psycopg.Connection, job: Job, slot: Slot) -> None:
        of_central.begin(conn, job, slot, self.world)

    def run(self, conn: psycopg.Connection, job: Job, slot: Slot) -> int | None:
        return of_central.run(conn, job, slot, self.world)


def till_place(node: str, world: World) -> Place[apsw.Connection]:
    """A till's file."""
    return _Till(node, world)


def central_place(world: World) -> Place[psycopg.Connection]:
    """Head office's database."""
    return _Central(world)


class TillWithJobs:
    """A till's agent that runs the plan's jobs before its rounds, with a network or without one."""

    def __init__(self, agent: Agent, settings: TillSettings, world: World) -> None:
        self._agent, self._settings, self._world = agent, settings, world
        self._jobs: Jobs[apsw.Connection] | None = None
        self._version = -1
        self._look_at = 0.0

    def round(self) -> Moved:
        self._run()
        if isinstance(self._agent, TillAgent) and self._jobs is not None:
            self._agent.beside = self._jobs.failing
        report = self._agent.round()
        if getattr(report, "plan_version", self._version) != self._version:
            self._jobs = None
        return report

    def interrupt(self) -> None:
        getattr(self._agent, "interrupt", lambda: None)()

    def close(self) -> None:
        self._agent.close()

    def _run(self) -> None:
        if self._jobs is not None and not self._jobs.is_due() and self._world.monotonic() < self._look_at:
            return
        try:
            with of_till.opened(self._settings.till.database, self._settings.till.busy_timeout_ms) as db:
                self._read_plan(db)
                if self._jobs is not None:
                    self._jobs.run_due(db)
        except TillsyncError as e:
            log.debug("jobs wait", error=str(e))  # the round says what is wrong with the file

    def _read_plan(self, db: apsw.Connection) -> None:
        self._look_at = self._world.monotonic() + LOOK_SECONDS
        plan = of_till.planned(db)
        if plan is None or (self._jobs is not None and plan.version == self._version):
            return
        self._version = plan.version
        self._jobs = Jobs(_Till(self._settings.node, self._world), plan.jobs, plan.timezone, self._world)


@dataclass
class CentralJobs:
    """Head office's jobs, on a connection of their own."""

    settings: CentralSettings
    world: World
    _kept: Kept = field(init=False)
    _jobs: Jobs[psycopg.Connection] = field(init=False)

    def __post_init__(self) -> None:
        self._kept = Kept(self.settings, "tillsync jobs")
        jobs = of_settings(self.settings.job, "central")
        self._jobs = Jobs(_Central(self.world), jobs, self.settings.calendar.timezone, self.world)

    def round(self) -> Look:
        if not self._jobs.is_due():
            return Look()
        with self._kept.connected() as conn:
            return Look(self._jobs.run_due(conn))

    def interrupt(self) -> None:
        self._kept.interrupt()

    def close(self) -> None:
        self._kept.close()
