"""Starting comparisons, and what is known of them: the report, out of what the last ones came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json

from orchestrator import assets
from orchestrator.central import reconcile_books
from orchestrator.central.schema import Prepared
from orchestrator.core.comparing import TableAsk
from orchestrator.core.reconciliation import DIFFERENCES_MAX, BranchComparison, Report, State, TableComparison
from orchestrator.core.world import World
from orchestrator.errors import ConfigError

OFFLINE_SECONDS = 300
"""A till that has said nothing for so long is offline: it says that it is alive every minute."""


def table_names(prepared: Prepared, tables: Iterable[str]) -> list[str]:
    """Full names of tables of the plan. Raises ConfigError TS-147 for one that it does not have."""
    known = [table.name for _, table in prepared.plan.tables()]
    chosen = [name if "." in name else f"public.{name}" for name in tables]
    for name in chosen:
        if name not in known:
            raise ConfigError("TS-147", f"the plan has no table {name}", hint=f"it has {', '.join(sorted(known))}")
    return chosen


def start(conn: psycopg.Connection, world: World, nodes: Sequence[str], tables: Sequence[str] = ()) -> int:
    """Asks branches to compare all tables, or some (full names). The next tick carries it. The comparison's number."""
    number = world.random63()
    asks = Json({name: msgspec.to_builtins(TableAsk()) for name in tables}) if tables else None
    given = {"id": number, "asks": asks, "books": Json({}) if tables else None, "nodes": list(nodes)}
    conn.execute(assets.query("central/reconcile.start"), given)
    return number


def open_nodes(conn: psycopg.Connection, number: int) -> frozenset[str]:
    """The branches at which a comparison is still under way."""
    rows = conn.execute(assets.query("central/reconcile.open_nodes"), {"id": number}).fetchall()
    return frozenset(node for (node,) in rows)


def is_open(conn: psycopg.Connection, number: int) -> bool:
    """Whether a comparison is still under way at some branch."""
    return bool(open_nodes(conn, number))


def is_alive(heard: datetime | None, now: datetime) -> bool:
    """Whether a branch has said lately that it is alive."""
    return heard is not None and now - heard < timedelta(seconds=OFFLINE_SECONDS)


def report(
    conn: psycopg.Connection,
    prepared: Prepared,
    now: datetime,
    heard: Mapping[str, datetime],
    *,
    nodes: Sequence[str] | None = None,
    tables: Sequence[str] = (),
    since: datetime | None = None,
) -> Report:
    """What the last comparisons came to. `heard`: when each branch last said that it is alive. `since`: a branch whose
    last one ended before that has not answered."""
    order = {table.name: place for place, (_, table) in enumerate(prepared.plan.tables())}
    given = {"nodes": None if nodes is None else list(nodes)}
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(assets.query("central/reconcile.results"), given).fetchall()
    branches = []
    for node, group in groupby(rows, key=lambda r: str(r["node"])):
        of_branch = list(group)
        known = [r for r in of_branch if r["tab"] in order and (not tables or r["tab"] in tables)]
        known.sort(key=lambda r: order[r["tab"]])
        is_open = of_branch[0]["open_id"] is not None or any(since is not None and r["at"] < since for r in known)
        made = _branch(node, is_open, known, now, heard.get(node))
        branches.append(made if tables else replace(made, books=reconcile_books.of_branch(prepared, of_branch)))
    return Report(now, all(b.equal for b in branches), tuple(branches))


def _shortened(compared: TableComparison) -> TableComparison:
    """With as many differences as a report lists; repair has them all."""
    if len(compared.differences) <= DIFFERENCES_MAX:
        return compared
    return replace(compared, differences=compared.differences[:DIFFERENCES_MAX], truncated=True)


def _branch(
    node: str, is_open: bool, known: Sequence[dict[str, Any]], now: datetime, heard: datetime | None
) -> BranchComparison:
    state: State = "compared" if known and not is_open else "waiting" if is_alive(heard, now) else "offline"
    oldest = min(known, key=lambda r: int(r["n"])) if known else None
    return BranchComparison(
        branch=node,
        state=state,
        tick=oldest["n"] if oldest else None,
        tick_at=oldest["tick_at"] if oldest else None,
        age_seconds=round((now - oldest["tick_at"]).total_seconds(), 3) if oldest else None,
        tables=tuple(_shortened(msgspec.convert(r["body"], TableComparison)) for r in known),
    )
