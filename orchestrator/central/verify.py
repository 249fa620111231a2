"""Capture at central as it is, held against what would be generated now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central import capture
from orchestrator.central.schema import Prepared

_FUNCTION = re.compile(
    r'CREATE OR REPLACE FUNCTION tillsync\."((?:[^"]|"")+)"\(\).*?AS \$capture\$(.*?)\$capture\$;', re.DOTALL
)
_CREATE, _END = re.compile(r"^.*?CREATE( OR REPLACE)?(?= TRIGGER)", re.DOTALL), ";\nALTER TABLE"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing of ours that is not as it would be generated: `what` says how. is_stray: it is too many. repair: the
    statements that put it right by themselves, where it is a trigger of a table below the captured one."""

    table: str
    name: str
    what: str
    is_stray: bool = False
    repair: sql.Composed | None = None


def differences(conn: psycopg.Connection, prepared: Prepared) -> list[Difference]:
    """Everything that `install` would put right: triggers that are missing, disabled, altered or too many, and logs."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(assets.query("central.capture_as_it_is")).fetchall()
        own = {r["name"]: set(r["columns"]) for r in cursor.execute(assets.query("central.own_columns")).fetchall()}
    there = {(row["tab"], row["trigger"]): row for row in found}
    made: list[Difference] = []
    for captured in prepared.captured:
        made += _of_table(conn, prepared, captured, there, own)
    known = prepared.triggers()
    strays = (at for at in there if at not in known)
    made += [Difference(tab, name, "is not of the plan", is_stray=True) for tab, name in strays]
    return made


def _of_table(
    conn: psycopg.Connection,
    prepared: Prepared,
    captured: capture.Captured,
    there: dict[tuple[str, str], dict[str, Any]],
    own: dict[str, set[str]],
) -> Iterator[Difference]:
    source = prepared.catalog[captured.tab]
    script = capture.script(captured, source).as_string(conn)
    bodies = {_name(n): body for n, body in _FUNCTION.findall(script)}
    for table, name, enabled, statements in capture.triggers(captured, source):
        shown = name if table == captured.tab else f"{name} on {table}"
        row = there.get((table, name))
        repair = statements if table != captured.tab else None
        if row is None:
            yield Difference(captured.tab, shown, "is missing", repair=repair)
        elif row["enabled"] != enabled:
            wrong = {"A": "does not fire always", "R": "does not fire for what is replicated alone"}[enabled]
            yield Difference(captured.tab, shown, "is disabled" if row["enabled"] == "D" else wrong, repair=repair)
        elif row["body"] != bodies[name] or not row["definer"] or not row["config"]:
            yield Difference(captured.tab, shown, "runs an altered function")
        elif _plain(row["definition"]) != _plain(statements.as_string(conn)):
            yield Difference(captured.tab, shown, "is altered", repair=repair)
    for table, wanted in capture.own_tables(captured, source).items():
        if table not in own:
            yield Difference(captured.tab, table, "is missing")
        elif not wanted <= own[table]:
            yield Difference(captured.tab, table, "has other columns than the table's key")


def _name(quoted: str) -> str:
    return quoted.replace('""', '"')


def _plain(definition: str) -> str:
    """The trigger alone, without quotes and line breaks, which PostgreSQL sets in its own way."""
    made = _CREATE.sub("CREATE", definition.partition(_END)[0], count=1)
    return " ".join(made.replace('"', "").split())
