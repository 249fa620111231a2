"""Keys with own changes that central has not answered, or has parked: left alone, since their echo comes later."""

from __future__ import annotations

import apsw

from orchestrator.core.changes import Position
from orchestrator.till import held, shapes
from orchestrator.till.database import make_temp, rows
from orchestrator.till.target import Target, fill


class Pending:
    """The pending keys of one transaction, as temporary tables that are filled when first asked for.

    In tables and not as Python sets: they compare with incoming keys as the till's own columns do.
    """

    def __init__(self, db: apsw.Connection, ack: Position) -> None:
        self._db, self._ack = db, ack
        self._known: dict[int, bool] = {}
        changed = {tab for (tab,) in rows(db, "SELECT DISTINCT tab FROM tillsync_changelog WHERE seq > ?", (ack.seq,))}
        self._shapes = [s for number, s in shapes.load(db).items() if number in changed] if changed else []
        self._held = held.keys(db)

    def of(self, target: Target) -> bool:
        """Whether the table has pending keys; if so they are in its temporary table."""
        if target.number not in self._known:
            self._known[target.number] = self._fill(target)
        return self._known[target.number]

    def _fill(self, target: Target) -> bool:
        of_table = [s for s in self._shapes if s.shape.table == target.table.name]
        kept = self._held.get(target.table.name, [])
        if not of_table and not kept:
            return False
        table = target.temp("pending")
        make_temp(self._db, table, target.key_declaration())
        names = [c.name for c in target.table.till_key]
        bound = ", ".join("?" * len(names))
        sql = f"INSERT OR IGNORE INTO temp.{table} VALUES ({bound})"
        self._db.executemany(sql, [[key.get(n) for n in names] for key in kept])
        for stored in of_table:
            places = [stored.shape.columns.index(c.name) + 1 for c in target.table.till_key]
            for image, not_op in (("o", "I"), ("n", "D")):
                images = ", ".join(f"{image}{p}" for p in places)
                sql = fill("pending", pending=table, images=images, not_op=not_op)
                self._db.execute(sql, (self._ack.seq, stored.id))
        return bool(rows(self._db, f"SELECT 1 FROM temp.{table} LIMIT 1"))
