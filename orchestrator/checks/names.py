"""Names that SQLite takes for the same: it compares them without case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Plan

SUBJECT = "names"


def findings(plan: Plan) -> Iterator[Finding]:
    """Tables and columns of the plan as the tills have to name them."""
    tables = [table for _, table in plan.tables()]
    for name in _twice(t.till for t in tables):
        what = f"two tables of the plan are {name} at a till: SQLite compares names without case"
        yield Finding(SUBJECT, what, "give one another till_name")
    for table in tables:
        for name in _twice(c.till for c in table.columns):
            what = f"two columns of {table.name} are {name} at a till: SQLite compares names without case"
            yield Finding(SUBJECT, what, "exclude one, or give it another name in `map`")
        if table.till.lower().startswith(("sqlite_", "tillsync_")):
            what = f"{table.name} would be {table.till} at a till, where that beginning is taken"
            yield Finding(SUBJECT, what, "give it another till_name")


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(n.lower() for n in names).items() if count > 1]
