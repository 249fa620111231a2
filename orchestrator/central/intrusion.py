"""Rows of an upload that its branch may not write: they are found before they are merged, and after."""

from __future__ import annotations

import psycopg
from psycopg import sql

from orchestrator.central.capture import object_name
from orchestrator.central.unit import Unit

CODE = "TS-540"
SQLSTATE = "TS540"
"""Marks a parked change that its branch may not make. PostgreSQL has no such state."""


def foreign(conn: psycopg.Connection, unit: Unit, node: str, uid: int) -> tuple[list[int], int]:
    """Rows of the work table, by place, that are none of the node's; and how many were, until head office moved them.

    Those are conflicts that head office wins, and done with.
    """
    ats = [at for (at,) in conn.execute(_asked(unit, "foreign"), {}).fetchall()]
    if not ats:
        return [], 0
    given = {"ats": ats, "node": node, "uid": uid, "tab": unit.table.name}
    hold = sql.Identifier(object_name("hold", unit.table.name))
    late: set[int] = set()
    if unit.direction == "both":
        keys = map(sql.Identifier, unit.table.key)
        same_row = sql.SQL(" AND ").join(sql.SQL("x.{0} = t.{0}").format(k) for k in keys)
        late = {at for (at,) in conn.execute(unit.sql("moved_away", hold=hold, same_row=same_row), given)}
    intruding = [at for at in ats if at not in late]
    if intruding:
        conn.execute(unit.sql("give_up"), {"ats": intruding})
    return intruding, len(late)


def strayed(conn: psycopg.Connection, unit: Unit) -> list[int]:
    """Rows of the work table, by place, that were written and are none of the node's."""
    return [at for (at,) in conn.execute(_asked(unit, "strayed"), {}).fetchall()]


def reason(node: str) -> str:
    """What is said of a change that a branch may not make."""
    return f"{CODE} {node} may not write this row: it is outside its filter"


def _asked(unit: Unit, block: str) -> sql.Composed:
    assert unit.scope is not None
    return unit.sql(block, scope=unit.scope.condition, parameters=unit.scope.parameters)
