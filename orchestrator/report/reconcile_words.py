"""What the report of a comparison says in words, at a terminal as on a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from orchestrator.core.reconciliation import BranchComparison, Report
from orchestrator.core.trend import Totals

KINDS = {"missing": "missing at the till", "extra": "only at the till", "different": "different"}


def counted(kind: str) -> str:
    """What kind of difference a row is."""
    return KINDS[kind]


def verdict(report: Report, sums: Totals) -> tuple[str, str]:
    """`good`, `bad` or `wait`, and the headline. A till that is silent does not agree: it was not compared."""
    parts = []
    in_rows = [b for b in report.branches if not all(t.equal for t in b.tables)]
    if in_rows:
        more = "more than " if any(t.truncated for b in in_rows for t in b.tables) else ""
        parts.append(f"{more}{_many(sums.differing_rows, 'row')} at {_many(len(in_rows), 'till')} differ")
    if sums.books_failing:
        verb = "fails" if sums.books_failing == 1 else "fail"
        parts.append(f"{_many(sums.books_failing, 'check')} of the books {verb}")
    if sums.silent:
        parts.append(f"{_many(sums.silent, 'till')} did not answer")
    if not parts:
        return "good", f"Everything agrees at {_many(sums.compared, 'till')}" if sums.branches else "No till was asked"
    if report.equal:
        return "wait", f"What was compared agrees; {', '.join(parts)}"
    said = "; ".join(parts)
    return "bad", said[0].upper() + said[1:]


def state(branch: BranchComparison) -> tuple[str, str]:
    """`good`, `bad` or `wait`, and a branch's state in a word or two."""
    if branch.state != "compared" and branch.tick is None:
        return "wait", "never compared" if branch.state == "offline" else "no answer yet"
    if not branch.equal:
        return "bad", "differs" if branch.state == "compared" else f"{branch.state}, differed"
    return ("good", "agrees") if branch.state == "compared" else ("wait", f"{branch.state}, agreed")


def when(at: datetime | None) -> str:
    """A moment to the minute, with its zone."""
    return "-" if at is None else at.strftime("%Y-%m-%d %H:%M %Z").strip()


def age(seconds: float | None) -> str:
    """How old an answer is."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def keyed(key: Mapping[str, str | None]) -> str:
    """A row's key or a group, by name."""
    return ", ".join(f"{name} {'NULL' if text is None else text}" for name, text in key.items()) or "all"


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
