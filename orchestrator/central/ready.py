"""Which tills hold what is valid on a day: prices with validity dates are shipped ahead, and this says who has them.

A till that has applied tick t has everything that t's snapshot saw. It lacks something where a row of a table with
validity, or of one that refers to it, came to its stream, left it, or changed after that: the ledger says when rows
came and left, the log and the ticks' snapshots what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central.capture import Captured, identifier
from orchestrator.central.schema import Prepared
from orchestrator.core.plan import Channel
from orchestrator.errors import ConfigError
from orchestrator.settings import CentralSettings


@dataclass(frozen=True, slots=True)
class Subject:
    """A table whose rows count on the day; `is_valid` is a condition on its row r."""

    channel: Channel
    captured: Captured
    is_valid: sql.Composable

    def query(self, block: str) -> sql.Composed:
        """A block of `sql/central/ready/queries.sql` for this table."""
        key = self.captured.key
        return sql.SQL(assets.query(f"central/ready.{block}")).format(
            table=identifier(self.captured.tab),
            log=sql.Identifier(self.captured.log),
            hold=sql.Identifier(self.captured.hold or ""),
            is_valid=self.is_valid,
            held=_same("r", "h", key),
            changed=_same("r", "l", key),
            logged=_same("l", "h", key),
            truncated=sql.SQL("{} IS NULL").format(sql.Identifier("l", key[0])),
            logged_key=_list("l", key),
            hold_key=_list("h", key),
        )


def ready(
    conn: psycopg.Connection,
    prepared: Prepared,
    settings: CentralSettings,
    day: date,
    reports: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Who is ready for the day. `reports`: each branch's own account of itself, by node.

    Raises ConfigError TS-895 where no table has a `validity`, TS-132 where it names a column that is not there.
    """
    subjects = list(_subjects(conn, prepared, settings))
    ticks = {node: int(body.get("tick") or 0) for node, body in reports.items()}
    given = {"day": day}
    tables: list[dict[str, Any]] = [
        {
            "table": s.captured.tab,
            "valid": _count(conn, s.query("valid"), given),
            "unpublished": _count(conn, s.query("unpublished"), given),
        }
        for s in subjects
    ]
    branches = list(_branches(conn, subjects, day, reports, ticks))
    unpublished = sum(t["unpublished"] for t in tables)
    is_ready = not unpublished and all(b["ready"] for b in branches)
    return {"day": day, "ready": is_ready, "unpublished": unpublished, "tables": tables, "branches": branches}


def _branches(
    conn: psycopg.Connection,
    subjects: list[Subject],
    day: date,
    reports: Mapping[str, Mapping[str, Any]],
    ticks: Mapping[str, int],
) -> Iterator[dict[str, Any]]:
    asked = {"channels": sorted({s.channel.name for s in subjects}), "ticks": Jsonb(ticks)}
    found = conn.execute(assets.query("central/ready.branches"), asked).fetchall()
    rows = conn.execute(assets.query("central/ready.known_ticks"), {"ticks": sorted(set(ticks.values()))})
    known = {n for (n,) in rows.fetchall()}
    pairs = {(stream, ticks[node]) for node, streams, _ in found if ticks.get(node) in known for stream in streams}
    missing = _missing(conn, subjects, day, pairs)
    for node, streams, waits in found:
        tick = ticks.get(node)
        lacks = sum(missing.get((stream, tick or 0), 0) for stream in streams)
        why = _why(reports.get(node), streams, tick in known, waits, lacks)
        yield {"node": node, "ready": not why, "tick": tick, "missing": lacks, "why": why}


def _why(body: Mapping[str, Any] | None, streams: Iterable[int], tick_is_known: bool, waits: bool, lacks: int) -> str:
    """What a branch is not ready for; empty where it is."""
    if not body or not body.get("tick"):
        return "it has never been loaded"
    if not tick_is_known:
        return "it was away for longer than ticks are kept"
    if waits or set(streams) & set(body.get("loading") or ()):
        return "it is being loaded"
    if lacks:
        return f"{lacks} rows are not there, or not as they are now"
    return f"{body['waiting']} rows found no place at the till" if body.get("waiting") else ""


def _missing(
    conn: psycopg.Connection, subjects: Iterable[Subject], day: date, pairs: set[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    given = {"day": day, "streams": [s for s, _ in pairs], "ticks": [t for _, t in pairs]}
    found: dict[tuple[int, int], int] = {}
    for subject in subjects:
        for stream, tick, count in conn.execute(subject.query("missing"), given).fetchall():
            found[stream, tick] = found.get((stream, tick), 0) + count
    return found


def _subjects(conn: psycopg.Connection, prepared: Prepared, settings: CentralSettings) -> Iterator[Subject]:
    channels = {t.name: c for c, t in prepared.plan.tables()}
    captured = {c.tab: c for c in prepared.captured if c.hold is not None}
    dated = {t.full_name: t.validity for c in settings.channel for t in c.table if t.validity}
    if not dated:
        raise ConfigError(
            "TS-895",
            "no table says when its rows are valid",
            hint='set validity = ["valid_from", "valid_to"] for the tables that do',
        )
    for name, columns in dated.items():
        there = {c.name for c in prepared.catalog[name].columns} if name in prepared.catalog else set()
        if strange := [c for c in columns if c not in there]:
            raise ConfigError("TS-132", f"{name} has no column {strange[0]}", hint="correct `validity`")
        if name not in captured:
            continue  # it does not go down
        yield Subject(channels[name], captured[name], _valid("r", columns))
        quoted = identifier(name).as_string(conn)
        for _, child, own, parents in conn.execute(assets.query("central/ready.children"), {"parent": quoted}):
            if child in captured and child not in dated:
                pairs = zip(own, parents, strict=True)
                same = [sql.SQL("{} = {}").format(sql.Identifier("p", p), sql.Identifier("r", o)) for o, p in pairs]
                is_valid = sql.SQL("EXISTS (SELECT FROM {} p WHERE {} AND {})").format(
                    identifier(name), sql.SQL(" AND ").join(same), _valid("p", columns)
                )
                yield Subject(channels[child], captured[child], is_valid)


def _valid(alias: str, columns: tuple[str, ...]) -> sql.Composable:
    """On some moment of the day; null is no bound."""
    begins = sql.SQL("({0} IS NULL OR {0} < %(day)s::date + 1)").format(sql.Identifier(alias, columns[0]))
    if len(columns) == 1:
        return begins
    ends = sql.SQL("({0} IS NULL OR {0} >= %(day)s::date)").format(sql.Identifier(alias, columns[1]))
    return sql.SQL("({} AND {})").format(begins, ends)


def _same(left: str, right: str, key: tuple[str, ...]) -> sql.Composed:
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(left, k), sql.Identifier(right, k)) for k in key]
    return sql.SQL(" AND ").join(pairs)


def _list(alias: str, key: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, k) for k in key)


def _count(conn: psycopg.Connection, query: sql.Composed, given: Mapping[str, Any]) -> int:
    row = conn.execute(query, given).fetchone()
    return int(row[0]) if row else 0
