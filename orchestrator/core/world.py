"""The world as it is handed in: clock, randomness, waiting and dying.

Nothing else in the program reaches for these, so that a seeded simulation can run the very same code.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

KILLED = 137  # what a shell reports for a process that was ended by SIGKILL


@dataclass(frozen=True, slots=True)
class World:
    """What the program may know of the world outside its databases.

    now: the wall clock, aware, UTC. monotonic: seconds that never go back. random63: an int in 1..2**63-1.
    sleep: waits so many seconds. crash: the named point where a fault test may end the process; otherwise nothing.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    random63: Callable[[], int]
    sleep: Callable[[float], None]
    crash: Callable[[str], None]


def real_world() -> World:
    """The machine's own clock and randomness; dies at the point that `TILLSYNC_CRASH_AT` names.

    `TILLSYNC_CRASH_SKIP=k` lets the point pass k times first. `TILLSYNC_CLOCK` names a file with the time in it, by
    which a test has a month go by; waiting takes its own time.
    """
    return World(
        now=_clock(os.environ.get("TILLSYNC_CLOCK", "")),
        monotonic=time.monotonic,
        random63=lambda: secrets.randbelow(2**63 - 1) + 1,
        sleep=time.sleep,
        crash=_crasher(os.environ.get("TILLSYNC_CRASH_AT", ""), int(os.environ.get("TILLSYNC_CRASH_SKIP", "0"))),
    )


def _clock(file: str) -> Callable[[], datetime]:
    if not file:
        return lambda: datetime.now(UTC)
    return lambda: datetime.fromisoformat(Path(file).read_text(encoding="utf-8"))


def _crasher(wanted: str, skip: int) -> Callable[[str], None]:
    passes_left = skip

    def crash(point: str) -> None:
        nonlocal passes_left
        if point != wanted:
            return
        if passes_left > 0:
            passes_left -= 1
            return
        os._exit(KILLED)  # no handler, no flush: as a kill -9 would

    return crash
