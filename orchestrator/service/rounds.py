"""Rounds by hand: one, or until nothing moves any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from orchestrator.core.world import World
from orchestrator.errors import Unreachable
from orchestrator.service.lease import Lease

QUIET_ROUNDS = 2
"""So many rounds in a row that moved nothing are idle: the first may have met the end of somebody else's work."""


class Moved(Protocol):
    """What a round's report tells everybody."""

    @property
    def moved(self) -> int: ...


class Agent(Protocol):
    """An agent, central's or a till's."""

    def round(self) -> Moved: ...

    def close(self) -> None: ...


def one(agent: Agent, lease: Lease) -> Moved:
    """One round under the lease."""
    lease.hold()
    try:
        report = agent.round()
        lease.note()
        return report
    finally:
        agent.close()
        lease.release()


def until_idle(
    agent: Agent,
    lease: Lease,
    world: World,
    *,
    timeout_seconds: float,
    pause_seconds: float,
    seen: Callable[[Moved], None] = lambda report: None,
) -> int:
    """Rounds until two in a row moved nothing; how many moved something. `seen` gets every round's report.

    Raises Unreachable TS-721 when it is not idle after the timeout.
    """
    moved = quiet = 0
    until = world.monotonic() + timeout_seconds
    try:
        while quiet < QUIET_ROUNDS:
            if world.monotonic() >= until:
                raise Unreachable(
                    "TS-721",
                    f"not idle after {timeout_seconds:g} s",
                    hint="the other side has not done its part; look at `tillsync status`, or give it a --timeout",
                )
            lease.hold()
            report = agent.round()
            lease.note()
            seen(report)
            if report.moved:
                moved, quiet = moved + 1, 0
            else:
                quiet += 1
                world.sleep(pause_seconds)
        return moved
    finally:
        agent.close()
        lease.release()
