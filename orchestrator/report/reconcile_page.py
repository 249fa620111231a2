"""The report of a comparison as one HTML file: opens offline, on a phone, in the dark, and prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from orchestrator.core.reconciliation import (
    BookComparison,
    BranchComparison,
    ColumnDifference,
    Report,
    RowDifference,
    TableComparison,
)
from orchestrator.core.trend import Kept, Totals, totals
from orchestrator.report.html import Child, Node, document, element, seen, table, value
from orchestrator.report.reconcile_words import age, counted, keyed, state, verdict, when

MORE = "There are more than are listed here."
STYLE = Path(__file__).with_name("reconcile.css")


def page(report: Report, before: Sequence[Kept] = ()) -> bytes:
    """The page. `before`: the sums of earlier reports, the newest first."""
    sums = totals(report)
    return document(
        f"Reconciliation {when(report.made_at)}",
        STYLE.read_text(encoding="utf-8"),
        _head(report, sums),
        _tiles(sums),
        _trend(report, sums, before),
        _overview(report.branches),
        [_branch(b) for b in sorted(report.branches, key=lambda b: b.equal)],
    )


def _head(report: Report, sums: Totals) -> Node:
    good, said = verdict(report, sums)
    return element(
        "header",
        element("h1", "Reconciliation"),
        element("p", said, class_=f"verdict {good}"),
        element("p", f"Head office and its tills, compared on {when(report.made_at)}.", class_="faint"),
    )


def _tiles(sums: Totals) -> Node:
    shown = {
        "tills compared": f"{sums.compared:,} of {sums.branches:,}",
        "rows compared": f"{sums.rows:,}",
        "rows that differ": f"{sums.differing_rows:,}",
        "books that fail": f"{sums.books_failing:,} of {sums.books:,}",
        "on their way": f"{sums.in_flight:,}",
        "parked": f"{sums.parked:,}",
        "conflicts": f"{sums.conflicts:,}",
    }
    return element("dl", [element("div", element("dt", k), element("dd", v)) for k, v in shown.items()], class_="tiles")


def _trend(report: Report, sums: Totals, before: Sequence[Kept]) -> Node | None:
    if not before:
        return None
    reports = [(report.made_at, report.equal, sums), *((k.made_at, k.equal, k.totals) for k in before)]
    most = max(1, *(t.differing_rows for _, _, t in reports))

    def stripe(rows: int) -> Child:
        return element("span", class_="bar", style=f"width: {6 * rows / most:.2f}rem") if rows else None

    lines = [
        [
            when(at),
            element("span", "agrees" if equal else "differs", class_="good" if equal else "bad"),
            t.differing_rows,
            stripe(t.differing_rows),
            t.differing,
            t.books_failing,
            t.silent,
        ]
        for at, equal, t in reports
    ]
    headers = ["report", "verdict", "rows that differ", "", "tills that differ", "books that fail", "silent tills"]
    return element("section", element("h2", "The last reports"), table(headers, lines, class_="list"))


COUNTS = ("missing", "extra", "different", "in_flight", "parked", "conflicts")
COUNT_NAMES = ("missing", "extra", "different", "on their way", "parked", "conflicts")


def _overview(branches: Sequence[BranchComparison]) -> Node:
    def line(b: BranchComparison) -> list[Child | int]:
        counts = [sum(getattr(t, name) for t in b.tables) for name in COUNTS]
        failing = sum(not c.ok for c in b.books)
        books = f"{failing} of {len(b.books)} fail" if failing else f"{len(b.books)} hold" if b.books else "-"
        return [
            element("a", b.branch, href=f"#till-{b.branch}"),
            _state(b),
            "-" if b.tick is None else str(b.tick),
            age(b.age_seconds),
            sum(t.central_rows for t in b.tables),
            *counts,
            books,
        ]

    headers = ["till", "state", "tick", "as of", "rows", *COUNT_NAMES, "books"]
    if not branches:
        return element("p", "No till was asked.")
    return element("section", element("h2", "Tills"), table(headers, map(line, branches), class_="list"))


def _state(branch: BranchComparison) -> Node:
    good, said = state(branch)
    return element("span", said, class_=good)


def _branch(branch: BranchComparison) -> Node | None:
    """A till that agrees is folded away; there is nothing to tell of one that never answered."""
    if branch.tick is None:
        return None
    title = f"{branch.branch}: {state(branch)[1]}, tick {branch.tick} of {when(branch.tick_at)}"
    parts = [_tables(branch.tables), *map(_rows, branch.tables), _books(branch.books)]
    if branch.equal:
        return element("details", element("summary", title), *parts, class_="card", id=f"till-{branch.branch}")
    return element("section", element("h2", title), *parts, class_="card", id=f"till-{branch.branch}")


def _tables(tables: Sequence[TableComparison]) -> Node | None:
    if not tables:
        return None
    lines = [
        [
            t.table.removeprefix("public."),
            f"{t.channel}, {t.direction}",
            t.central_rows,
            t.till_rows,
            *(getattr(t, name) for name in COUNTS),
        ]
        for t in tables
    ]
    headers = ["table", "channel", "head office's rows", "the till's rows", *COUNT_NAMES]
    notes = [element("p", f"{t.table.removeprefix('public.')}: {t.note}", class_="wait") for t in tables if t.note]
    return element("div", table(headers, lines, class_="list"), notes)


def _rows(compared: TableComparison) -> Node | None:
    if compared.equal and not compared.differences:
        return None
    name = compared.table.removeprefix("public.")
    more = compared.missing + compared.extra + compared.different - len(compared.differences)
    rest = MORE if compared.truncated or more > 0 else None
    return element(
        "div",
        element("h3", f"Rows of {name} that differ"),
        [_row(d) for d in compared.differences],
        element("p", rest, class_="faint") if rest else None,
    )


def _row(difference: RowDifference) -> Node:
    headers = ["column", "head office", "till"]
    of_both: dict[str, Callable[[ColumnDifference], tuple[Child, Child]]] = {
        "different": lambda c: (value(c.central, c.till), value(c.till, c.central)),
        "missing": lambda c: (value(c.central), None),
        "extra": lambda c: (None, value(c.till)),
    }
    lines: list[list[Child]] = [[seen(c.column), *of_both[difference.kind](c)] for c in difference.columns]
    return element(
        "div",
        element("h4", f"{seen(keyed(difference.key))}: {counted(difference.kind)}"),
        element("p", difference.note, class_="faint") if difference.note else None,
        table(headers, lines, class_="values") if lines else None,
        class_="difference",
    )


def _books(books: Sequence[BookComparison]) -> Node | None:
    if not books:
        return None
    return element("div", element("h3", "Books"), *_checks(books))


def _checks(books: Iterable[BookComparison]) -> Iterator[Node]:
    for book in books:
        good = "good" if book.ok and book.state == "compared" else "wait" if book.ok else "bad"
        said = {"failed": "could not be checked", "in_flight": "on its way"}.get(
            book.state, "holds" if book.ok else "FAILS"
        )
        yield element(
            "p",
            element("span", said, class_=good),
            f"  {book.message} ",
            element("span", f"({book.book}, {book.groups:,} groups)", class_="faint"),
        )
        if book.note:
            yield element("p", book.note, class_="faint")
        for group, differences in groupby(book.differences, key=lambda d: d.group):
            lines: list[list[Child]] = [
                [seen(d.value), value(d.central, d.till), value(d.till, d.central)] for d in differences
            ]
            inner = table(["value", "head office", "till"], lines, class_="values")
            yield element("div", element("h4", seen(keyed(group))), inner, class_="difference")
        if book.truncated:
            yield element("p", MORE, class_="faint")
