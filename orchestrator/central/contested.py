"""Contested rows: fetched from the work table, judged by the policies, written back as outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central import answers as answers_of
from orchestrator.central import stamps
from orchestrator.central.faults import one_by_one
from orchestrator.central.stamps import Clock
from orchestrator.central.unit import Unit
from orchestrator.policies.contest import Answer, Decision
from orchestrator.policies.merging import Image, Meeting
from orchestrator.policies.merging import judge as judge_row

ROWS_MAX = 5_000
_ACTIONS = {"keep": "K", "put": "U", "make": "I", "delete": "D"}


@dataclass
class Judged:
    """How many conflicts were recorded, and rows (at, reason, SQLSTATE) whose outcome central's types cannot hold."""

    conflicts: int = 0
    failures: list[tuple[int, str, str]] = field(default_factory=list)


class _Verdict(NamedTuple):
    """A contested row, its place in the work table, and what the policies made of it."""

    at: int
    nonce: int
    row: Meeting
    decision: Decision
    judged: tuple[str, ...]
    values: Image | None
    note: str | None


def judge(conn: psycopg.Connection, unit: Unit, uid: int, clock: Clock) -> Judged:
    """Judge every contested row of a unit's work table, in batches."""
    result = Judged()
    newer = stamps.newer(conn, unit, clock) if unit.table.asks_when else {}
    while rows := conn.execute(unit.sql("contested"), {"rows_max": ROWS_MAX}).fetchall():
        answers, failed = answers_of.ask(conn, unit, [row[0] for row in rows])
        meetings = [(at, nonce, Meeting(*row)) for at, nonce, *row in rows if at in answers]
        verdicts = [_verdict(unit, at, nonce, row, newer, answers[at]) for at, nonce, row in meetings]
        failed += _write_back(conn, unit, verdicts)
        result.failures += failed
        lost = {at for at, _, _ in failed}
        conflicts = [v for v in verdicts if v.decision.conflict and v.at not in lost]
        if conflicts:
            _record(conn, unit, clock.node, uid, conflicts)
        result.conflicts += len(conflicts)
    return result


def _verdict(
    unit: Unit,
    at: int,
    nonce: int,
    row: Meeting,
    newer: Mapping[int, tuple[bool, str | None]],
    answers: Mapping[str, Answer | None],
) -> _Verdict:
    is_newer, note = newer.get(at, (False, None))
    asked = row._replace(newer=is_newer, answers=answers)
    return _Verdict(at, nonce, asked, *judge_row(asked, unit.values, unit.rules), note)


def _write_back(conn: psycopg.Connection, unit: Unit, verdicts: Sequence[_Verdict]) -> list[tuple[int, str, str]]:
    """Store outcomes; one that the column's type cannot hold (a sum too large) fails alone."""

    def work(some: Sequence[_Verdict]) -> None:
        rows = [
            {"at": v.at, "action": _ACTIONS[v.decision.action], "v": v.values or [None] * len(unit.fields)}
            for v in some
        ]
        conn.execute(unit.sql("judge"), {"rows": msgspec.json.encode(rows).decode()})

    failed = [(v.at, reason, state) for v, reason, state in one_by_one(conn, verdicts, work)]
    if failed:
        conn.execute(unit.sql("give_up"), {"ats": [at for at, *_ in failed]})
    return failed


def _record(conn: psycopg.Connection, unit: Unit, node: str, uid: int, verdicts: Sequence[_Verdict]) -> None:
    names = [f.name for f in unit.fields]

    def image(values: Image | None, there: bool = True) -> Jsonb | None:
        return Jsonb(dict(zip(names, values, strict=True))) if there and values is not None else None

    given = (
        {
            "node": node,
            "uid": uid,
            "seq": v.at >> 1,
            "nonce": v.nonce,
            "tab": unit.table.name,
            "key": Jsonb(unit.key_of(v.row.new)),
            "policy": _policies(unit, v),
            "columns": list(v.judged),
            "base": image(v.row.old, v.row.had),
            "theirs": image(v.row.new, v.row.has),
            "ours": image(v.row.central, v.row.there),
            "outcome": image(v.values),
            "winner": v.decision.winner.value,
            "note": v.note,
            "state": "open" if v.decision.is_open else "decided",
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
