"""Streams and subscriptions: what follows from the nodes' parameters and from those that the filters use."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.core import plan as plans
from orchestrator.core.filters import Filter
from orchestrator.core.plan import Plan
from orchestrator.core.planning import channel_parameters
from orchestrator.relay.client import CentralRelay


def refresh(conn: psycopg.Connection, plan: Plan, filters: Mapping[str, Filter]) -> None:
    """Make streams and subscriptions what nodes and plan ask for; within the caller's transaction."""
    down = [c for c in plan.channels if c.goes_down]
    names = [c.name for c in down]
    for channel in down:
        values = {"channel": channel.name, "channels": names, "parameters": list(channel_parameters(channel, filters))}
        conn.execute(assets.query("central.make_streams"), values)
        conn.execute(assets.query("central.note_moves"), values)
        conn.execute(assets.query("central.clear_subscriptions"), values)
        conn.execute(assets.query("central.make_subscriptions"), values)
    conn.execute(assets.query("central.forget_moves"), {"channels": names})
    conn.execute(assets.query("central.rest_streams"))
    conn.execute(assets.query("central.unannounce"))


def announce(conn: psycopg.Connection, relay: CentralRelay, plan: Plan, relay_plan_version: int) -> None:
    """Tell the relay the plan and the subscriptions that it does not have yet; a relay that lost its plan gets all."""
    everything = relay_plan_version < plan.version
    if everything:
        relay.put_plan(plan.version, plans.encode(plan.for_tills()).decode())
    with conn.cursor(row_factory=dict_row) as cursor:
        waiting = cursor.execute(assets.query("central.unannounced"), {"all": everything}).fetchall()
    if waiting:
        with relay.transaction(), relay.pipeline():
            for row in waiting:
                relay.put_subscription(row["node"], list(zip(row["streams"], row["channels"], strict=True)))
        conn.execute(assets.query("central.announced"), {"nodes": [row["node"] for row in waiting]})
