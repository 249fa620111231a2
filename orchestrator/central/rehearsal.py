"""What a change of plan or parameters would do to the tills, before it does it: the routing itself, taken back.

The very statements that would route the change run in a transaction that is rolled back, so the answer cannot differ
from what would happen now. Nothing of the application's is locked: ledgers are made, but no trigger or log is touched.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central import capture
from orchestrator.central.schema import Prepared
from orchestrator.central.span import Span, columns
from orchestrator.central.spool import Spool
from orchestrator.central.tick import Changed, Move, Tick, TickMaker
from orchestrator.core.effects import Effect


def rehearse(
    conn: psycopg.Connection, prepared: Prepared, change: Callable[[], None], part_rows_max: int
) -> list[Effect]:
    """The effects of `change`, which makes streams and subscriptions what they would be. `conn` is in no transaction:
    its isolation is set.

    A table that the plan has no more is not shown: its rows stay at the tills as they are, and are nobody's then.
    """
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with conn.transaction(force_rollback=True):
        conn.execute(assets.query("central/rehearsal.before"))
        _make_ledgers(conn, prepared)
        change()
        channels = {table.name: channel.name for channel, table in prepared.plan.tables()}
        with Spool() as spool:
            tick = _routed(conn, prepared, part_rows_max, spool)
        held = [c for c in prepared.captured if c.hold]
        found = [effect for c in held for effect in _effects(conn, c, channels[c.tab], tick)]
    return [effect for effect in found if effect.is_any]


def _routed(conn: psycopg.Connection, prepared: Prepared, part_rows_max: int, spool: Spool) -> Tick:
    """A tick as the next one would be, but for what happened at head office meanwhile."""
    with conn.cursor(row_factory=dict_row) as cursor:
        newest = cursor.execute(assets.query("central/rehearsal.newest_tick")).fetchone()
        unloaded = cursor.execute(assets.query("central/rehearsal.unloaded")).fetchall()
        moves = [Move(**row) for row in cursor.execute(assets.query("central.pending_moves")).fetchall()]
    tick = Tick(newest["n"] + 1 if newest else 1, 0, 0, spool)
    maker = TickMaker(conn, prepared, part_rows_max)
    wanted = {row["stream"]: row["channel"] for row in unloaded if row["is_wanted"]}
    if newest is None:
        maker.snapshots(tick, wanted)
        return tick
    span, again = Span(newest["snapshot"], newest["snapshot"]), maker.replanned(newest["plan_version"])
    maker.deltas(tick, span, Changed(), again)
    maker.snapshots(tick, wanted)
    maker.moves(tick, moves, {row["stream"]: row["channel"] for row in unloaded}, span, Changed(), again)
    return tick


def _make_ledgers(conn: psycopg.Connection, prepared: Prepared) -> None:
    """The ledgers that there are not yet, and those of tables with another key; nobody but our agent reads one."""
    stored = {row[0]: row[1] for row in conn.execute(assets.query("central.captured")).fetchall()}
    there = {row[0] for row in conn.execute(assets.query("central/rehearsal.ledgers")).fetchall()}
    for captured in prepared.captured:
        if captured.hold and (stored.get(captured.tab) != list(captured.key) or captured.hold not in there):
            conn.execute(sql.SQL("DROP TABLE IF EXISTS tillsync.{}").format(sql.Identifier(captured.hold)))
            conn.execute(capture.ledger_script(captured, prepared.catalog[captured.tab]))


def _effects(conn: psycopg.Connection, captured: capture.Captured, channel: str, tick: Tick) -> list[Effect]:
    assert captured.hold is not None
    query = sql.SQL(assets.query("central/rehearsal.effects")).format(
        hold=sql.Identifier(captured.hold), key=columns("h", captured.key), n=tick.n, channel=channel
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query).fetchall()
    made = []
    for row in rows:
        branches = tuple(row["branches"])
        parts = [tick.sent.get((target, captured.tab), (0, 0)) for target in (row["stream"], *branches)]
        sent, size = sum(rows for rows, _ in parts), sum(size for _, size in parts)
        counted = (row["before"], row["come"], row["go"])
        made.append(Effect(row["channel"], row["params"], branches, captured.tab, *counted, sent, size))
    return made
