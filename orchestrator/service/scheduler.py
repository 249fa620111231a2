"""The service: an agent's rounds on a schedule, through every fault that passes, until somebody ends it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any

import structlog

from orchestrator.core.world import World
from orchestrator.errors import Busy, TillsyncError
from orchestrator.log import logger
from orchestrator.service import pace
from orchestrator.service.lease import Lease
from orchestrator.service.manager import Manager
from orchestrator.service.rounds import Agent

STOP_SECONDS_MAX = 2.5
"""A round that is longer than this after the signal is broken off; what it had not committed is done again."""

INTERRUPTED_SECONDS_MAX = 1.0
WAKE_SECONDS = 0.5
STUCK_SECONDS = 3_600.0
"""A round that is longer than this is stuck: the watchdog is not told any more that all is well."""

log = logger("service")


class Ended(Enum):
    """How a run of the service ended."""

    IN_ORDER = "in order"
    HANGING = "hanging"  # a round is still in somebody else's hands
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often rounds are made: while there is something to do, and while there is not."""

    poll_seconds: float
    idle_seconds: float

    @classmethod
    def of(cls, poll_ms: int, poll_idle_ms: int | None) -> Rhythm:
        return cls(poll_ms / 1000, (poll_idle_ms or pace.IDLE_FACTOR * poll_ms) / 1000)


class Service:
    """One agent's rounds. `turn` is one of them; it never raises."""

    def __init__(
        self,
        agent: Agent,
        lease: Lease,
        world: World,
        rhythm: Rhythm,
        labels: Mapping[str, str],
        stopping: threading.Event | None = None,
        *,
        is_beside: bool = False,
    ) -> None:
        """`is_beside`: these rounds are made beside the service's own; what they cannot do does not end it."""
        self._agent, self._lease, self._world, self._labels = agent, lease, world, labels
        self._backoff = pace.Backoff(rhythm.poll_seconds)
        self._pace = pace.Pace(rhythm.poll_seconds, rhythm.idle_seconds)
        self._said = ""
        self._begun = self._is_beside = is_beside
        self._busy_since = inf
        self.stopping = stopping or threading.Event()
        self.fault: BaseException | None = None

    def turn(self) -> float:
        """One round; seconds until the next one.

        Before the first success, what no later round can put right ends the service.
        """
        if self.stopping.is_set():
            return 0.0
        self._busy_since = self._world.monotonic()
        try:
            self._lease.hold()
            report = self._agent.round()
            if not self._is_beside:  # what is told is when the service last did what it is for
                self._lease.note()
        except Exception as e:
            return self._failed(e)
        else:
            return self._succeeded(report)
        finally:
            self._busy_since = inf

    def run(self) -> None:
        """Rounds until it is to stop; the body of the service's thread, which does not inherit the log's labels."""
        structlog.contextvars.bind_contextvars(**self._labels)
        while not self.stopping.wait(self.turn()):
            pass

    @property
    def is_stuck(self) -> bool:
        return self._world.monotonic() - self._busy_since > STUCK_SECONDS

    def _succeeded(self, report: Any) -> float:
        if self._said:
            log.info("working again")
        self._backoff.succeeded()
        self._said, self._begun = "", True
        if report.moved:
            log.info("round", **told(report))
        pause = self._pace.after(moved=bool(report.moved), more=getattr(report, "more", False))
        return pace.spread(pause, self._world.random63())

    def _failed(self, error: Exception) -> float:
        if self.stopping.is_set():
            return 0.0  # broken off on purpose
        expected = isinstance(error, TillsyncError)
        if not self._begun and not _passes(error):
            self.fault = error
            self.stopping.set()
            return 0.0
        pause = pace.spread_fault(self._backoff.failed(error), self._world.random63())
        said = str(error) if expected else repr(error)
        # Once per change: a night without a network is one line, not ten thousand.
        if said != self._said:
            self._said = said
            log.error(
                "round failed", error=said, again_in_seconds=round(pause, 1), exc_info=None if expected else error
            )
        return pause


@dataclass(frozen=True, slots=True)
class Lane:
    """An agent whose rounds are made in a thread of their own, so that no lane waits for another's."""

    agent: Agent
    rhythm: Rhythm


def run(
    lanes: Sequence[Lane],
    lease: Lease,
    world: World,
    labels: Mapping[str, str],
    manager: Manager,
    stopping: threading.Event | None = None,
) -> Ended:
    """Rounds until SIGTERM or SIGINT or `stopping`, or SIGHUP to begin anew; then the current ones end.

    The first lane is what the service is for. `labels` go with every log line.

    Raises Busy TS-720 where another run holds the lease, and at the start whatever no later round can put right; an
    unreachable database is waited for, at the start too.
    """
    first = lanes[0].rhythm
    service = Service(lanes[0].agent, lease, world, first, labels, stopping)
    beside = [
        Service(lane.agent, lease, world, lane.rhythm, labels, service.stopping, is_beside=True) for lane in lanes[1:]
    ]
    structlog.contextvars.bind_contextvars(**labels)
    _hold_at_start(lease)
    with _signals(service.stopping) as hangup:
        at_work = {threading.Thread(target=each.run, daemon=True): each for each in (service, *beside)}
        for thread in at_work:
            thread.start()
        log.info("started", poll_ms=round(first.poll_seconds * 1000))
        manager.ready("rounds are made")
        _wait(service.stopping, at_work, manager)
        manager.reloading() if hangup.is_set() else manager.stopping()
        ended = _stop(list(at_work), [lane.agent for lane in lanes])
    log.info("stopped", in_order=ended)
    if ended:
        for lane in lanes:
            lane.agent.close()
        lease.release()
    if service.fault is not None:
        raise service.fault
    if not ended:
        return Ended.HANGING
    return Ended.RELOAD if hangup.is_set() else Ended.IN_ORDER


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


def _wait(stopping: threading.Event, at_work: Mapping[threading.Thread, Service], manager: Manager) -> None:
    """Until it is to stop. A wait without an end cannot be interrupted on Windows, and the watchdog wants to hear."""
    pause = min(WAKE_SECONDS, manager.watchdog_seconds / 3 or WAKE_SECONDS)
    while not stopping.wait(pause):
        if all(thread.is_alive() and not service.is_stuck for thread, service in at_work.items()):
            manager.alive()


def _stop(threads: Sequence[threading.Thread], agents: Sequence[Agent]) -> bool:
    """Let the current rounds end; break them off where that takes too long. Whether they ended."""
    if not _joined(threads, STOP_SECONDS_MAX):
        log.warning("the round is broken off")
        for agent in agents:
            interrupt = getattr(agent, "interrupt", None)
            if interrupt is not None:
                with suppress(Exception):
                    interrupt()
    return _joined(threads, INTERRUPTED_SECONDS_MAX)


def _joined(threads: Sequence[threading.Thread], seconds: float) -> bool:
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


@contextmanager
def _signals(stopping: threading.Event) -> Iterator[threading.Event]:
    """SIGTERM, SIGINT and a service manager's SIGBREAK end the service, SIGHUP has it begin anew, which the event that
    this yields tells. Handlers are put back at the end; another thread than the first, as a Windows service's, may set
    none."""
    hangup = threading.Event()

    def stop(number: int, _: object) -> None:
        if number != getattr(signal, "SIGHUP", None):
            hangup.clear()  # who is to begin anew and then to end, ends
        elif not stopping.is_set():
            hangup.set()
        stopping.set()

    if threading.current_thread() is not threading.main_thread():
        yield hangup
        return
    names = ("SIGTERM", "SIGINT", "SIGBREAK", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield hangup
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
