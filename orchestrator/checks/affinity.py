"""Columns of a till that would change values: SQLite converts what it stores by the column's declared type."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Column
from orchestrator.core.values import may_outgrow
from orchestrator.till.catalog import TillColumn
from orchestrator.till.fitness import Fitted

NUMBERS = ("INTEGER", "REAL", "NUMERIC")
SUBJECT = "values"


def findings(fitted: Fitted) -> Iterator[Finding]:
    """Of every column that travels, as central's type meets the till's."""
    for _, table, till in fitted.tables:
        for column in table.columns:
            found = till.column(column.till)
            what = _what(column, found) if found is not None and column.encode is None else None
            if found is not None and what is not None:
                declared = found.type or "no type"
                yield Finding(
                    SUBJECT,
                    f"{till.name}.{found.name} ({declared}) for {table.name}.{column.name} ({column.type}): {what}",
                    "declare the column TEXT at the till, or say its `encode` in the settings"
                    if found.affinity in NUMBERS
                    else "declare it as what it holds at the till",
                )


def _what(column: Column, found: TillColumn) -> str | None:
    if found.affinity in NUMBERS:
        if column.kind == "text" and not _is_worded(column.type):
            return "SQLite makes a number of a text that looks like one: 007 becomes 7"
        if may_outgrow(column):
            return "decimals of more than 15 digits are rounded there: such rows wait"
    if found.affinity == "INTEGER" and column.kind == "bytes":
        return None
    if found.affinity == "TEXT" and column.kind == "float":
        return "SQLite makes a text of the number, which then compares as a text"
    return None


def _is_worded(pg_type: str) -> bool:
    """Types whose texts never look like a number."""
    return pg_type.startswith(("json", "interval", "inet", "cidr", "macaddr", "time")) or pg_type.endswith(
        ("[]", "range")
    )
