"""Jobs of the DBA's at head office: SQL in one transaction with its record."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from orchestrator import assets
from orchestrator.core.jobs import Job, Slot
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.postgres import first_line

NODE = "central"
KEEP = timedelta(days=400)

# What is quoted or commented is passed over; `::` is a cast.
_NAMED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|::"""
    r"""|:(?P<name>business_date|node|now)\b""",
    re.DOTALL,
)


def newest_due(conn: psycopg.Connection, job: Job) -> datetime | None:
    """Up to when it is known what became of the job; None where it was never seen."""
    row = conn.execute(assets.query("central/jobs.newest"), {"job": job.name}).fetchone()
    return row[0] if row else None


def begin(conn: psycopg.Connection, job: Job, slot: Slot, world: World) -> None:
    """From now on the job is known; what was due before is not made good."""
    conn.execute(assets.query("central/jobs.note"), _line(job, slot, world))


def run(conn: psycopg.Connection, job: Job, slot: Slot, world: World) -> int | None:
    """Runs the job for the slot; how many rows its last statement had, None where it has been run for it before.

    Raises TillsyncError TS-841 where its SQL fails, or takes longer than it may; nothing of it stays then.
    """
    line, at = _line(job, slot, world), {"job": job.name, "key": slot.key}
    with conn.transaction():
        if conn.execute(assets.query("central/jobs.has_run"), at).fetchone():
            conn.execute(assets.query("central/jobs.postpone"), {**at, "due": line["due"]})
            return None
        conn.execute(assets.query("central/jobs.note"), line)
        world.crash("job.noted")
        changed = _execute(conn, job, {"business_date": line["business_date"], "node": NODE, "now": line["at"]})
        conn.execute(assets.query("central/jobs.note_rows"), {**at, "rows": changed})
        world.crash("job.done")
    conn.execute(assets.query("central/jobs.forget"), {"before": world.now() - KEEP})
    return changed


def _execute(conn: psycopg.Connection, job: Job, values: dict[str, Any]) -> int:
    limit = sql.SQL("SET LOCAL statement_timeout = {}").format(round(job.seconds_max * 1000))
    own = conn.execute("SELECT pg_current_xact_id()").fetchone()
    conn.execute(limit)
    try:
        changed = conn.execute(filled(job.sql, values).as_string(conn).encode()).rowcount
        ended = conn.execute("SELECT pg_current_xact_id()").fetchone() != own
    except (psycopg.OperationalError, psycopg.InterfaceError) as e:
        if not isinstance(e, psycopg.errors.QueryCanceled):
            raise
        raise _failed(job, f"it took longer than {job.seconds_max:g} s") from e
    except psycopg.Error as e:
        raise _failed(job, first_line(e)) from e
    if ended:
        raise _failed(job, "it ended its transaction, so it may have been done without its record")
    return max(changed, 0)


def filled(text: str, values: dict[str, Any]) -> sql.Composed:
    """A job's SQL with its values. Nothing that is quoted is touched."""
    pieces: list[sql.Composable] = []
    at = 0
    for found in _NAMED.finditer(text):
        if found["name"]:
            pieces += [sql.SQL(text[at : found.start()]), sql.Literal(values[found["name"]])]
            at = found.end()
    return sql.Composed([*pieces, sql.SQL(text[at:])])


def _failed(job: Job, why: str) -> TillsyncError:
    return TillsyncError("TS-841", f"job {job.name}: {why}", hint="nothing of it stays; correct its sql")


def _line(job: Job, slot: Slot, world: World) -> dict[str, Any]:
    at = {"due": slot.due, "at": world.now()}
    return {"job": job.name, "key": slot.key, "business_date": slot.business_date, **at}
