"""What a branch may write: of a table with a filter, rows that meet those of its terms that speak of the branch.

`active AND store_id = :store_id` lets a till deactivate a row, which then leaves it, and does not let it write another
store's. The filter is asked of head office's own rows, before a change and after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central import catalog
from orchestrator.central.pieces import Piece
from orchestrator.central.routing import parameter
from orchestrator.core.changes import Shape
from orchestrator.core.filters import Filter, parse_filter
from orchestrator.core.plan import Plan, Table
from orchestrator.core.planning import Catalog
from orchestrator.errors import TillsyncError


@dataclass(frozen=True)
class Scope:
    """condition: over a row `t` of the table and the branch's parameters `n`, the FROM item."""

    condition: Piece
    parameters: Piece


def filters(
    conn: psycopg.Connection, plan: Plan, known: Catalog | None = None, parsed: Mapping[str, Filter] | None = None
) -> dict[str, Filter]:
    """The filters of tables that go up and speak of the branch, by table. `parsed`: those that are read already."""
    filtered = [t for channel, t in plan.tables() if channel.goes_up and t.filter is not None]
    if not filtered:
        return {}
    infos = {name: table.info() for name, table in (known or catalog.read(conn)).items()}
    found = dict(parsed or {})
    for t in filtered:
        if t.name not in found:
            found[t.name] = parse_filter(t.filter or "true", t.name, infos, plan.parameters)
    return {t.name: found[t.name] for t in filtered if found[t.name].scope("t", "n") is not None}


def of(compiled: Filter | None, types: Mapping[str, str], params: Mapping[str, Any]) -> Scope | None:
    """The scope of a branch with these parameters."""
    condition = compiled.scope("t", "n") if compiled is not None else None
    if compiled is None or condition is None:
        return None
    items = sql.SQL("").join(parameter(name, types[name]) for name in sorted(compiled.parameters))
    given = sql.Literal(Jsonb(dict(params)))
    source = sql.SQL("(SELECT true AS one{} FROM (SELECT {}::jsonb AS params) s) n").format(items, given)
    return Scope(sql.SQL(condition.replace("%", "%%")), source)


def check_columns(conn: psycopg.Connection, node: str, table: Table, shape: Shape) -> None:
    """Raises TS-541 for a column that no version of the plan has shipped. One that a version did was captured then, and
    is left out."""
    more = set(shape.columns) - set(table.column_names)
    if not more:
        return
    known = {name for (name,) in conn.execute(assets.query("central/merge.columns_ever"), {"tab": table.name})}
    for name in sorted(more - known):
        raise TillsyncError("TS-541", f"{node} sends {table.name}.{name}, which it does not get", hint="look who it is")
