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
from orchestrator.central.capture import Captured, identifier, removal
from orchestrator.central.schema import Prepared
from orchestrator.core.plan import Plan
from orchestrator.core.replanning import adapted
from orchestrator.errors import PersonMustDecide
from orchestrator.log import logger
from orchestrator.settings import CentralSettings

LOCK_MS, STRAY_LOCK_MS = 500, 100
"""Shorter than PostgreSQL waits before it looks for a deadlock: the application is never the one that is told of it."""
log = logger("central.drift")


def look(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """Tables that look otherwise than when they were last in order: tab, gone, seen, digest, guard, ddl, and torn:
    whether rows of it may have changed that nobody captured."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(assets.query("central.drifted")).fetchall()
        if not found:
            return []
        now = {row["tab"]: row for row in cursor.execute(assets.query("central.unseen")).fetchall()}
    gone = {"ddl": None, "torn": True}
    return [{**row, **{key: now.get(row["tab"], gone)[key] for key in gone}} for row in found]


def mend(conn: psycopg.Connection, settings: CentralSettings, found: list[dict[str, Any]]) -> None:
    """Put right what `look` found, in one transaction. Whoever works by the plan has to read it again.

    What changes while this is at work is left for the next look. Raises PersonMustDecide TS-303 where the login may
    not, ConfigError where a table cannot travel as it is now.
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
            conn.execute(f"SET LOCAL lock_timeout = {LOCK_MS}".encode())
            _put_right(conn, plan, prepared, found)
    except pg.InsufficientPrivilege as e:
        raise PersonMustDecide(
            "TS-303",
            f"{', '.join(row['tab'] for row in found)} changed, and the agent's login may not alter what captures it",
            hint="run `tillsync repair-triggers central` as the tables' owner",
        ) from e
    _drop_strays(conn, prepared)
    _tell(before, plan, found)


def _put_right(conn: psycopg.Connection, plan: Plan, prepared: Prepared, found: list[dict[str, Any]]) -> None:
    """Only what needs it is locked. A trigger of a table below is made by itself, before anything is logged."""
    differences = verify.differences(conn, prepared)
    torn = {row["tab"] for row in found if row["torn"] and not row["gone"]}
    stored = {row[0]: row[1:] for row in conn.execute(assets.query("central.captured")).fetchall()}
    other = {c.tab for c in prepared.captured if stored.get(c.tab) != (list(c.key), list(c.columns), list(c.routing))}
    needing = other | {d.table for d in differences if d.repair is None and not d.is_stray}
    single = [d for d in differences if d.repair is not None and d.table not in needing]
    for difference in single:
        assert difference.repair is not None
        conn.execute(difference.repair)
    came: dict[str, list[str]] = {}
    for tab, part in conn.execute(assets.query("central.came")).fetchall():
        came.setdefault(tab, []).append(part)
    for captured in prepared.captured:
        if captured.tab in needing:
            continue  # the script looks for itself
        if captured.tab in torn:
            conn.execute(_rescan(captured.log))
        else:
            for part in came.get(captured.tab, ()):
                conn.execute(_log_all(captured, part))
    mended = needing | {d.table for d in single}
    unchanged = {row["tab"]: {"guard": row["guard"]} for row in found if row["tab"] not in mended}
    looked = {row["tab"]: {"ddl": row["ddl"], **unchanged.get(row["tab"], {})} for row in found}
    schema.mend(conn, prepared, plan, needing, looked)


def _rescan(log_table: str) -> sql.Composed:
    return sql.SQL("INSERT INTO tillsync.{} DEFAULT VALUES").format(sql.Identifier(log_table))


def _log_all(captured: Captured, part: str) -> sql.Composed:
    """Every row of a table that came below a captured one counts as written."""
    columns = sql.SQL(", ").join(map(sql.Identifier, (*captured.key, *captured.routing)))
    log_table = sql.Identifier(captured.log)
    return sql.SQL("INSERT INTO tillsync.{log} ({columns}) SELECT {columns} FROM ONLY {part}").format(
        log=log_table, columns=columns, part=identifier(part)
    )


def _drop_strays(conn: psycopg.Connection, prepared: Prepared) -> None:
    """Triggers of ours where there should be none, as on what was a partition. They do no harm: whoever reads the table
    is not waited for."""
    for tab, trigger in schema.strays(conn, prepared.triggers()):
        try:
            with conn.transaction():
                conn.execute(f"SET LOCAL lock_timeout = {STRAY_LOCK_MS}".encode())
                conn.execute(removal(tab, trigger))
        except (pg.LockNotAvailable, pg.InsufficientPrivilege) as e:
            log.info("a trigger stays where it is not needed", table=tab, trigger=trigger, why=str(e))


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
