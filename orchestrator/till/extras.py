"""Rows that a till had before its first load and that head office does not give it: set aside, whole, before they go.

A till that already has data is adopted by its first load: rows that are the same are not touched, others become as head
office has them. What only the till has would be removed, since a till holds what its filters give; nobody but the
application's owner can say whether it is of use, so each row is kept as the statement that puts it back.
"""

from __future__ import annotations

import apsw

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.target import Target, fill


def set_aside(db: apsw.Connection, target: Target, condition: str, tick: int, at: str) -> None:
    """Keeps the rows of a table for which `condition` holds; it names the table's columns as the table itself does."""
    own = [c.name for c in target.till.columns if not c.generated]
    into = f"INSERT INTO {q(target.till.name)} ({', '.join(q(n) for n in own)}) VALUES ("
    values = " || ', ' || ".join(f"quote({target.name}.{q(n)})" for n in own)
    statement = f"{apsw.format_sql_value(into)} || {values} || ');'"
    db.execute(
        fill("extra", statement=statement, table=target.name, condition=condition), (target.table.name, tick, at)
    )
