"""Drift at a till: the application's schema changed under the triggers. Found by SQLite's own count of such changes, in
each write transaction of the agent before anything else, and put right there."""

from __future__ import annotations

import apsw

from orchestrator.log import logger
from orchestrator.till import schema, watch
from orchestrator.till.schema import InstallReport

log = logger("till.drift")


def settle(db: apsw.Connection) -> None:
    """Within a write transaction: where the schema changed, triggers are made again and rows are compared."""
    if not watch.changed(db):
        return
    plan = schema.stored_plan(db)
    if plan is not None:
        tell(schema.install_within(db, plan))


def tell(report: InstallReport) -> None:
    """One warning for each thing that was put right, or could not be."""
    made = set(report.triggers_made)
    if made or report.triggers_dropped:
        gone = sorted({*made, *report.triggers_dropped})
        log.warning("triggers were missing or out of order and are made again", triggers=gone)
    for missed in report.missed:
        if missed.lost_key:
            log.warning(
                "a table's key is another one: what was written without capture is not known", table=missed.table
            )
        elif missed.emptied:
            log.warning(
                "a table lost most of its rows without capture: they are not deleted elsewhere", table=missed.table
            )
        if missed.rows:
            log.warning("rows written without capture are sent now", table=missed.table, rows=missed.rows)
    for lack in report.lacks:
        log.warning("the till goes on without it", lack=str(lack.error))
    if report.reloaded:
        log.warning("channels are loaded anew", channels=report.reloaded)
