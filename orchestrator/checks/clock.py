"""Clocks: policies that compare times, and everything that is told by its time, need them to agree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from orchestrator.checks.finding import Finding

SKEW_SECONDS_MAX = 5


def findings(place: str, theirs: datetime, ours: datetime) -> Iterator[Finding]:
    """The clock of a server against this machine's."""
    skew = (theirs - ours).total_seconds()
    if abs(skew) > SKEW_SECONDS_MAX:
        what = f"the clock of {place} is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
        yield Finding("clock", what, "synchronise both with NTP")
