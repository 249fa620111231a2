"""Who is ready for a day, as `tillsync status --ready-for` asks."""

from __future__ import annotations

from datetime import date
from typing import Any

from orchestrator import postgres
from orchestrator.central import ready, schema
from orchestrator.relay.client import connect_central
from orchestrator.settings import CentralSettings


def for_day(settings: CentralSettings, day: date) -> dict[str, Any]:
    """Every active branch: whether it holds what is valid on the day. Raises TS-400 where the relay, which knows how
    far the tills are, does not answer."""
    relay = connect_central(postgres.conninfo(settings.relay))
    try:
        reports = {r["node"]: r["body"] or {} for r in relay.reports()}
        with (
            postgres.connect(postgres.conninfo(settings.central), "tillsync status") as conn,
            postgres.translated(postgres.place_of(settings.central.dsn)),
            conn.transaction(),
        ):
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return ready.ready(conn, schema.installed(conn), settings, day, reports)
    finally:
        relay.close()
