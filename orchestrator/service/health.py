"""How a service's rounds go, for those who ask from outside. Agent and lease are wrapped, and know nothing of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.report.troubles import CENTRAL, Trouble
from orchestrator.service.lease import Lease
from orchestrator.service.metrics import Rounds
from orchestrator.service.rounds import Agent, Moved

STUCK_SECONDS = 3_600.0
"""A round that is longer than this is stuck."""

SILENT_SECONDS = 900.0
"""Rounds that do not even begin for so long are not made any more: no pause after a fault is as long."""


@dataclass(frozen=True, slots=True)
class State:
    """failed: what the newest round, or what had to be done before it, failed with, '' after a good one. refused: by
    branch, why its uploads are not taken."""

    started_at: datetime
    begun_at: datetime | None = None
    succeeded_at: datetime | None = None
    failed: str = ""
    code: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


class Health:
    """Written by the rounds' thread, read by others."""

    def __init__(self, world: World, rounds: Rounds) -> None:
        self._world, self._rounds = world, rounds
        self._one = threading.Lock()
        self._state = State(world.now())
        self._beat = world.monotonic()
        self._is_busy = False

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_live(self) -> bool:
        """Whether rounds are made at all, good or bad."""
        limit = STUCK_SECONDS if self._is_busy else SILENT_SECONDS
        return self._world.monotonic() - self._beat <= limit

    @property
    def is_ready(self) -> bool:
        """Whether the newest round went well."""
        return self.is_live and self._state.succeeded_at is not None and not self._state.failed

    def agent(self, agent: Agent) -> Agent:
        """The agent, each of whose rounds is noted."""
        return _WatchedAgent(agent, self)

    def lease(self, lease: Lease) -> Lease:
        """The lease; that it cannot be had is noted."""
        return _WatchedLease(lease, self)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Something that belongs to a round; what it raises is noted, and raised."""
        try:
            yield
        except Exception as e:
            self._rounds.failed()
            code = e.code if isinstance(e, TillsyncError) else "TS-799"
            with self._one:
                self._state = replace(self._state, failed=str(e) or type(e).__name__, code=code)
            raise

    @contextmanager
    def round(self) -> Iterator[None]:
        """One round."""
        begun = self._beat = self._world.monotonic()
        self._is_busy = True
        with self._one:
            self._state = replace(self._state, begun_at=self._world.now())
        try:
            with self.step():
                yield
        finally:
            self._is_busy = False
            self._beat = self._world.monotonic()
            self._rounds.lasted(self._beat - begun)

    def succeeded(self, report: Moved) -> None:
        """A round ended well."""
        self._rounds.succeeded(report)
        with self._one:
            self._state = replace(
                self._state,
                succeeded_at=self._world.now(),
                failed="",
                code="",
                refused=dict(getattr(report, "refused", {})),
            )

    def added_to(self, chain: Mapping[str, Any]) -> dict[str, Any]:
        """Head office's status with what only its service knows: uploads that it refuses, and that its rounds fail,
        where that is not the relay's being away."""
        state = self._state
        known = [t for t in chain["troubles"] if t["cause"] != "stopped"]  # whoever is asked here does run
        if state.failed and "error" not in chain["relay"]:
            known.insert(0, _trouble("rounds", CENTRAL, state.failed, "docs/errors.md explains the code"))
        for node, why in state.refused.items():
            known.append(_trouble("refused", node, f"its uploads are not taken: {why}", "they wait in the relay"))
        return {**chain, "troubles": known}


def _trouble(cause: str, subject: str, what: str, remedy: str) -> dict[str, str]:
    return asdict(Trouble(cause, subject, what, remedy))


class _WatchedAgent:
    def __init__(self, agent: Agent, health: Health) -> None:
        self._agent, self._health = agent, health

    def round(self) -> Moved:
        with self._health.round():
            report = self._agent.round()
        self._health.succeeded(report)
        return report

    def close(self) -> None:
        self._agent.close()

    def interrupt(self) -> None:
        interrupt: Any = getattr(self._agent, "interrupt", None)
        if interrupt is not None:
            with suppress(Exception):
                interrupt()


class _WatchedLease:
    def __init__(self, lease: Lease, health: Health) -> None:
        self._lease, self._health = lease, health

    def hold(self) -> None:
        with self._health.step():
            self._lease.hold()

    def note(self) -> None:
        self._lease.note()

    def release(self) -> None:
        self._lease.release()
