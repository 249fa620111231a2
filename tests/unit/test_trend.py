"""What is remembered of a comparison."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.core.trend import Finding, Lasting, Totals, findings, totals
from tests.unit.reports import MADE_AT, differing_report, equal_report


def test_a_reports_sums() -> None:
    assert totals(differing_report()) == Totals(
        branches=4,
        compared=2,
        silent=2,
        differing=1,
        rows=3 * 4_070,
        missing=1,
        extra=1,
        different=2,
        in_flight=3,
        parked=1,
        conflicts=5,
        books=5,
        books_failing=2,
    )
    assert totals(differing_report()).differing_rows == 4
    assert totals(equal_report("T1", "T2")).differing == 0


def test_what_each_branch_was_found_to_be() -> None:
    said = list(findings(differing_report()))
    assert Finding("T7", "table", "public.item", 4, 77, MADE_AT) in said
    assert {(f.what, f.rows) for f in said if f.node == "T7" and f.kind == "book"} == {
        ("turnover", 1),
        ("numbers", 0),
        ("receipts", 1),
    }, "a check that was in flight says nothing"
    assert [f.at for f in said if f.node == "T8"] == [datetime(2026, 3, 11, 18, 4, tzinfo=UTC)], "as of its own tick"
    assert not [f for f in said if f.node == "T9"]


def test_the_line_of_an_early_warning() -> None:
    lasting = Lasting("T7", "table", "public.item", 3, 77, datetime(2026, 3, 14, 2, 0, tzinfo=UTC), None)
    assert lasting.said(datetime(2026, 3, 14, 8, tzinfo=UTC)) == "T7 differs in item since 02:00 UTC (3 rows)"
    assert "since 2026-03-14 02:00 UTC" in lasting.said(datetime(2026, 3, 15, 8, tzinfo=UTC))
    book = Lasting("T7", "book", "turnover", 1, 77, MADE_AT, None)
    assert book.said(MADE_AT) == "T7 differs in the books: turnover since 02:00 UTC (1 value)"
