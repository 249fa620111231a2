"""The branches: registering a till with its parameters and its account at the relay, changing, listing, retiring."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central import streams
from orchestrator.central.schema import Prepared
from orchestrator.core.world import World
from orchestrator.errors import ConfigError
from orchestrator.relay.client import CentralRelay


def add(
    conn: psycopg.Connection,
    relay: CentralRelay,
    prepared: Prepared,
    world: World,
    node: str,
    given: Mapping[str, str],
    relay_dsn: str,
) -> str:
    """Register a till, or give a registered one new parameters and a new password; its relay DSN, with the password.

    The DSN is shown once and kept nowhere. Raises ConfigError TS-140 to TS-142 for parameters that are missing, unknown
    or not of their type.
    """
    put(conn, prepared, node, given)
    role, password = f"till_{_token(world)[:16].lower()}", _token(world)
    relay.put_account(node, role, password)
    streams.announce(conn, relay, prepared.plan, relay.head().plan_version)
    return make_conninfo("", **{**conninfo_to_dict(relay_dsn), "user": role, "password": password})


def put(conn: psycopg.Connection, prepared: Prepared, node: str, given: Mapping[str, str]) -> None:
    """Set a node's parameters and make the streams that follow from them, without touching the relay."""
    params = checked_parameters(conn, prepared.plan.parameters, given)
    with conn.transaction():
        conn.execute(assets.query("central.upsert_node"), {"node": node, "params": Jsonb(params)})
        streams.refresh(conn, prepared.plan, prepared.filters)


def retire(conn: psycopg.Connection, relay: CentralRelay, prepared: Prepared, node: str) -> None:
    """Take a till's account and streams away. What it sent stays. Raises ConfigError TS-143 for an unknown one."""
    with conn.transaction():
        if conn.execute(assets.query("central.retire_node"), {"node": node}).rowcount == 0:
            raise ConfigError("TS-143", f"there is no branch {node}", hint="`tillsync branch list` shows them")
        streams.refresh(conn, prepared.plan, prepared.filters)
    relay.drop_account(node)
    streams.announce(conn, relay, prepared.plan, relay.head().plan_version)


def listing(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """node, params, state, announced, created_at of every branch."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(assets.query("central.nodes")).fetchall()


def checked_parameters(conn: psycopg.Connection, types: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters as JSON values that PostgreSQL agreed to read as their types, in one canonical form each."""
    for name in given:
        if name not in types:
            raise ConfigError(
                "TS-140", f"there is no node parameter {name}", hint=f"[parameters] has {', '.join(types)}"
            )
    missing = [name for name in types if name not in given]
    if missing:
        raise ConfigError("TS-141", f"parameter {missing[0]} is missing", hint=f"add --set {missing[0]}=...")
    checked = {}
    for name, text in given.items():
        try:
            query = sql.SQL("SELECT to_jsonb({}::text::{})").format(text, sql.SQL(types[name]))
            row = conn.execute(query).fetchone()
        except psycopg.DataError:
            raise ConfigError("TS-142", f"{name}={text} is no {types[name]}", hint="look at [parameters]") from None
        checked[name] = row[0] if row else None
    return checked


def _token(world: World) -> str:
    """A random text of 124 bits."""
    number = world.random63() << 63 | world.random63()
    return base64.b32encode(number.to_bytes(16)).decode().rstrip("=")
