"""Repair as a command asks for it: a plan out of the last comparison, and doing it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.central import reconcile_repair, reconcile_report
from orchestrator.central.reconcile_repair import Step
from orchestrator.errors import UsageError
from orchestrator.service.comparing import chosen
from orchestrator.service.office import Office


def plan(office: Office, branch: str | None, tables: Sequence[str], keys: Sequence[str]) -> list[Step]:
    """What would be done. Raises ConfigError TS-143 or TS-147 for a branch or table that is not there, UsageError
    TS-802 for a key that is none, or of no one table."""
    names = reconcile_report.table_names(office.prepared, tables)
    if keys and len(names) != 1:
        raise UsageError("TS-802", "a key belongs to one table", hint="name it with --table")
    wanted = reconcile_repair.keys_of(office.prepared, names[0], keys) if keys else []
    return reconcile_repair.plan(office.conn, office.prepared, chosen(office, branch), names, wanted)


def apply(office: Office, steps: Sequence[Step]) -> list[str]:
    """Does it; what could not be done, a line for each."""
    return reconcile_repair.apply(office.conn, office.relay, office.prepared, office.world, steps)
