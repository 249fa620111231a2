"""What functions of the DBA's say of contested rows, where a policy asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from orchestrator.central.faults import is_row_fault, reason_of
from orchestrator.central.unit import Unit
from orchestrator.policies.contest import Answer

Failed = list[tuple[int, str, str]]
"""Rows by their place for which a function failed, with what it said and the SQLSTATE."""


def ask(conn: psycopg.Connection, unit: Unit, ats: Sequence[int]) -> tuple[dict[int, dict[str, Answer | None]], Failed]:
    """The answers for rows at `ats`, by place and function. A row for which a function fails is set aside alone."""
    found: dict[int, dict[str, Answer | None]] = {at: {} for at in ats}
    failed: Failed = []
    for function in unit.rules.functions:
        left = [at for at in ats if at in found]
        for at, answer in _asked(conn, unit, function, left, failed).items():
            found[at][function] = answer
        for at, *_ in failed:
            found.pop(at, None)
    return found, failed


def _asked(
    conn: psycopg.Connection, unit: Unit, function: str, ats: Sequence[int], failed: Failed
) -> Mapping[int, Answer | None]:
    if not ats:
        return {}
    statement = unit.sql("answers", function=sql.Identifier(*function.split(".", 1)))
    try:
        with conn.transaction():
            return dict(conn.execute(statement, {"ats": list(ats)}).fetchall())
    except psycopg.Error as e:
        if not is_row_fault(e):
            raise
        if len(ats) == 1:
            conn.execute(unit.sql("give_up"), {"ats": list(ats)})
            failed.append((ats[0], *reason_of(e)))
            return {}
        middle = len(ats) // 2
        halves = (_asked(conn, unit, function, part, failed) for part in (ats[:middle], ats[middle:]))
        return {at: answer for half in halves for at, answer in half.items()}
