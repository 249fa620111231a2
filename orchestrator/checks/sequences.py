"""Sequences of central's that do not know keys which came up from tills: the next row made there would meet one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Plan

SUBJECT = "sequences"


def findings(conn: psycopg.Connection, plan: Plan) -> Iterator[Finding]:
    """Of the tables that come up."""
    up = [table.name for channel, table in plan.tables() if channel.goes_up]
    with conn.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(assets.query("checks.drawn_columns"), {"tables": up}).fetchall():
            if "." not in row["sequence"]:
                continue  # one that other columns may draw from, too
            table = sql.Identifier(*row["tab"].split(".", 1))
            query = sql.SQL(assets.query("checks.sequence")).format(
                column=sql.Identifier(row["name"]), table=table, sequence=sql.SQL(row["sequence"])
            )
            try:
                found = cursor.execute(query).fetchall()[0]
            except psycopg.errors.InsufficientPrivilege:
                continue  # the rights' own check says so
            if found["highest"] is not None and found["highest"] >= found["next"]:
                has = f"{row['tab']} has {row['name']} up to {found['highest']}"
                what = f"{row['sequence']} will give {found['next']}, but {has}"
                remedy = (
                    f"SELECT setval('{row['sequence']}', {found['highest']}); and let tills draw from another range"
                )
                yield Finding(SUBJECT, what, remedy)
