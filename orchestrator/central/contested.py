"""Contested rows: fetched from the work table, judged by the policies, written back as outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central.faults import is_row_fault, reason_of
from orchestrator.central.unit import Field, Unit
from orchestrator.policies.contest import Cell, Decision, Judges, Kind, decide

ROWS_MAX = 5_000
_ACTIONS = {"keep": "K", "put": "U", "make": "I", "delete": "D"}


@dataclass
class Judged:
    """How many conflicts were recorded, and rows (at, reason, SQLSTATE) whose outcome central's types cannot hold."""

    conflicts: int = 0
    failures: list[tuple[int, str, str]] = field(default_factory=list)


class _Contested(NamedTuple):
    """A row of the query `contested`: images as texts, and digits that say which of their fields differ."""

    at: int
    nonce: int
    had: bool
    has: bool
    there: bool
    new: list[str | None]
    old: list[str | None]
    central: list[str | None]
    new_old: str
    central_old: str
    new_central: str

    @property
    def kind(self) -> Kind:
        if not self.has:
            return Kind.GONE_THERE
        if not self.there:
            return Kind.GONE_HERE
        return Kind.BOTH_CHANGED if self.had else Kind.BOTH_MADE

    def cell(self, place: int) -> Cell:
        moved_here = not self.had or self.central_old[place] == "1"
        return Cell(self.old[place], self.new[place], self.central[place], moved_here)

    def takes(self, place: int) -> bool:
        """Whether a column that needs no policy has the till's value: it changed it, or both have the same."""
        return self.new_old[place] == "1" if self.had else self.new_central[place] == "0"


class _Verdict(NamedTuple):
    """A row's outcome. `values` are of all fields, in their order; None where the row is not there afterwards."""

    row: _Contested
    decision: Decision
    judged: tuple[str, ...]
    values: list[str | None] | None


def judge(conn: psycopg.Connection, unit: Unit, node: str, uid: int) -> Judged:
    """Judge every contested row of a unit's work table, in batches."""
    result = Judged()
    while rows := conn.execute(unit.sql("contested"), {"rows_max": ROWS_MAX}).fetchall():
        verdicts = [_verdict(unit, _Contested(*row)) for row in rows]
        failed = _write_back(conn, unit, verdicts)
        result.failures += failed
        lost = {at for at, _, _ in failed}
        conflicts = [v for v in verdicts if v.decision.conflict and v.row.at not in lost]
        if conflicts:
            _record(conn, unit, node, uid, conflicts)
        result.conflicts += len(conflicts)
    return result


def _verdict(unit: Unit, row: _Contested) -> _Verdict:
    cells = {}
    if row.has and row.there:
        cells = {f.name: row.cell(f.place) for f in unit.values if _is_judged(unit, row, f)}
    decision = decide(row.kind, cells, unit.rules)
    differs = row.new_old if row.has else row.central_old
    judged = tuple(cells) or tuple(f.name for f in unit.values if differs[f.place] == "1")
    return _Verdict(row, decision, judged, _outcome(unit, row, decision))


def _is_judged(unit: Unit, row: _Contested, f: Field) -> bool:
    """Whether a column needs its policy: the same that `clashes` and `differs` say in SQL of the whole row."""
    judges, place = unit.judges(f), f.place
    if judges is not Judges.MOVES and row.new_central[place] == "0":
        return False
    if not row.had:
        return True
    moved_here = row.central_old[place] == "1" or judges is Judges.EVERY_CHANGE
    return row.new_old[place] == "1" and moved_here


def _outcome(unit: Unit, row: _Contested, decision: Decision) -> list[str | None] | None:
    if decision.action == "make":
        return row.new
    if decision.action == "delete" or not row.there:
        return None
    merged = list(row.central)
    if decision.action == "put":
        for f in unit.values:
            if f.name in decision.values:
                merged[f.place] = decision.values[f.name]
            elif row.takes(f.place):
                merged[f.place] = row.new[f.place]
    return merged


def _write_back(conn: psycopg.Connection, unit: Unit, verdicts: Sequence[_Verdict]) -> list[tuple[int, str, str]]:
    """Store outcomes; one that the column's type cannot hold (a sum too large) fails alone."""
    rows = [
        {"at": v.row.at, "action": _ACTIONS[v.decision.action], "v": v.values or [None] * len(unit.fields)}
        for v in verdicts
    ]
    try:
        with conn.transaction():
            conn.execute(unit.sql("judge"), {"rows": msgspec.json.encode(rows).decode()})
    except psycopg.Error as e:
        if not is_row_fault(e):
            raise
        if len(verdicts) == 1:
            conn.execute(unit.sql("give_up"), {"ats": [verdicts[0].row.at]})
            return [(verdicts[0].row.at, *reason_of(e))]
        middle = len(verdicts) // 2
        return _write_back(conn, unit, verdicts[:middle]) + _write_back(conn, unit, verdicts[middle:])
    return []


def _record(conn: psycopg.Connection, unit: Unit, node: str, uid: int, verdicts: Sequence[_Verdict]) -> None:
    names = [f.name for f in unit.fields]

    def image(values: Sequence[str | None] | None, there: bool = True) -> Jsonb | None:
        return Jsonb(dict(zip(names, values, strict=True))) if there and values is not None else None

    given = (
        {
            "node": node,
            "uid": uid,
            "seq": v.row.at >> 1,
            "nonce": v.row.nonce,
            "tab": unit.table.name,
            "key": Jsonb(unit.key_of(v.row.new)),
            "policy": _policies(unit, v),
            "columns": list(v.judged),
            "base": image(v.row.old, v.row.had),
            "theirs": image(v.row.new, v.row.has),
            "ours": image(v.row.central, v.row.there),
            "outcome": image(v.values),
            "winner": v.decision.winner.value,
        }
        for v in verdicts
    )
    with conn.cursor() as cursor:
        cursor.executemany(assets.query("central/merge.note_conflict"), given)


def _policies(unit: Unit, verdict: _Verdict) -> str:
    """The policy that judged, or those of the columns where they have several."""
    if not (verdict.row.has and verdict.row.there):
        return unit.rules.table.name
    return ", ".join(sorted({unit.rules.of(name).name for name in verdict.judged}))
