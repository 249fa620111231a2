"""The service: an agent's rounds on a schedule, through every fault that passes, until somebody ends it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from orchestrator.core.world import World
from orchestrator.errors import Busy, PersonMustDecide, TillsyncError
from orchestrator.log import logger
from orchestrator.service.lease import Lease
from orchestrator.service.rounds import Agent

STOP_SECONDS_MAX = 3.0
"""A round that is longer than this after the signal is broken off; what it had not committed is done again."""

INTERRUPTED_SECONDS_MAX = 1.0
WAKE_SECONDS = 0.5
JITTER = 0.1
"""Rounds are spread by this part of the interval, so that a chain's tills do not ask in step."""

log = logger("service")


class Backoff:
    """How long to leave an unreachable side alone: twice as long after each failure, up to a cap.

    The cap is 60 s, less where rounds are short, since who polls ten times a second does not want to wait a minute.
    What a person has to put right (a refused login) is asked for four times less often.
    """

    def __init__(self, poll_seconds: float) -> None:
        self._first = max(poll_seconds, 0.1)
        self._cap = min(60.0, 50 * self._first)
        self._failures = 0

    def failed(self, error: BaseException) -> float:
        """Seconds until the next try."""
        self._failures += 1
        patience = 4 if isinstance(error, PersonMustDecide) else 1
        return patience * min(self._cap, self._first * 2.0 ** min(self._failures - 1, 16))

    def succeeded(self) -> None:
        self._failures = 0


class Service:
    """One agent's rounds. `turn` is what the scheduler calls; it never raises."""

    def __init__(
        self, agent: Agent, lease: Lease, world: World, poll_seconds: float, labels: Mapping[str, str]
    ) -> None:
        self._agent, self._lease, self._world, self._labels = agent, lease, world, labels
        self._backoff = Backoff(poll_seconds)
        self._not_before = 0.0
        self._said = ""
        self._begun = False
        self.stopping = threading.Event()
        self.fault: BaseException | None = None

    def turn(self) -> None:
        """One round, unless it is too early after a fault.

        Before the first success, what no later round can put right ends the service.
        """
        if self.stopping.is_set() or self._world.monotonic() < self._not_before:
            return
        structlog.contextvars.bind_contextvars(**self._labels)  # a thread does not inherit them
        try:
            self._lease.hold()
            report = self._agent.round()
            self._lease.note()
        except Exception as e:
            self._failed(e)
        else:
            self._succeeded(report)

    def _succeeded(self, report: Any) -> None:
        if self._said:
            log.info("working again")
        self._backoff.succeeded()
        self._said, self._begun = "", True
        if report.moved:
            log.info("round", **told(report))

    def _failed(self, error: Exception) -> None:
        if self.stopping.is_set():
            return  # broken off on purpose
        expected = isinstance(error, TillsyncError)
        if not self._begun and not _passes(error):
            self.fault = error
            self.stopping.set()
            return
        pause = self._backoff.failed(error)
        self._not_before = self._world.monotonic() + pause
        said = str(error) if expected else repr(error)
        # Once per change: a night without a network is one line, not ten thousand.
        if said != self._said:
            self._said = said
            log.error(
                "round failed", error=said, again_in_seconds=round(pause, 1), exc_info=None if expected else error
            )


def run(agent: Agent, lease: Lease, world: World, poll_ms: int, labels: Mapping[str, str]) -> bool:
    """Rounds every `poll_ms` until SIGTERM or SIGINT; then the current round ends. True if all ended in order.

    `labels` go with every log line.

    Raises Busy TS-720 where another run holds the lease, and at the start whatever no later round can put right; an
    unreachable database is waited for, at the start too.
    """
    service = Service(agent, lease, world, poll_ms / 1000, labels)
    structlog.contextvars.bind_contextvars(**labels)
    _hold_at_start(lease)
    with _signals(service.stopping):
        scheduler = _scheduler(service.turn, world, poll_ms / 1000)
        scheduler.start()
        log.info("started", poll_ms=poll_ms)
        while not service.stopping.wait(WAKE_SECONDS):
            pass  # a wait without an end cannot be interrupted on Windows
        ended = _stop(scheduler, agent)
    log.info("stopped", in_order=ended)
    if ended:
        agent.close()
        lease.release()
    if service.fault is not None:
        raise service.fault
    return ended


def told(report: Any) -> dict[str, Any]:
    """What a log line says of a report: its fields that are not empty."""
    names = getattr(report, "__slots__", None) or vars(report)
    return {name: value for name in names if (value := getattr(report, name))}


def _passes(error: Exception) -> bool:
    """Whether trying again can help."""
    return isinstance(error, TillsyncError) and (error.retry or isinstance(error, Busy))


def _hold_at_start(lease: Lease) -> None:
    try:
        lease.hold()
    except TillsyncError as e:
        if not e.retry:
            raise


def _scheduler(turn: Callable[[], None], world: World, poll_seconds: float) -> BackgroundScheduler:
    # A round that is longer than the interval is no misfire worth a line.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)}, timezone="UTC")
    trigger = IntervalTrigger(seconds=poll_seconds, jitter=poll_seconds * JITTER, timezone="UTC")
    scheduler.add_job(turn, trigger, max_instances=1, coalesce=True, misfire_grace_time=None, next_run_time=world.now())
    return scheduler


def _stop(scheduler: BackgroundScheduler, agent: Agent) -> bool:
    """Let the current round end; break it off where it takes too long. Whether it ended."""
    ender = threading.Thread(target=scheduler.shutdown, daemon=True)
    ender.start()
    ender.join(STOP_SECONDS_MAX)
    if ender.is_alive():
        log.warning("the round is broken off")
        interrupt = getattr(agent, "interrupt", None)
        if interrupt is not None:
            with suppress(Exception):
                interrupt()
        ender.join(INTERRUPTED_SECONDS_MAX)
    return not ender.is_alive()


@contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    """SIGTERM, SIGINT and a service manager's SIGBREAK end the service; handlers are put back at the end."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
