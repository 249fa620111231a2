"""What functions of the DBA's say of contested rows, where a policy asks them."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from orchestrator.central.faults import one_by_one
from orchestrator.central.unit import Unit
from orchestrator.policies.contest import Answer

Failed = list[tuple[int, str, str]]
"""Rows by their place for which a function failed, with what it said and the SQLSTATE."""


def ask(conn: psycopg.Connection, unit: Unit, ats: Sequence[int]) -> tuple[dict[int, dict[str, Answer | None]], Failed]:
    """The answers for rows at `ats`, by place and function. A row for which a function fails is set aside alone."""
    found: dict[int, dict[str, Answer | None]] = {at: {} for at in ats}
    failed: Failed = []
    for function in unit.rules.functions:
        failed += _ask_one(conn, unit, function, found)
    return found, failed


def _ask_one(conn: psycopg.Connection, unit: Unit, function: str, found: dict[int, dict[str, Answer | None]]) -> Failed:
    statement = unit.sql("answers", function=sql.Identifier(*function.split(".", 1)))

    def work(ats: Sequence[int]) -> None:
        for at, answer in conn.execute(statement, {"ats": list(ats)}).fetchall():
            found[at][function] = answer

    failed = one_by_one(conn, list(found), work)
    if failed:
        lost = [at for at, *_ in failed]
        conn.execute(unit.sql("give_up"), {"ats": lost})
        for at in lost:
            del found[at]
    return failed
