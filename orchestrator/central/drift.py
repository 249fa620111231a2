"""Drift at central: tables, or what captures them, changed under Tillsync. Looked for in every round by one query.

What is safe is put right: triggers are made again, a column that came or went comes into the plan or leaves it, another
key becomes the key. Where capture was not as it should be, or DDL rewrote values, nobody knows what was written: the
table is looked at as if it had been truncated, and the streams get what they should hold.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central import catalog, schema, verify
from orchestrator.central.schema import Prepared
from orchestrator.core.plan import Plan
from orchestrator.core.replanning import adapted
from orchestrator.errors import PersonMustDecide
from orchestrator.log import logger
from orchestrator.settings import CentralSettings

LOCK_SECONDS = 2
log = logger("central.drift")


def look(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """Tables that look otherwise than when they were last in order: tab, gone, seen, digest, and torn: whether rows of
    it may have changed that nobody captured."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(assets.query("central.drifted")).fetchall()
        torn = {row["tab"] for row in cursor.execute(assets.query("central.torn"))} if found else set()
    return [{**row, "torn": row["tab"] in torn} for row in found]


def mend(conn: psycopg.Connection, settings: CentralSettings, found: list[dict[str, Any]]) -> None:
    """Put right what `look` found, in one transaction. Whoever works by the plan has to read it again.

    Raises PersonMustDecide TS-303 where the login may not, ConfigError where a table cannot travel as it is now.
    """
    tables = catalog.read(conn)
    before = schema.newest_plan(conn)
    assert before is not None, "an installed central has a plan"
    seen = {row["tab"]: row["seen"] for row in found if row["seen"] is not None}
    plan = adapted(before, tables, seen, settings.channel)
    prepared = schema.derived(plan, tables)
    schema.ask_filters(conn, prepared.filters)
    try:
        with conn.transaction():
            conn.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
            _put_right(conn, plan, prepared, found)
    except pg.InsufficientPrivilege as e:
        raise PersonMustDecide(
            "TS-303",
            f"{', '.join(row['tab'] for row in found)} changed, and the agent's login may not alter what captures it",
            hint="run `tillsync repair-triggers central` as the tables' owner",
        ) from e
    _tell(before, plan, found)


def _put_right(conn: psycopg.Connection, plan: Plan, prepared: Prepared, found: list[dict[str, Any]]) -> None:
    """Only the tables that need it are locked."""
    wrong = {d.table for d in verify.differences(conn, prepared)}
    torn = {row["tab"] for row in found if row["torn"] and not row["gone"]}
    stored = {row[0]: row[1:] for row in conn.execute(assets.query("central.captured")).fetchall()}
    other = {c.tab for c in prepared.captured if stored.get(c.tab) != (list(c.key), list(c.columns), list(c.routing))}
    needing = wrong | other
    for captured in prepared.captured:
        if captured.tab in torn - needing:
            conn.execute(_rescan(captured.log))
    schema.install(conn, prepared, plan=plan, only=needing)


def _rescan(log_table: str) -> sql.Composed:
    return sql.SQL("INSERT INTO tillsync.{} DEFAULT VALUES").format(sql.Identifier(log_table))


def _tell(before: Plan, plan: Plan, found: Collection[dict[str, Any]]) -> None:
    for row in found:
        if row["gone"]:
            log.warning("a table of the plan is gone; the rest goes on without it", table=row["tab"])
        elif row["torn"]:
            log.warning("rows may have changed that nobody captured: all are looked at again", table=row["tab"])
    for (_, old), (_, new) in zip(before.tables(), plan.tables(), strict=True):
        if old != new:
            gone = sorted(set(old.column_names) - set(new.column_names))
            came = sorted(set(new.column_names) - set(old.column_names))
            log.warning(
                "a table changed, and the plan with it",
                table=new.name,
                plan_version=plan.version,
                columns_gone=gone,
                columns_new=came,
                key=new.key,
            )
