"""Taking the capture triggers off a table for the length of one transaction.

While capture rests, a trigger still costs its call: three for every row that is put. For many rows that is more than
the rows themselves. Inside a transaction the triggers can be dropped and made again, and no other connection ever sees
the table without them; a crash takes the dropping back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import apsw

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import watch
from orchestrator.till.capture import PREFIX
from orchestrator.till.database import rows
from orchestrator.till.target import Target

LIFT_BYTES_MIN = 200_000
"""From so many bytes of rows on it pays; below, the application's statements need not be prepared again."""


@contextmanager
def lifted(db: apsw.Connection, targets: Iterable[Target]) -> Iterator[None]:
    """The caller is in a write transaction, and leaves it by COMMIT only if this ended without an error."""
    made = [trigger for target in targets for trigger in _triggers(db, target)]
    for name, _ in made:
        db.execute(f"DROP TRIGGER main.{q(name)}")
    yield
    for _, sql in made:
        db.execute(sql)
    if made:
        db.execute(watch.NOTE)


def _triggers(db: apsw.Connection, target: Target) -> list[tuple[str, str]]:
    """Ours, in the order in which they were made."""
    sql = (
        "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY rowid"
    )
    return [(name, text) for name, text in rows(db, sql, (target.till.name,)) if name.startswith(PREFIX)]
