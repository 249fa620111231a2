"""Preflight, verification and repair of capture, as commands ask for them: opens what the checks look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apsw
import psycopg

from orchestrator import postgres
from orchestrator.central import branches as registry
from orchestrator.central import drift as central_drift
from orchestrator.central import schema as central
from orchestrator.central import verify
from orchestrator.checks import (
    affinity,
    branches,
    capture,
    clock,
    file,
    keys,
    names,
    numbers,
    rights,
    sequences,
    server,
    uniqueness,
)
from orchestrator.checks.finding import Finding
from orchestrator.core import plan as plans
from orchestrator.core.plan import Plan
from orchestrator.core.world import World
from orchestrator.errors import ConfigError, PersonMustDecide, TillsyncError
from orchestrator.relay.client import connect_branch, connect_central
from orchestrator.settings import CentralSettings, TillSettings
from orchestrator.till import database, fitness, schema, state
from orchestrator.till import drift as till_drift


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair put right, or would: triggers and tables of ours, and what was found missing."""

    place: str
    what: tuple[str, ...]


def of_central(settings: CentralSettings, world: World) -> list[Finding]:
    """Head office: its server, the login's rights, the plan against the tables, capture, and what the tills say."""
    place = postgres.place_of(settings.central.dsn)
    with postgres.connect(settings.central.dsn, "tillsync check") as conn, postgres.translated(place):
        found = [*server.findings(conn, place), *_clock(conn, place, world)]
        try:
            prepared = central.prepare(conn, settings)
        except ConfigError as e:
            return [*found, _finding("plan", e)]
        found += [*rights.findings(conn, prepared.plan), *names.findings(prepared.plan)]
        found += keys.findings(conn, prepared.plan)
        found += sequences.findings(conn, prepared.plan)
        installed = central.newest_plan(conn)
        if installed is None:
            return [*found, Finding("plan", f"{place} is not installed", "run `tillsync install central`")]
        if prepared.plan.version != installed.version:
            what = "the settings ask for another plan than the one that is installed"
            found.append(Finding("plan", what, "run `tillsync install central`"))
        found += capture.of_central(conn, central.installed(conn))
        found += numbers.findings(conn, prepared, settings)
        active = {row["node"] for row in registry.listing(conn) if row["state"] == "active"}
    return [*found, *_reports(settings, active, world)]


def of_relay(settings: CentralSettings, world: World) -> list[Finding]:
    """The sync server, with head office's account: its settings, its clock, and whether its functions answer."""
    place = postgres.place_of(settings.relay.dsn)
    with postgres.connect(settings.relay.dsn, "tillsync check") as conn, postgres.translated(place):
        found = [*server.findings(conn, place), *_clock(conn, place, world)]
    relay = connect_central(postgres.conninfo(settings.relay))
    try:
        head = relay.head()
    except TillsyncError as e:
        return [*found, _finding("relay", e)]
    finally:
        relay.close()
    if not head.plan_version:
        found.append(Finding("relay", f"{place} has no plan yet", "run `tillsync sync central`"))
    return found


def of_till(settings: TillSettings, world: World) -> list[Finding]:
    """A till: its file, its tables against the plan, capture, and the way to the relay."""
    db = database.connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with database.explained(db.filename):
            found = list(file.findings(db))
            published, network = _ask_relay(settings, world)
            installed = schema.stored_plan(db) if state.is_installed(db) else None
            plan = published or installed
            found += network
            if plan is not None:
                found += _of_plan(db, plan)
            if installed is not None:
                found += capture.of_till(db, installed)
            else:
                found.append(Finding("plan", f"{db.filename} is not installed", "run `tillsync install till`"))
            return found
    finally:
        db.close()


def verify_central(settings: CentralSettings) -> list[Finding]:
    """Whether what captures central's tables is what would be generated now."""
    with (
        postgres.connect(postgres.conninfo(settings.central), "tillsync verify") as conn,
        postgres.translated(postgres.place_of(settings.central.dsn)),
    ):
        return list(capture.of_central(conn, central.installed(conn)))


def verify_till(settings: TillSettings) -> list[Finding]:
    """Likewise of a till's file."""
    db = database.connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with database.explained(db.filename):
            return list(capture.of_till(db, _installed(db)))
    finally:
        db.close()


def repair_central(settings: CentralSettings, owner_dsn: str | None = None, *, dry_run: bool = False) -> Repaired:
    """Do now what the agent does in its round, with the login of the tables' owner where one is named."""
    given = settings.central if owner_dsn is None else settings.central.model_copy(update={"dsn": owner_dsn})
    place = postgres.place_of(given.dsn)
    with postgres.connect(postgres.conninfo(given), "tillsync repair") as conn, postgres.translated(place):
        prepared = central.installed(conn)
        drifted = central_drift.look(conn)
        wrong = verify.differences(conn, prepared)
        what = [f"{d.name} of {d.table} {d.what}" for d in wrong]
        what += [f"{row['tab']} changed and is looked at again" for row in drifted if row["torn"] and not row["gone"]]
        if not dry_run and (drifted or wrong):
            central_drift.mend(conn, settings, drifted)
        return Repaired(place, tuple(what))


def repair_till(settings: TillSettings, world: World, *, dry_run: bool = False) -> Repaired:
    """Likewise in a till's file; rows that were written without capture are sent with the next round."""
    db = database.connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with database.explained(db.filename):
            plan = _installed(db)
            what = [f"trigger {name}" for name in schema.drift(db, plan)]
            if not dry_run:
                report = schema.install(db, plan, world, partial=True)
                till_drift.tell(report)
                what += [f"{m.rows} rows of {m.table} that were not captured" for m in report.missed]
            return Repaired(str(settings.till.database), tuple(what))
    finally:
        db.close()


def _installed(db: apsw.Connection) -> Plan:
    state.load(db)
    plan = schema.stored_plan(db)
    assert plan is not None, "an installed till has a plan"
    return plan


def _of_plan(db: apsw.Connection, plan: Plan) -> Iterator[Finding]:
    try:
        fitness.check_age(db, plan)
    except PersonMustDecide as e:
        yield _finding("plan", e)
    fitted = fitness.fitted(db, plan)
    yield from (_finding("plan", lack.error) for lack in fitted.lacks)
    yield from affinity.findings(fitted)
    yield from uniqueness.findings(fitted)


def _ask_relay(settings: TillSettings, world: World) -> tuple[Plan | None, list[Finding]]:
    """The published plan, and what stands in the way to the relay. A till without a network is checked all the same."""
    relay = connect_branch(postgres.conninfo(settings.relay))
    try:
        body = relay.plan()
        place = postgres.place_of(settings.relay.dsn)
        with postgres.connect(settings.relay.dsn, "tillsync check") as conn, postgres.translated(place):
            late = list(_clock(conn, place, world))
        return (None if body is None else plans.decode(body)), late
    except TillsyncError as e:
        return None, [_finding("relay", e)]
    finally:
        relay.close()


def _reports(settings: CentralSettings, active: set[str], world: World) -> list[Finding]:
    relay = connect_central(postgres.conninfo(settings.relay))
    try:
        return list(branches.findings(relay.reports(), active, world.now()))
    except TillsyncError as e:
        return [_finding("relay", e)]
    finally:
        relay.close()


def _clock(conn: psycopg.Connection, place: str, world: World) -> Iterator[Finding]:
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    if row is not None:
        yield from clock.findings(place, row[0], world.now())


def _finding(subject: str, error: TillsyncError) -> Finding:
    return Finding(subject, f"{error.code} {error.message}", error.hint or "docs/errors.md explains the code")


def problems(found: list[Finding]) -> list[Finding]:
    """Those that are more than advice."""
    return [f for f in found if not f.is_advice]
