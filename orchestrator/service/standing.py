"""Where everything stands, as `tillsync status` asks: opens what the reports read, and closes it again."""

from __future__ import annotations

from typing import Any

from orchestrator import postgres
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.relay.client import CentralRelay, connect_central
from orchestrator.report import status
from orchestrator.service import lease
from orchestrator.settings import CentralSettings, TillSettings
from orchestrator.till import database, noticed, state


def of_central(settings: CentralSettings, world: World) -> dict[str, Any]:
    """Every branch and every stream. A relay that does not answer is said, and the rest is told.

    Raises TS-403 where central is not installed.
    """
    relay = connect_central(postgres.conninfo(settings.relay))
    try:
        with (
            postgres.connect(postgres.conninfo(settings.central), "tillsync status") as conn,
            postgres.translated(postgres.place_of(settings.central.dsn)),
        ):
            running = lease.central_is_held(conn)
            return status.of_central(conn, *_relay_side(relay), now=world.now(), running=running)
    finally:
        relay.close()


def of_till(settings: TillSettings) -> dict[str, Any]:
    """The till, out of its own file: nothing is asked of the network. Raises TS-520 where it is not installed."""
    db = database.connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with database.explained(db.filename):
            state.load(db)
            file, due = settings.till.database, noticed.counts(db)
            return {
                **status.of_till(db),
                "notices": sum(kind["due"] for kind in due.values()),
                "notice_kinds": due,
                "running": lease.till_is_held(file),
                "last_round_at": lease.last_round_at(file),
            }
    finally:
        db.close()


def _relay_side(relay: CentralRelay) -> tuple[status.RelaySide | None, str]:
    try:
        head = relay.head()
        return status.RelaySide(head.n, head.epoch, head.plan_version, relay.reports()), ""
    except TillsyncError as e:
        return None, str(e)
