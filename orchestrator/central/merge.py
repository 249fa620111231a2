"""Merging what is staged into the application's tables, within the caller's transaction.

Rows that nobody contests go in set by set. What is contested is judged by the policies. A set that fails is halved
until the rows that fail are found; they are handed back, everything else is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg

from orchestrator import assets
from orchestrator.central import intrusion, stamps
from orchestrator.central.contested import judge
from orchestrator.central.faults import is_row_fault, reason_of
from orchestrator.central.stage import Stage
from orchestrator.central.stamps import Clock
from orchestrator.central.unit import Unit

ANALYZE_ROWS_MIN = 2_000
UNIQUE = "23505"
_VERBS = {"put": ["I", "U"], "delete": ["D"]}


@dataclass(frozen=True)
class Sender:
    """Whose changes these are. ahead: how far central's clock is before the relay's."""

    node: str
    uid: int
    params: Mapping[str, Any]
    ahead: timedelta = timedelta(0)

    @property
    def clock(self) -> Clock:
        return Clock(self.node, self.ahead)


@dataclass(frozen=True)
class Failure:
    """A row that could not be merged. at: its place in the unit's work table. is_written: it was, and may not be."""

    unit: Unit
    verb: str
    at: int
    reason: str
    sqlstate: str
    is_written: bool = False


class Torn(Exception):
    """A change that does not go on where the one before it of the same row ended. at: its place in the stage."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


@dataclass(frozen=True)
class Merged:
    failures: tuple[Failure, ...] = ()
    conflicts: int = 0


def merge(conn: psycopg.Connection, stage: Stage, rank: Mapping[str, int], sender: Sender) -> Merged:
    """All that is staged is merged. Constraints that are deferred are checked too: no fault is left for the commit.

    Raises Torn, and leaves everything as it was, where changes of one row may not be taken together.
    """
    units = sorted(stage.units.values(), key=lambda u: rank[u.table.name])
    writable = [u for u in units if u.direction != "down"]
    try:
        with conn.transaction():
            conn.execute("SET CONSTRAINTS ALL DEFERRED")
            merged = _Merger(conn, stage, sender).run(writable)
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as e:
        if not is_row_fault(e):
            raise
        # A deferred constraint says no and does not say to which row: again, with every statement held to it.
        with conn.transaction():
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
            merged = _Merger(conn, stage, sender).run(writable)
    refused = sum(_refuse(conn, u, sender) for u in units if u.direction == "down")
    void = sum(_forget(conn, f, sender) for f in merged.failures)
    return replace(merged, conflicts=merged.conflicts + refused - void)


class _Merger:
    """One pass over the units."""

    def __init__(self, conn: psycopg.Connection, stage: Stage, sender: Sender) -> None:
        self._conn, self._stage, self._sender = conn, stage, sender
        self._failures: list[Failure] = []
        self._conflicts = 0

    def run(self, units: list[Unit]) -> Merged:
        """Puts go parents first, deletes children first; what failed is tried again as long as that helps."""
        classified = [u for u in units if not self._inserted(u)]
        for unit in classified:
            self._classify(unit)
            self._apply(unit, "put", None)
        for unit in reversed(classified):
            self._apply(unit, "delete", None)
        while self._failures and self._again():
            pass
        for unit in (u for u in classified if u.scope is not None):
            written = [self._intrusion(unit, at) for at in intrusion.strayed(self._conn, unit)]
            self._failures += [replace(f, is_written=True) for f in written]
        for unit in (u for u in classified if u.table.asks_when):
            stamps.note(self._conn, unit, self._sender.clock, [f.at for f in self._failures if f.unit is unit])
        return Merged(tuple(self._failures), self._conflicts)

    def _intrusion(self, unit: Unit, at: int) -> Failure:
        return Failure(unit, "judge", at, intrusion.reason(self._sender.node), intrusion.SQLSTATE)

    def _inserted(self, unit: Unit) -> bool:
        """The short way for what tills mostly send: new rows, put in as they are staged."""
        if not self._stage.only_inserts(unit.table.name) or unit.table.asks_when or unit.scope is not None:
            return False
        try:
            with self._conn.transaction():
                self._conn.execute(unit.sql("insert_staged"), {})
        except psycopg.Error as e:
            if not is_row_fault(e):
                raise
            return False
        return True

    def _classify(self, unit: Unit) -> None:
        execute = self._conn.execute
        execute(unit.sql("make_work"), {})
        if self._stage.follows:
            execute(unit.sql("empty_work"), {})
        if not unit.rules.table.deletes:
            execute(unit.sql("drop_deletes"), {})
        (torn,) = execute(unit.sql("collapse"), {}).fetchone() or (None,)
        if torn is not None:
            raise Torn(torn)
        if self._stage.staged[unit.table.name] >= ANALYZE_ROWS_MIN:
            execute(unit.sql("analyze"), {})
        if (
            unit.rules.table.deletes
        ):  # append_only never touches a row that is there, so its right to update is not needed
            execute(unit.sql("lock"), {})
        execute(unit.sql("classify"), {})
        if unit.scope is not None:
            intruding, late = intrusion.foreign(self._conn, unit, self._sender.node, self._sender.uid)
            self._conflicts += late
            self._failures += [self._intrusion(unit, at) for at in intruding]
        judged = judge(self._conn, unit, self._sender.uid, self._sender.clock)
        self._conflicts += judged.conflicts
        self._failures += [Failure(unit, "judge", at, reason, state) for at, reason, state in judged.failures]

    def _apply(self, unit: Unit, verb: str, ats: list[int] | None) -> None:
        """Write the rows at `ats` (None: all) in one go, or in halves where that fails."""
        try:
            with self._conn.transaction():
                self._write(unit, verb, ats)
        except psycopg.Error as e:
            if not is_row_fault(e):
                raise
            if verb == "put" and ats is None and e.sqlstate == UNIQUE and self._vacated(unit):
                return
            if ats is None:
                ats = [at for (at,) in self._conn.execute(unit.sql("places"), {"actions": _VERBS[verb]})]
            if len(ats) == 1:
                self._failures.append(Failure(unit, verb, ats[0], *reason_of(e)))
                return
            middle = len(ats) // 2
            self._apply(unit, verb, ats[:middle])
            self._apply(unit, verb, ats[middle:])

    def _vacated(self, unit: Unit) -> bool:
        """All of a unit once more, with the unique values that rows hand on taken off them first."""
        if not unit.vacant:
            return False
        try:
            with self._conn.transaction():
                self._conn.execute(unit.sql("vacate", **unit.vacating()), {})
                self._write(unit, "put", None)
        except psycopg.Error as e:
            if not is_row_fault(e):
                raise
            return False
        return True

    def _write(self, unit: Unit, verb: str, ats: list[int] | None) -> None:
        if verb == "delete":
            self._conn.execute(unit.sql("delete"), {"ats": ats})
            return
        self._conn.execute(unit.sql("insert"), {"ats": ats})
        for (mask,) in self._conn.execute(unit.sql("changed"), {"ats": ats}).fetchall():
            if "1" in mask:
                self._conn.execute(unit.sql("update", assignments=unit.assignments(mask)), {"ats": ats, "mask": mask})

    def _again(self) -> bool:
        """Try once more what failed: a parent, or the value of a unique column, may be there by now."""
        failed, self._failures = self._failures, []
        for f in failed:
            if f.verb == "judge":
                self._failures.append(f)
            else:
                self._apply(f.unit, f.verb, [f.at])
        return len(self._failures) < len(failed)


def _refuse(conn: psycopg.Connection, unit: Unit, sender: Sender) -> int:
    values = {"node": sender.node, "uid": sender.uid, "tab": unit.table.name}
    return conn.execute(unit.sql("refuse"), values).rowcount


def _forget(conn: psycopg.Connection, f: Failure, sender: Sender) -> int:
    """The conflict of a row that is not merged after all is none yet."""
    given = {"node": sender.node, "uid": sender.uid, "tab": f.unit.table.name, "seq": f.at >> 1}
    return conn.execute(assets.query("central/merge.forget_conflict"), given).rowcount
