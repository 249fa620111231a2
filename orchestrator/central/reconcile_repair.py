"""Repair: what the last comparison found is planned, and done through the normal stream, so the protocol stays true.

Where head office's rows count, the branch is told about them anew, as it is about rows that it asked for: each is put,
or cut where the branch should not have it. Where a till's rows count, it is asked to send them as if they were new, and
the table's policy merges them. So a plan that is old by now does no harm: both tell of the rows as they are then.
Nothing is deleted at head office, and a row that a till has not sent yet is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Json

from orchestrator import assets
from orchestrator.central.schema import Prepared
from orchestrator.core.plan import Channel, Column, Table
from orchestrator.core.reconciliation import RowDifference, TableComparison
from orchestrator.core.world import World
from orchestrator.errors import UsageError
from orchestrator.relay.client import CentralRelay

Way = Literal["down", "up", "reload"]
"""From head office to the till, from the till to head office, or the whole channel to the till."""


@dataclass(frozen=True)
class Step:
    """What is to be done for one table of one branch. `bytes`: about so many travel, before they are compressed."""

    branch: str
    table: str
    channel: str
    way: Way
    policy: str
    rows: int
    bytes: int
    differences: tuple[RowDifference, ...] = ()


def plan(
    conn: psycopg.Connection,
    prepared: Prepared,
    nodes: Sequence[str],
    tables: Sequence[str] = (),
    keys: Sequence[Sequence[str]] = (),
) -> list[Step]:
    """What would put right what the last comparisons found. `keys`: only these rows of the one table that is named."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(assets.query("central/reconcile.results"), {"nodes": list(nodes)}).fetchall()
    steps: list[Step] = []
    for row in rows:
        found = prepared.plan.find(row["tab"]) if row["tab"] is not None else None
        if found is None or (tables and row["tab"] not in tables):
            continue
        steps += _steps(str(row["node"]), *found, msgspec.convert(row["body"], TableComparison), keys)
    return steps


def apply(
    conn: psycopg.Connection, relay: CentralRelay, prepared: Prepared, world: World, steps: Iterable[Step]
) -> list[str]:
    """Does it; the next ticks carry it. Returns what could not be done, a line for each."""
    failed: list[str] = []
    for step in steps:
        channel, table = next(f for f in [prepared.plan.find(step.table)] if f)
        if step.way == "reload":
            streams = conn.execute(assets.query("central.streams_of"), {"node": step.branch}).fetchall()
            chosen = [stream for stream, name in streams if name == channel.name]
            relay.put_reload(step.branch, chosen, relay.head().n + 1)
        elif step.way == "up":
            keys = {table.name: [list(d.key.values()) for d in step.differences]}
            given = {"id": world.random63(), "node": step.branch, "keys": Json(keys)}
            conn.execute(assets.query("central/reconcile.again"), given)
        else:
            failed += _tell_again(conn, prepared, step, table)
    return failed


def keys_of(prepared: Prepared, table: str, given: Iterable[str]) -> list[list[str]]:
    """Keys as they are typed: the values in order, with commas, or name=value. Raises UsageError TS-802."""
    found = prepared.plan.find(table)
    assert found is not None
    names = [c.name for c in found[1].till_key]
    made = []
    for text in given:
        parts = text.split(",") if len(names) > 1 else [text]
        named = dict(p.split("=", 1) for p in parts if p.partition("=")[0] in names and "=" in p)
        values = [named[n] for n in names] if set(named) == set(names) else parts
        if len(values) != len(names):
            raise UsageError("TS-802", f"{text} is no key of {table}", hint=f"its key is {', '.join(names)}")
        made.append(values)
    return made


def _steps(
    node: str, channel: Channel, table: Table, compared: TableComparison, keys: Sequence[Sequence[str]]
) -> Iterable[Step]:
    wanted = {tuple(key) for key in keys}
    chosen = [d for d in compared.differences if not wanted or tuple(d.key.values()) in wanted]
    if compared.truncated and channel.direction == "down" and not wanted:
        rows = max(compared.central_rows, len(chosen))
        size = sum(map(_bytes, chosen)) // max(1, len(chosen)) * rows
        yield Step(node, table.name, channel.name, "reload", "head office's rows count", rows, size)
        return
    ways: dict[Way, list[RowDifference]] = {}
    for difference in chosen:
        ways.setdefault(_way(channel, table, difference), []).append(difference)
    for way, differences in sorted(ways.items()):
        policy = table.policy.policy if channel.goes_up else "head office's rows count"
        size = sum(map(_bytes, differences))
        yield Step(node, table.name, channel.name, way, policy, len(differences), size, tuple(differences))


def _way(channel: Channel, table: Table, difference: RowDifference) -> Way:
    """Whose row counts. What only a till has is never taken from it where tills write: it is sent."""
    if not channel.goes_up:
        return "down"
    if not channel.goes_down or difference.kind == "extra":
        return "up"
    return "up" if difference.kind == "different" and table.policy.policy == "branch_wins" else "down"


def _bytes(difference: RowDifference) -> int:
    texts = [*difference.key.values(), *(t for c in difference.columns for t in (c.central or c.till,))]
    return sum(len((t or "").encode("utf-8", "replace")) + 3 for t in texts)


def _tell_again(conn: psycopg.Connection, prepared: Prepared, step: Step, table: Table) -> list[str]:
    """Enters the keys as the branch's own questions. What is no key by head office's types is said."""
    captured = next(c for c in prepared.captured if c.tab == table.name)
    failed: list[str] = []
    for difference in step.differences:
        values = [_typed(c, difference.key[c.name], _type(prepared, table, c)) for c in table.till_key]
        statement = sql.SQL(assets.query("central/reconcile.tell_again")).format(
            log=sql.Identifier(captured.log),
            key=sql.SQL(", ").join(sql.Identifier(c.name) for c in table.till_key),
            values=sql.SQL(", ").join(values),
            node=step.branch,
        )
        try:
            with conn.transaction():
                conn.execute(statement)
        except (psycopg.DataError, psycopg.errors.CannotCoerce):
            key = ", ".join(str(v) for v in difference.key.values())
            failed.append(f"{step.branch}, {table.name}: {key} is no key by head office's types: delete it at the till")
    return failed


def _type(prepared: Prepared, table: Table, column: Column) -> str:
    return next(c.type for c in prepared.catalog[table.name].columns if c.name == column.name)


def _typed(column: Column, text: str | None, pg_type: str) -> sql.Composable:
    """A canonical text as a value of the column's type."""
    if column.kind == "bytes":
        return sql.SQL("decode({}, 'hex')").format(sql.Literal(text))
    if column.encode is not None and column.encode.startswith("local:"):
        zone = column.encode.partition(":")[2]
        return sql.SQL("({}::timestamp AT TIME ZONE {})").format(sql.Literal(text), sql.Literal(zone))
    return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(pg_type))
