"""What is remembered of a comparison beside its report: its sums, and what has differed since when. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from orchestrator.core.reconciliation import Report

What = Literal["table", "book"]


@dataclass(frozen=True)
class Totals:
    """A report's sums. `silent`: branches that are waited for or offline. `books_failing`: checks that do not hold."""

    branches: int = 0
    compared: int = 0
    silent: int = 0
    differing: int = 0
    rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    in_flight: int = 0
    parked: int = 0
    conflicts: int = 0
    books: int = 0
    books_failing: int = 0

    @property
    def differing_rows(self) -> int:
        return self.missing + self.extra + self.different


@dataclass(frozen=True)
class Kept:
    """An earlier report, by its sums."""

    id: int
    made_at: datetime
    equal: bool
    totals: Totals


@dataclass(frozen=True)
class Finding:
    """What one comparison said of a table or a check at a branch; `rows` (or values) differ, 0: it is equal."""

    node: str
    kind: What
    what: str
    rows: int
    tick: int | None
    at: datetime


@dataclass(frozen=True)
class Lasting:
    """A table or a check that differs at a branch, since the first comparison in a row that found it."""

    node: str
    kind: What
    what: str
    rows: int
    tick: int | None
    since: datetime
    equal_at: datetime | None

    def said(self, now: datetime) -> str:
        """As a line of `status`: `T7 differs in item since 02:00 UTC (3 rows)`."""
        since = self.since.astimezone(now.tzinfo)
        at = since.strftime("%H:%M %Z" if since.date() == now.date() else "%Y-%m-%d %H:%M %Z").strip()
        place = f"in {self.what.removeprefix('public.')}" if self.kind == "table" else f"in the books: {self.what}"
        unit = ("row" if self.kind == "table" else "value") + ("" if self.rows == 1 else "s")
        return f"{self.node} differs {place} since {at} ({self.rows:,} {unit})"


def totals(report: Report) -> Totals:
    """The sums of a report."""
    tables = [t for b in report.branches for t in b.tables]
    books = [c for b in report.branches for c in b.books]
    compared = sum(b.state == "compared" for b in report.branches)
    return Totals(
        branches=len(report.branches),
        compared=compared,
        silent=len(report.branches) - compared,
        differing=sum(not b.equal for b in report.branches),
        rows=sum(t.central_rows for t in tables),
        missing=sum(t.missing for t in tables),
        extra=sum(t.extra for t in tables),
        different=sum(t.different for t in tables),
        in_flight=sum(t.in_flight for t in tables),
        parked=sum(t.parked for t in tables),
        conflicts=sum(t.conflicts for t in tables),
        books=len(books),
        books_failing=sum(not c.ok for c in books),
    )


def findings(report: Report) -> Iterator[Finding]:
    """What the report says of each table and check that was compared. A check that was in flight says nothing."""
    for branch in report.branches:
        if branch.tick is None:
            continue
        at = branch.tick_at or report.made_at
        for table in branch.tables:
            rows = table.missing + table.extra + table.different
            rows = rows if table.equal else max(rows, 1)
            yield Finding(branch.branch, "table", table.table, rows, branch.tick, at)
        for book in branch.books:
            if book.state != "in_flight":
                differing = 0 if book.ok else max(len(book.differences), 1)
                yield Finding(branch.branch, "book", book.book, differing, branch.tick, at)
