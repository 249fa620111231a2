"""Capture as it is against what would be generated: triggers that are missing, disabled, altered, too many."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import psycopg

from orchestrator.central import verify
from orchestrator.central.schema import Prepared
from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Plan
from orchestrator.till import schema

SUBJECT = "capture"
AGENT = "the agent does it in its next round, or `tillsync repair-triggers`"


def of_central(conn: psycopg.Connection, prepared: Prepared) -> Iterator[Finding]:
    """Of an installed central."""
    for found in verify.differences(conn, prepared):
        yield Finding(SUBJECT, f"{found.name} of {found.table} {found.what}", AGENT)


def of_till(db: apsw.Connection, plan: Plan) -> Iterator[Finding]:
    """Of an installed till."""
    for name in schema.drift(db, plan):
        yield Finding(SUBJECT, f"trigger {name} is missing, altered, out of its order or not of the plan", AGENT)
