"""The targets of the plan that a till obeys."""

from __future__ import annotations

import apsw

from orchestrator.till import schema
from orchestrator.till.catalog import inspect
from orchestrator.till.target import Target


def targets_of(db: apsw.Connection) -> dict[str, Target]:
    """Where each table's rows go, by central's name, in the order of the plan."""
    plan = schema.stored_plan(db)
    tables = plan.tables() if plan else ()
    return {t.name: Target(c, t, inspect(db, t.till), number) for number, (c, t) in enumerate(tables, 1)}
