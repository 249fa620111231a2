"""Keys that both ends draw: a till's next number and head office's are the same one day, for two different rows."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Plan

SUBJECT = "keys"


def findings(conn: psycopg.Connection, plan: Plan) -> Iterator[Finding]:
    """Tables that come up with a key that head office draws from a sequence, and nothing that tells the tills apart."""
    shared = {
        table.name: table
        for channel, table in plan.tables()
        if channel.goes_up and not any(k in table.set for k in table.key)
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        drawn = cursor.execute(assets.query("checks.drawn_columns"), {"tables": list(shared)}).fetchall()
    for row in drawn:
        if row["name"] in shared[row["tab"]].key:
            what = f"{row['tab']}.{row['name']} comes up from tills, and head office draws it from {row['sequence']}"
            remedy = "let the till's name be part of the key (`set`), or keep the ends' numbers apart"
            yield Finding(SUBJECT, what, remedy)
