"""Reports of comparisons for the tests of what shows and keeps them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.core.reconciliation import (
    BookComparison,
    BookDifference,
    BranchComparison,
    ColumnDifference,
    Report,
    RowDifference,
    TableComparison,
)

MADE_AT = datetime(2026, 3, 14, 2, 0, 30, tzinfo=UTC)
HOSTILE = '<script>alert("x")</script>'


def item(**counts: Any) -> TableComparison:
    return TableComparison("public.item", "catalogue", "down", 4_070, 4_070 - counts.get("missing", 0), **counts)


def equal_report(*nodes: str, at: datetime = MADE_AT, tick: int = 77) -> Report:
    """Every till agrees in one table and one check."""
    book = BookComparison("turnover", "closures add up", True, groups=31)
    branches = tuple(BranchComparison(n, "compared", tick, at, 1.5, (item(),), (book,)) for n in nodes)
    return Report(at, True, branches)


def differing_report(at: datetime = MADE_AT, tick: int = 77) -> Report:
    """One till with every kind of difference, one that agrees, one that is offline, one that never answered."""
    rows = (
        RowDifference({"id": "17"}, "missing", columns=(ColumnDifference("name", HOSTILE, None),)),
        RowDifference({"id": "18"}, "extra", columns=(ColumnDifference("name", None, "only here"),)),
        RowDifference(
            {"id": "19"},
            "different",
            "the texts look the same: NFC and NFD",
            (
                ColumnDifference("name", "caf\u00e9", "cafe\u0301"),
                ColumnDifference("price", "1234.50", "1234.5\u202e0"),
            ),
        ),
        RowDifference({"id": "20"}, "different", "", (ColumnDifference("note", None, ""),)),
    )
    table = TableComparison(
        "public.item", "catalogue", "down", 4_070, 4_070, 1, 1, 2, in_flight=3, parked=1, conflicts=5, differences=rows
    )
    table = replace(table, note="without purchase_price: the till has no such column")
    group = {"day": "2026-03-13", "item_id": "42", "contact_id": None}
    books = (
        BookComparison(
            "turnover",
            "what the tills closed is what head office has",
            False,
            groups=120,
            differences=(BookDifference(group, "amount", "100", "70"),),
        ),
        BookComparison("numbers", "closures are numbered without holes", True, groups=12),
        BookComparison("receipts", "receipts add up", False, "failed", note="TS-823 no such table: receipt"),
        BookComparison("orders", "orders have one state", True, "in_flight", note="2 orders on their way"),
    )
    return Report(
        at,
        False,
        (
            BranchComparison("T1", "compared", tick, at, 1.5, (item(),), books[1:2]),
            BranchComparison("T7", "compared", tick, at, 2.25, (table,), books),
            BranchComparison("T8", "offline", 12, datetime(2026, 3, 11, 18, 4, tzinfo=UTC), 201_390.0, (item(),)),
            BranchComparison("T9", "waiting"),
        ),
    )
