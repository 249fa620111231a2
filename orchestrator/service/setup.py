"""Installing and removing, each in one transaction: the script for a DBA, the rehearsal, and the deed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from orchestrator import postgres
from orchestrator.central import schema as central
from orchestrator.central import streams
from orchestrator.core.effects import Effect
from orchestrator.core.world import World
from orchestrator.errors import ConfigError, PersonMustDecide, TillsyncError
from orchestrator.relay import schema as relay
from orchestrator.report import objects
from orchestrator.report.objects import Changes
from orchestrator.service import changes
from orchestrator.service.lease import lock_file
from orchestrator.settings import CentralSettings, DatabaseSettings, TillSettings
from orchestrator.till import database as till_database
from orchestrator.till import setup as till

SERVER_VERSION_MIN = 14
BEGIN, COMMIT = "BEGIN;\n", "\nCOMMIT;\n"


@dataclass(frozen=True, slots=True)
class Done:
    """What an installation or a removal changed, or would have: `place` is where, without secrets. lacks: what of the
    plan a till goes on without."""

    place: str
    changes: Changes
    plan_version: int | None = None
    plan_changed: bool = False
    lacks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "place": self.place,
            "changed": bool(self.changes) or self.plan_changed,
            "plan_version": self.plan_version,
            "created": self.changes.created,
            "altered": self.changes.altered,
            "dropped": self.changes.dropped,
            "lacks": self.lacks,
        }


def planned(settings: CentralSettings) -> central.Prepared:
    """The plan that the settings describe, held against central's catalog; nothing is written."""
    with _opened(settings.central) as (conn, _):
        return central.prepare(conn, settings)


def apply_settings(settings: CentralSettings, *, dry_run: bool = False, yes: bool = False) -> tuple[Done, list[Effect]]:
    """As `install_central`, after a look at what that does to the tills. Raises PersonMustDecide TS-146 where many rows
    would go and it is not said to be meant (`yes`); nothing was done then."""
    with _opened(settings.central) as (conn, place):
        prepared, before = central.prepare(conn, settings), central.newest_plan(conn)
        if before is None:
            raise TillsyncError("TS-301", "central is not installed", hint="run `tillsync install central`")
        effects = changes.foreseen(
            settings, conn, prepared, lambda: streams.refresh(conn, prepared.plan, prepared.filters)
        )
    if not (dry_run or yes):
        changes.refuse_removal(effects, settings.removal_share_max)
    if dry_run:
        return Done(place, Changes(), prepared.plan.version, before != prepared.plan), effects
    return install_central(settings), effects


def install_central(settings: CentralSettings, *, dry_run: bool = False) -> Done:
    """Install central, or bring it up to its settings. Raises ConfigError TS-13x, TS-20x, and nothing was done."""
    with _opened(settings.central) as (conn, place):
        _see_that_it_is_not(conn, "relay.account", to_be="central")
        prepared = central.prepare(conn, settings)
        before = central.newest_plan(conn)
        made = _within(conn, "tillsync", dry_run, lambda: central.install(conn, prepared))
        return Done(place, made, prepared.plan.version, before != prepared.plan)


def central_script(settings: CentralSettings) -> str:
    """What `install_central` runs, for psql."""
    with _opened(settings.central) as (conn, _):
        return BEGIN + central.script(central.prepare(conn, settings)).as_string(conn) + COMMIT


def uninstall_central(settings: CentralSettings, *, dry_run: bool = False, force: bool = False) -> Done:
    """Take triggers and schema away. Raises PersonMustDecide TS-722 where rows are parked that exist nowhere else."""
    with _opened(settings.central) as (conn, place):
        parked = _count(conn, "tillsync.parked", "SELECT count(*) FROM tillsync.parked WHERE state = 'parked'")
        if parked and not (force or dry_run):
            raise PersonMustDecide(
                "TS-722",
                f"{place} has {parked} parked rows that would be lost",
                hint="look at `tillsync status`, or give --force to lose them",
            )
        return Done(place, _within(conn, "tillsync", dry_run, lambda: central.uninstall(conn)))


def install_relay(settings: CentralSettings, admin_dsn: str | None = None, *, dry_run: bool = False) -> Done:
    """Install the sync server with its administrator's connection, and register central's login there."""
    with _opened(settings.relay, admin_dsn) as (conn, place):
        _see_that_it_is_not(conn, "tillsync.state", to_be="the relay")
        return Done(place, _within(conn, "relay", dry_run, lambda: relay.install_on(conn, settings.relay.dsn)))


def relay_script(settings: CentralSettings) -> str:
    """What `install_relay` runs, for psql; the password of central's login is not in it."""
    return BEGIN + relay.full_script(settings.relay.dsn) + COMMIT


def uninstall_relay(
    settings: CentralSettings, admin_dsn: str | None = None, *, dry_run: bool = False, force: bool = False
) -> Done:
    """Remove the sync server. Raises PersonMustDecide TS-722 where it keeps uploads that central has not taken."""
    with _opened(settings.relay, admin_dsn) as (conn, place):
        waiting = _count(conn, "relay.upload", "SELECT count(*) FROM relay.upload WHERE taken_at IS NULL AND last")
        if waiting and not (force or dry_run):
            raise PersonMustDecide(
                "TS-722",
                f"{place} keeps {waiting} uploads that central has not taken",
                hint="run `tillsync sync central --until-idle` first, or give --force; tills send them again",
            )
        return Done(place, _within(conn, "relay", dry_run, lambda: relay.uninstall_on(conn)))


def install_till(settings: TillSettings, world: World, *, dry_run: bool = False, partial: bool = False) -> Done:
    """Install into the till's file what the plan, which comes from the relay, asks for; `partial`: what fits of it."""
    done = till.install_till(settings, world, dry_run=dry_run, partial=partial)
    place = str(settings.till.database)
    if done.report is None:
        return Done(place, Changes(), done.plan_version)
    made, dropped = (
        tuple(f"trigger {n}" for n in names) for names in (done.report.triggers_made, done.report.triggers_dropped)
    )
    lacks = tuple(str(lack.error) for lack in done.report.lacks)
    return Done(place, Changes(created=made, dropped=dropped), done.plan_version, lacks=lacks)


def till_script(settings: TillSettings, world: World, *, partial: bool = False) -> str:
    """What `install_till` runs, for the sqlite3 shell."""
    return till.install_till(settings, world, as_sql=True, partial=partial).script


def uninstall_till(settings: TillSettings, *, dry_run: bool = False, force: bool = False) -> Done:
    """Remove every trace of ours from the till's file and beside it."""
    database = settings.till.database
    db = till_database.connect(database, busy_ms=settings.till.busy_timeout_ms)
    try:
        query = (
            "SELECT type, name FROM main.sqlite_master WHERE name GLOB 'tillsync[_]*' AND type IN ('table', 'trigger')"
        )
        ours = tuple(sorted(f"{kind} {name}" for kind, name in till_database.rows(db, query)))
    finally:
        db.close()
    if not dry_run:
        till.uninstall_till(settings, force=force)
        lock_file(database).unlink(missing_ok=True)
    return Done(str(database), Changes(dropped=ours))


@contextmanager
def _opened(database: DatabaseSettings, admin_dsn: str | None = None) -> Iterator[tuple[psycopg.Connection, str]]:
    """A connection as the administrator, where one is named, and where it leads."""
    if admin_dsn is not None:
        database = database.model_copy(update={"dsn": admin_dsn})
    with postgres.connect(postgres.conninfo(database), "tillsync install") as conn:
        place = postgres.place_of(database.dsn)
        version = conn.info.server_version // 10_000
        if version < SERVER_VERSION_MIN:
            raise TillsyncError(
                "TS-302", f"{place} is PostgreSQL {version}", hint=f"{SERVER_VERSION_MIN} or newer is needed"
            )
        with postgres.translated(place):
            yield conn, place


def _see_that_it_is_not(conn: psycopg.Connection, table: str, *, to_be: str) -> None:
    # The relay takes rights from PUBLIC that an application may live on, and its administrators are other people.
    if conn.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,):
        raise ConfigError(
            "TS-412",
            f"database {conn.info.dbname} has {table}, so it is not {to_be}",
            hint="central and the relay are two databases; look at [central] dsn and [relay] dsn",
        )


def _within(conn: psycopg.Connection, schema: str, dry_run: bool, work: Callable[[], None]) -> Changes:
    """Do the work, or do it and take it back; what it changed."""
    with conn.transaction(force_rollback=dry_run):
        before = objects.listing(conn, schema)
        work()
        return objects.changes(before, objects.listing(conn, schema))


def _count(conn: psycopg.Connection, table: str, query: str) -> int:
    if conn.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return 0
    row = conn.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
