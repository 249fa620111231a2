"""A PostgreSQL server: its version, and settings that lose what was committed."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.checks.finding import Finding

VERSION_MIN, VERSION_MAX = 14, 18
SUBJECT = "server"


def findings(conn: psycopg.Connection, place: str) -> Iterator[Finding]:
    """For central and the relay alike."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(assets.query("checks.server")).fetchall()[0]
        old = cursor.execute(assets.query("checks.old_transactions")).fetchall()
    version = row["version"] // 10_000
    if version < VERSION_MIN:
        yield Finding(SUBJECT, f"{place} is PostgreSQL {version}", f"upgrade it to {VERSION_MIN} or newer")
    if version > VERSION_MAX:
        what = f"{place} is PostgreSQL {version}, which this version was not tested with"
        yield Finding(SUBJECT, what, "upgrade Tillsync", is_advice=True)
    for name in ("fsync", "full_page_writes"):
        if row[name] != "on":
            what = f"{place} has {name} off: a power cut destroys the database"
            yield Finding(SUBJECT, what, f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()")
    if row["synchronous_commit"] == "off":
        what = f"{place} has synchronous_commit off: a crash loses what applications have committed"
        yield Finding(SUBJECT, what, "ALTER SYSTEM SET synchronous_commit = on, or for this database")
    if row["encoding"] != "UTF8":
        what = f"{place} has the encoding {row['encoding']}: texts of the tills may not fit"
        yield Finding(SUBJECT, what, "move it to a database with the encoding UTF8")
    if row["is_replica"]:
        yield Finding(SUBJECT, f"{place} is a replica", "connect to the primary: capture and merging write there")
    for session in old:
        what = f"{place}: a transaction of {session['who']} (pid {session['pid']}) is open for {session['seconds']} s"
        yield Finding(SUBJECT, what, "end it: its own changes wait, and old rows stay on the disk", is_advice=True)
