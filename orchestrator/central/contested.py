"""Contested rows: fetched from the work table, judged by the policies, written back as outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central.faults import is_row_fault, reason_of
from orchestrator.central.unit import Field, Unit
from orchestrator.policies.contest import Cell, Decision, Judges, Kind, decide

ROWS_MAX = 2_000
_ACTIONS = {"keep": "K", "put": "U", "make": "I", "delete": "D"}


@dataclass
class Judged:
    """How many conflicts were recorded, and rows (at, reason, SQLSTATE) whose outcome central's types cannot hold."""

    conflicts: int = 0
    failures: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Verdict:
    """A row's outcome. `values` are of all fields, in their order; None where the row is not there afterwards."""

    row: Mapping[str, Any]
    kind: Kind
    decision: Decision
    judged: tuple[str, ...]
    values: list[str | None] | None


def judge(conn: psycopg.Connection, unit: Unit, node: str, uid: int) -> Judged:
    """Judge every contested row of a unit's work table, in batches."""
    result = Judged()
    while rows := _fetch(conn, unit):
        verdicts = [_verdict(unit, row) for row in rows]
        failed = _write_back(conn, unit, verdicts)
        result.failures += failed
        lost = {at for at, _, _ in failed}
        conflicts = [v for v in verdicts if v.decision.conflict and v.row["at"] not in lost]
        _record(conn, unit, node, uid, conflicts)
        result.conflicts += len(conflicts)
    return result


def _fetch(conn: psycopg.Connection, unit: Unit) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(unit.sql("contested"), {"rows_max": ROWS_MAX}).fetchall()


def _verdict(unit: Unit, row: Mapping[str, Any]) -> _Verdict:
    kind = _kind(row)
    cells = {f.name: _cell(row, f.place) for f in unit.values if kind in _BY_COLUMN and _is_judged(unit, row, f)}
    decision = decide(kind, cells, unit.rules)
    judged = tuple(cells) or tuple(f.name for f in unit.values if row["n_o" if row["has"] else "c_o"][f.place])
    return _Verdict(row, kind, decision, judged, _outcome(unit, row, decision))


_BY_COLUMN = (Kind.BOTH_CHANGED, Kind.BOTH_MADE)


def _kind(row: Mapping[str, Any]) -> Kind:
    if not row["has"]:
        return Kind.GONE_THERE
    if not row["there"]:
        return Kind.GONE_HERE
    return Kind.BOTH_CHANGED if row["had"] else Kind.BOTH_MADE


def _is_judged(unit: Unit, row: Mapping[str, Any], f: Field) -> bool:
    """Whether a column needs its policy: the same that `clashes` and `differs` say in SQL of the whole row."""
    judges, place = unit.judges(f), f.place
    if judges is not Judges.MOVES and not row["n_c"][place]:
        return False
    if not row["had"]:
        return True
    return bool(row["n_o"][place] and (row["c_o"][place] or judges is Judges.EVERY_CHANGE))


def _cell(row: Mapping[str, Any], place: int) -> Cell:
    return Cell(row["o"][place], row["n"][place], row["c"][place], moved_here=not row["had"] or row["c_o"][place])


def _outcome(unit: Unit, row: Mapping[str, Any], decision: Decision) -> list[str | None] | None:
    theirs, ours = row["n"], row["c"]
    if decision.action == "make":
        return list(theirs)
    if decision.action == "delete" or not row["there"]:
        return None
    if decision.action == "keep":
        return list(ours)
    merged = [
        decision.values.get(f.name, theirs[f.place] if _taken(row, f.place) else ours[f.place]) for f in unit.fields
    ]
    return [ours[f.place] if f.is_key else v for f, v in zip(unit.fields, merged, strict=True)]


def _taken(row: Mapping[str, Any], place: int) -> bool:
    """Whether an unjudged column takes the till's value: it changed it, or both have the same."""
    return bool(row["n_o"][place]) if row["had"] else not row["n_c"][place]


def _write_back(conn: psycopg.Connection, unit: Unit, verdicts: Sequence[_Verdict]) -> list[tuple[int, str, str]]:
    """Store outcomes; one that the column's type cannot hold (a sum too large) fails alone."""
    rows = [
        {"at": v.row["at"], "action": _ACTIONS[v.decision.action], "v": v.values or [None] * len(unit.fields)}
        for v in verdicts
    ]
    try:
        with conn.transaction():
            conn.execute(unit.sql("judge"), {"rows": msgspec.json.encode(rows).decode()})
    except psycopg.Error as e:
        if not is_row_fault(e):
            raise
        if len(verdicts) == 1:
            conn.execute(unit.sql("give_up"), {"ats": [verdicts[0].row["at"]]})
            return [(verdicts[0].row["at"], *reason_of(e))]
        middle = len(verdicts) // 2
        return _write_back(conn, unit, verdicts[:middle]) + _write_back(conn, unit, verdicts[middle:])
    return []


def _record(conn: psycopg.Connection, unit: Unit, node: str, uid: int, verdicts: Sequence[_Verdict]) -> None:
    names = [f.name for f in unit.fields]

    def image(values: Sequence[str | None] | None, there: bool = True) -> Jsonb | None:
        return Jsonb(dict(zip(names, values, strict=True))) if there and values is not None else None

    with conn.cursor() as cursor:
        cursor.executemany(
            assets.query("central/merge.note_conflict"),
            [
                {
                    "node": node,
                    "uid": uid,
                    "seq": v.row["at"] >> 1,
                    "nonce": v.row["nonce"],
                    "tab": unit.table.name,
                    "key": Jsonb(v.row["key"]),
                    "policy": _policies(unit, v),
                    "columns": list(v.judged),
                    "base": image(v.row["o"], v.row["had"]),
                    "theirs": image(v.row["n"], v.row["has"]),
                    "ours": image(v.row["c"], v.row["there"]),
                    "outcome": image(v.values),
                    "winner": v.decision.winner.value,
                }
                for v in verdicts
            ],
        )


def _policies(unit: Unit, verdict: _Verdict) -> str:
    """The policy that judged, or those of the columns where they have several."""
    if verdict.kind not in _BY_COLUMN:
        return unit.rules.table.name
    return ", ".join(sorted({unit.rules.of(name).name for name in verdict.judged}))
