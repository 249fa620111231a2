"""`tillsync run`: the parts of a service made of its settings, and made again when they are to be read anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from orchestrator import log
from orchestrator.central.agent import CentralAgent
from orchestrator.core.world import World, real_world
from orchestrator.errors import TillsyncError
from orchestrator.service import manager as managers
from orchestrator.service import scheduler, seeing, timetable
from orchestrator.service.backups import Backups
from orchestrator.service.jobs import CentralJobs, TillWithJobs
from orchestrator.service.lease import CentralLease, Lease, TillLease
from orchestrator.service.nightly import Nightly
from orchestrator.service.scheduler import Ended, Lane, Rhythm
from orchestrator.service.timetable import TillGate
from orchestrator.settings import CentralSettings, Common, TillSettings
from orchestrator.till.agent import TillAgent

BACKUP_SECONDS = 5.0
"""How often a till's service asks whether a backup is due, which is looked at once a minute."""

JOBS_SECONDS = 1.0
"""How often head office's jobs are looked at: that costs nothing while none is due."""

said = log.logger("service")


NIGHT_SECONDS = 5.0
"""How often the nightly comparison is looked at, which is no query while none is due or under way."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service is made of. Nothing of it is open before the first round."""

    node: str
    lanes: tuple[Lane, ...]
    lease: Lease
    world: World
    settings: Common


def central(settings: CentralSettings) -> Parts:
    """Head office's: its jobs are a lane of their own."""
    world = real_world()
    lanes = [Lane(CentralAgent(settings, world, timetable.of_central(world)), _rhythm(settings))]
    if any(job.at == "central" for job in settings.job):
        lanes.append(Lane(CentralJobs(settings, world), Rhythm(JOBS_SECONDS, JOBS_SECONDS)))
    if settings.reconcile.cron != "off":
        lanes.append(Lane(Nightly(settings, world), Rhythm(NIGHT_SECONDS, NIGHT_SECONDS)))
    return Parts("central", tuple(lanes), CentralLease(settings, world), world, settings)


def till(settings: TillSettings) -> Parts:
    """A till's: its jobs are short, and run before a round."""
    world = real_world()
    agent = TillWithJobs(TillAgent(settings, world, gate=TillGate(settings.node, world)), settings, world)
    lanes = [Lane(agent, _rhythm(settings))]
    if settings.backup.every_hours is not None:
        lanes.append(Lane(Backups(settings, world), Rhythm(BACKUP_SECONDS, BACKUP_SECONDS)))
    return Parts(settings.node, tuple(lanes), TillLease(settings), world, settings)


def _rhythm(settings: Common) -> Rhythm:
    return Rhythm.of(settings.poll_ms, settings.poll_idle_ms)


def run(
    make: Callable[[], Parts],
    *,
    verbose: bool = False,
    stopping: threading.Event | None = None,
    stream: TextIO | None = None,
) -> bool:
    """Runs until it is told to end, by a signal or `stopping`; False where a round still hangs. `make` reads the
    settings, again at each SIGHUP: where they cannot be read then, the service goes on with those that it has. Logs
    go to `stream`, or stderr.

    Raises as `scheduler.run` does.
    """
    parts = make()
    manager = managers.of_environment()
    labels = {"node": parts.node, "run": f"{parts.world.random63():016x}"[:8]}
    while True:
        settings = parts.settings
        level = "debug" if verbose else settings.log_level
        log.configure(level=level, form=settings.log.format, stream=stream)
        with log.bound(**labels), seeing.beside(parts.node, settings, parts.world) as seen:
            lanes, lease = seen.lanes(parts.lanes), seen.lease(parts.lease)
            ended = scheduler.run(lanes, lease, parts.world, labels, manager, stopping)
        if ended is not Ended.RELOAD:
            return ended is Ended.IN_ORDER
        try:
            parts = make()
            said.info("settings are read anew")
        except TillsyncError as e:
            said.error("settings are not read anew", error=str(e))
