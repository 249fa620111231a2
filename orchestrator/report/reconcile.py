"""The report of a comparison at a terminal: the verdict, a line per till, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.core.reconciliation import BookComparison, BranchComparison, Report, RowDifference, TableComparison
from orchestrator.core.trend import Kept, totals
from orchestrator.report import render
from orchestrator.report.html import seen
from orchestrator.report.reconcile_words import age, counted, keyed, state, verdict, when

SHOWN_MAX = 20
"""So many differences of a table or a check are shown; the JSON and the page have them all."""

COUNTS = ("missing", "extra", "different", "in_flight", "parked", "conflicts")
HEADERS = ("missing", "extra", "different", "on their way", "parked", "conflicts")


def show(report: Report, before: Sequence[Kept] = ()) -> None:
    """Prints the report. `before`: the sums of earlier reports, the newest first."""
    out = render.console()
    out.print(verdict(report, totals(report))[1])
    render.table(["till", "state", "tick", "as of", "rows", *HEADERS, "books"], map(_line, report.branches))
    for branch in report.branches:
        if branch.tables and (not branch.equal or len(report.branches) == 1):
            out.print(f"{branch.branch}, tick {branch.tick} of {when(branch.tick_at)}")
            render.table(["table", "channel", "head office", "till", *HEADERS], map(_table, branch.tables))
        for said in _differences(branch):
            out.print(said, soft_wrap=True)
    for said in _trend(before):
        out.print(said)


def _line(branch: BranchComparison) -> list[object]:
    counts = [sum(getattr(t, name) for t in branch.tables) for name in COUNTS]
    failing = sum(not c.ok for c in branch.books)
    books = (
        f"{failing} of {len(branch.books)} fail" if failing else f"{len(branch.books)} hold" if branch.books else "-"
    )
    rows = sum(t.central_rows for t in branch.tables)
    return [branch.branch, state(branch)[1], branch.tick, age(branch.age_seconds), rows, *counts, books]


def _table(compared: TableComparison) -> list[object]:
    counts = [getattr(compared, name) for name in COUNTS]
    channel = f"{compared.channel}, {compared.direction}"
    return [compared.table.removeprefix("public."), channel, compared.central_rows, compared.till_rows, *counts]


def _differences(branch: BranchComparison) -> Iterator[str]:
    for compared in branch.tables:
        name = compared.table.removeprefix("public.")
        if compared.note:
            yield f"  {name}: {compared.note}"
        listed = [line for row in compared.differences[:SHOWN_MAX] for line in _row(name, row)]
        yield from _with_more(listed, len(compared.differences), truncated=compared.truncated)
    for book in branch.books:
        yield from _book(book)


def _row(table: str, difference: RowDifference) -> Iterator[str]:
    note = f" ({difference.note})" if difference.note else ""
    yield f"  {table} {_key(difference.key)}: {counted(difference.kind)}{note}"
    if difference.kind == "different":
        for column in difference.columns:
            yield f"      {seen(column.column)}: head office {_value(column.central)}, till {_value(column.till)}"


def _book(book: BookComparison) -> Iterator[str]:
    if book.ok and book.state == "compared":
        return
    said = {"failed": "could not be checked", "in_flight": "on its way"}.get(book.state, "FAILS")
    note = f" ({book.note})" if book.note else ""
    yield f"  {book.book} {said}: {book.message}{note}"
    listed = [
        f"      {_key(d.group)}: {seen(d.value)}: head office {_value(d.central)}, till {_value(d.till)}"
        for d in book.differences[:SHOWN_MAX]
    ]
    yield from _with_more(listed, len(book.differences), truncated=book.truncated)


def _with_more(lines: Iterable[str], number: int, *, truncated: bool) -> Iterator[str]:
    yield from lines
    if number > SHOWN_MAX or truncated:
        yield f"      ... and more: {number:,} are in the JSON{', which has not all of them' if truncated else ''}"


def _trend(before: Sequence[Kept]) -> Iterator[str]:
    if before:
        yield f"before: {'; '.join(map(_past, before[:7]))}"


def _past(kept: Kept) -> str:
    sums = kept.totals
    said = "agreed" if kept.equal else f"{sums.differing_rows:,} rows, {sums.books_failing:,} books"
    return f"{when(kept.made_at)} {said}"


def _key(key: Mapping[str, str | None]) -> str:
    return _line_of(keyed(key))


def _line_of(text: str) -> str:
    return seen(text).replace("\n", "\\n").replace("\t", "\\t")


def _value(text: str | None) -> str:
    if text is None:
        return "NULL"
    shown = _line_of(text)
    return f"'{shown}'" if text == "" or text != text.strip() else shown
