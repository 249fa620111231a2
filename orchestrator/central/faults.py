"""Which errors are a row's own, and which are everybody's. A row's fault parks the row; any other stops the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg

from orchestrator.postgres import first_line

T = TypeVar("T")

# SQLSTATE classes whose cause is in the values: data, cardinality, integrity, WITH CHECK OPTION, RAISE in PL/pgSQL.
_ROW_CLASSES = frozenset({"21", "22", "23", "44", "P0"})
# A generated column that was given a value; an index entry that is too large.
_ROW_STATES = frozenset({"428C9", "54000"})
# PostgreSQL's own classes among those that the standard leaves to implementations. Others are the application's.
_SERVER_CLASSES = frozenset({"53", "54", "55", "57", "58", "XX"})
_CUSTOM = "56789IJKLMNOPQRSTUVWXYZ"

AGAIN = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
)
"""Nobody's fault: the same transaction goes through when it is tried again."""


def is_row_fault(e: psycopg.Error) -> bool:
    """Whether an error was caused by the row at hand. psycopg refuses a NUL in text itself, without an SQLSTATE."""
    state = e.sqlstate
    if state is None:
        return isinstance(e, psycopg.DataError)
    kind = state[:2]
    return kind in _ROW_CLASSES or state in _ROW_STATES or (kind[0] in _CUSTOM and kind not in _SERVER_CLASSES)


def one_by_one(
    conn: psycopg.Connection, rows: Sequence[T], work: Callable[[Sequence[T]], None]
) -> list[tuple[T, str, str]]:
    """Do something with rows at once, each time within a savepoint, or in halves where it fails by a row's fault.

    Returns the rows for which it fails alone, each with what was said and the SQLSTATE.
    """
    if not rows:
        return []
    try:
        with conn.transaction():
            work(rows)
    except psycopg.Error as e:
        if not is_row_fault(e):
            raise
        if len(rows) == 1:
            return [(rows[0], *reason_of(e))]
        middle = len(rows) // 2
        return one_by_one(conn, rows[:middle], work) + one_by_one(conn, rows[middle:], work)
    return []


def reason_of(e: psycopg.Error) -> tuple[str, str]:
    """(what the server said and about what, SQLSTATE), as it is recorded with a parked row."""
    detail = e.diag.message_detail
    said = first_line(e)
    return (f"{said}: {detail}" if detail else said), e.sqlstate or "22000"
