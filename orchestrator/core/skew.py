"""How far a clock is off the relay's, which is the one that everybody in the chain sees."""

from __future__ import annotations

from datetime import datetime


def seconds(theirs: float | None, asked: datetime, answered: datetime) -> float | None:
    """How far our clock is ahead of theirs (behind, where negative), in seconds; None where they did not say.

    theirs: seconds since 1970, told at some time between our `asked` and `answered`. As in NTP (RFC 5905) the middle of
    the two is compared; what the journey may account for is taken off, so that a slow line is no wrong clock.
    """
    if theirs is None:
        return None
    middle = (asked.timestamp() + answered.timestamp()) / 2
    doubt = abs(answered.timestamp() - asked.timestamp()) / 2
    off = middle - theirs
    sure = max(abs(off) - doubt, 0.0)
    return round(sure if off > 0 else -sure, 1) + 0.0  # no -0.0
