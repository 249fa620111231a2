"""Where everything stands, as `tillsync status` asks: opens what the reports read, and closes it again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import psycopg

from orchestrator import assets, postgres
from orchestrator.central import history
from orchestrator.core import skew
from orchestrator.core.calendar import Calendar
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.relay import certificates
from orchestrator.relay.client import CentralRelay, connect_central
from orchestrator.report import closures, status, troubles
from orchestrator.report.troubles import Trouble
from orchestrator.service import lease
from orchestrator.settings import CentralSettings, TillSettings
from orchestrator.till import backup, database, noticed, state


def of_central(settings: CentralSettings, world: World) -> dict[str, Any]:
    """Every branch and every stream, and what is wrong. A relay that does not answer is said, and the rest is told.

    Raises TS-403 where central is not installed.
    """
    relay = connect_central(postgres.conninfo(settings.relay))
    try:
        with (
            postgres.connect(postgres.conninfo(settings.central), "tillsync status") as conn,
            postgres.translated(postgres.place_of(settings.central.dsn)),
        ):
            return of_connected(conn, relay, settings, world, certificates.first_end(settings.relay.dsn))
    finally:
        relay.close()


def of_connected(
    conn: psycopg.Connection,
    relay: CentralRelay,
    settings: CentralSettings,
    world: World,
    certificate_ends_at: datetime | None,
) -> dict[str, Any]:
    """As `of_central`, with the connections of somebody who asks again and again."""
    side, fault, off = _relay_side(relay, world)
    office = status.Office(
        now=world.now(),
        running=lease.central_is_held(conn),
        last_round_at=lease.central_round_at(conn),
        clock_skew_seconds=off,
        database_skew_seconds=None if off is None else round(off - _database_skew(conn, world), 1) + 0.0,
        certificate_ends_at=certificate_ends_at,
    )
    chain = status.of_central(conn, side, fault, office)
    calendar, now = Calendar(settings.calendar), side.now if side else office.now
    for branch in chain["branches"]:
        branch["is_open"] = calendar.of(branch["node"]).is_open(now)
    found = troubles.of_central(chain, settings.watch, calendar, now)
    found += _closures(conn, chain, settings, calendar, now)
    found += _differing(conn, office.now)
    return {**chain, "troubles": [asdict(trouble) for trouble in found]}


def _differing(conn: psycopg.Connection, now: datetime) -> list[Trouble]:
    """What the last comparisons found, since when. A head office that an earlier version installed keeps none."""
    try:
        lasting = history.lasting(conn)
    except psycopg.errors.UndefinedTable:
        return []
    return [troubles.differing(line, now) for line in lasting]


def _closures(
    conn: psycopg.Connection, chain: dict[str, Any], settings: CentralSettings, calendar: Calendar, now: datetime
) -> list[Trouble]:
    watched = settings.watch.closure
    if watched is None:
        return []
    active = (b for b in chain["branches"] if b["state"] == "active")
    due = {b["node"]: closures.due_days(calendar.of(b["node"]), watched, b["created_at"], now) for b in active}
    try:
        lacking = closures.missing(conn, watched, due)
    except psycopg.ProgrammingError as e:
        what = f"closures cannot be looked at: {postgres.first_line(e)}"
        return [Trouble("closure", troubles.CENTRAL, what, "correct `[watch.closure]`")]
    return [troubles.closures_missing(node, days) for node, days in lacking.items()]


def of_till(settings: TillSettings, world: World) -> dict[str, Any]:
    """The till and what is wrong with it, out of its own file: nothing is asked of the network.

    Raises TS-520 where it is not installed.
    """
    db = database.connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with database.explained(db.filename):
            state.load(db)
            file, due = settings.till.database, noticed.counts(db)
            till = {
                **status.of_till(db),
                "notices": sum(kind["due"] for kind in due.values()),
                "notice_kinds": due,
                "backup_at": backup.last_at(db),
                "running": lease.till_is_held(file),
                "last_round_at": lease.last_round_at(file),
            }
        found = troubles.of_till(till, world.now())
        return {**till, "troubles": [asdict(trouble) for trouble in found]}
    finally:
        db.close()


def _relay_side(relay: CentralRelay, world: World) -> tuple[status.RelaySide | None, str, float | None]:
    """What the relay says, or why it does not; and how far this machine's clock is ahead of its."""
    try:
        asked = world.now()
        head = relay.head()
        off = skew.seconds(head.now, asked, world.now())
        now = world.now() if head.now is None else datetime.fromtimestamp(head.now, UTC)
        return status.RelaySide(head.n, head.epoch, head.plan_version, now, relay.reports()), "", off
    except TillsyncError as e:
        return None, str(e), None


def _database_skew(conn: psycopg.Connection, world: World) -> float:
    """How far this machine's clock is ahead of its database's."""
    asked = world.now()
    row = conn.execute(assets.query("report.clock")).fetchone()
    assert row is not None
    return skew.seconds(row[0], asked, world.now()) or 0.0
