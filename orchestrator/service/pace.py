"""How long an agent rests between rounds: short while there is something to do, longer while there is not, and after a
fault as long as its kind deserves."""

from __future__ import annotations

from orchestrator.errors import Busy, PersonMustDecide

IDLE_FACTOR = 5
"""An agent with nothing to do slows down to so many times `poll_ms`, where `poll_idle_ms` does not say another."""

SLOWING = 1.5
JITTER = 0.1
"""Rounds are spread by this part of the pause, so that a chain's tills do not ask in step."""

BUSY_SECONDS_MAX = 10.0
FAULT_SECONDS_MAX = 60.0
PATIENCE = 4
PARTS = 2**63


class Pace:
    """Pauses after rounds that went well: `poll_seconds` after one that moved something, growing to `idle_seconds`."""

    def __init__(self, poll_seconds: float, idle_seconds: float) -> None:
        self._poll, self._idle = poll_seconds, max(poll_seconds, idle_seconds)
        self._pause = poll_seconds

    def after(self, *, moved: bool, more: bool = False) -> float:
        """Seconds until the next round. `more`: it left work that it knows of, so that the next one begins at once."""
        if more:
            self._pause = self._poll
            return 0.0
        self._pause = self._poll if moved else min(self._idle, self._pause * SLOWING)
        return self._pause


class Backoff:
    """How long to leave alone what failed: twice as long after each failure, up to a cap.

    A network or a server that is away: up to 60 s, less where rounds are short, since who polls ten times a second
    does not want to wait a minute. A lock that somebody holds is free again soon: 10 s. What a person has to put right
    (a refused login) is asked for four times less often than the network.
    """

    def __init__(self, poll_seconds: float) -> None:
        self._first = max(poll_seconds, 0.1)
        self._cap = min(FAULT_SECONDS_MAX, 50 * self._first)
        self._failures = 0

    def failed(self, error: BaseException) -> float:
        """Seconds until the next try."""
        self._failures += 1
        pause = min(self._cap, self._first * 2.0 ** min(self._failures - 1, 16))
        if isinstance(error, Busy):
            return min(BUSY_SECONDS_MAX, pause)
        return PATIENCE * pause if isinstance(error, PersonMustDecide) else pause

    def succeeded(self) -> None:
        self._failures = 0


def spread(pause: float, drawn: int) -> float:
    """A pause after a good round, a little shorter or longer. `drawn` is random, below 2**63."""
    return pause * (1 + JITTER * (2 * drawn / PARTS - 1))


def spread_fault(pause: float, drawn: int) -> float:
    """A pause after a fault, down to half of it: when a relay comes back, a chain's tills do not log in all at once."""
    return pause * (1 + drawn / PARTS) / 2
