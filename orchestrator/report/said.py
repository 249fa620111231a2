"""What a till said of itself. Its report is whatever its account wrote: only what is of the right kind is believed, so
that one till cannot break head office's view of the others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

COUNT_MAX = 2**63 - 1
SECONDS_MAX = 1e11
TEXTS_MAX, CHARACTERS_MAX = 100, 1_000


def body(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report itself, empty where it is none."""
    found = report.get("body")
    return found if isinstance(found, dict) else {}


def count(value: Any) -> int | None:
    """A number of things."""
    return value if type(value) is int and 0 <= value <= COUNT_MAX else None


def counts(value: Any) -> list[int]:
    """A list of such."""
    return [one for one in value[:TEXTS_MAX] if count(one) is not None] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A measure; no second or byte is further off than this."""
    is_one = type(value) in (int, float) and isfinite(value) and abs(value) <= COUNT_MAX
    return float(value) if is_one else None


def seconds(value: Any) -> float | None:
    """A difference of times, of some thousand years at most."""
    found = number(value)
    return found if found is not None and abs(found) <= SECONDS_MAX else None


def text(value: Any) -> str | None:
    """Something short, printable in one line."""
    if not isinstance(value, str):
        return None
    return " ".join("".join(c if c.isprintable() else " " for c in value[:CHARACTERS_MAX]).split())


def texts(value: Any) -> list[str]:
    """A list of such."""
    found = value[:TEXTS_MAX] if isinstance(value, list) else []
    return [said for one in found if (said := text(one)) is not None]


def instant(value: Any) -> datetime | None:
    """A time in ISO 8601; UTC where it does not say."""
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def by_relay(at: datetime | None, skew: float | None) -> datetime | None:
    """A time by the till's clock as the relay's shows it."""
    try:
        return at if at is None or skew is None else at - timedelta(seconds=skew)
    except OverflowError:
        return None
