"""The targets of the plan that a till obeys, as far as its file has them."""

from __future__ import annotations

import apsw

from orchestrator.till import schema
from orchestrator.till.fitness import fitted
from orchestrator.till.target import Target


def targets_of(db: apsw.Connection) -> dict[str, Target]:
    """Where each table's rows go, by central's name, in the order of the plan."""
    plan = schema.stored_plan(db)
    tables = fitted(db, plan).tables if plan else ()
    return {t.name: Target(c, t, till, number) for number, (c, t, till) in enumerate(tables, 1)}
