"""Rights of the login at central: to read what goes down, to write what comes up, to look after the triggers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Plan

SUBJECT = "rights"


def findings(conn: psycopg.Connection, plan: Plan) -> Iterator[Finding]:
    """Of the current login, on the tables of the plan."""
    up = {table.name for channel, table in plan.tables() if channel.goes_up}
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            assets.query("checks.table_rights"), {"tables": [table.name for _, table in plan.tables()]}
        ).fetchall()
        may_install = cursor.execute(assets.query("checks.may_install")).fetchall()[0]["schema"]
    user = conn.info.user
    if not may_install:
        what = f"{user} may not create the schema tillsync in {conn.info.dbname}"
        yield Finding(
            SUBJECT, what, f'GRANT CREATE ON DATABASE "{conn.info.dbname}" TO "{user}", or install with --sql'
        )
    for row in rows:
        name = row["name"]
        if not row["there"]:
            yield Finding(SUBJECT, f"{name} is gone", "make it again, or take it out of the settings and install")
            continue
        if not row["usage"] or not row["read"]:
            yield Finding(SUBJECT, f"{user} may not read {name}", f'GRANT SELECT ON {name} TO "{user}"')
        if name in up and not row["write"]:
            grant = f'GRANT INSERT, UPDATE, DELETE ON {name} TO "{user}"'
            yield Finding(SUBJECT, f"{user} may not write {name}, which comes up from the tills", grant)
        if row["hidden"]:
            what = f"row security hides rows of {name} from {user}: tills would lose them"
            yield Finding(SUBJECT, what, f'ALTER ROLE "{user}" BYPASSRLS')
        if not row["owner"]:
            what = f"{user} does not own {name} with all below it: after a change of it the triggers wait for a person"
            yield Finding(SUBJECT, what, "run `tillsync repair-triggers central` as the owner then", is_advice=True)
        if row["unlogged"]:
            what = f"{name} is UNLOGGED: a crash empties it, and then the tills"
            yield Finding(SUBJECT, what, f"ALTER TABLE {name} SET LOGGED")
