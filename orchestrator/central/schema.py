"""Installing central: our schema, the capture of every table of the plan, and the plan itself, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central import books, capture, catalog, streams
from orchestrator.core import plan as plans
from orchestrator.core.filters import Filter
from orchestrator.core.jobs import of_settings
from orchestrator.core.plan import Plan
from orchestrator.core.planning import Catalog, compiled_filters, make_plan
from orchestrator.errors import ConfigError, TillsyncError
from orchestrator.postgres import first_line
from orchestrator.settings import CentralSettings

SCHEMA = 3
"""Version of our tables at central; it counts up when the agent needs one that an earlier installation did not make."""


class Prepared(msgspec.Struct, frozen=True):
    """A plan with all that was derived from it and from the catalog."""

    plan: Plan
    filters: Mapping[str, Filter]
    captured: tuple[capture.Captured, ...]
    catalog: Catalog

    def triggers(self) -> frozenset[tuple[str, str]]:
        """Every trigger that there should be: the table that it is on, and its name."""
        each = (capture.triggers(c, self.catalog[c.tab]) for c in self.captured)
        return frozenset((trigger.table, trigger.name) for found in each for trigger in found)


def prepare(conn: psycopg.Connection, settings: CentralSettings) -> Prepared:
    """Hold the settings against the catalog; writes nothing. The version counts up where the plan differs."""
    _check_types(conn, settings.parameters)
    tables = catalog.read(conn)
    newest = newest_plan(conn)
    plan = make_plan(newest.version if newest else 1, settings.parameters, settings.channel, tables)
    plan = msgspec.structs.replace(plan, version_min=settings.till_version_min, schema_min=settings.till_schema_min)
    plan = msgspec.structs.replace(plan, jobs=of_settings(settings.job, "till"), timezone=settings.calendar.timezone)
    plan = msgspec.structs.replace(plan, books=books.described(conn, settings.book, settings.parameters))
    if newest is not None and plan != newest:
        plan = msgspec.structs.replace(plan, version=newest.version + 1)
    prepared = derived(plan, tables)
    ask_filters(conn, prepared.filters)
    return prepared


def ask_filters(conn: psycopg.Connection, filters: Mapping[str, Filter]) -> None:
    """Have PostgreSQL plan every filter, which finds what only it can know: types. Raises ConfigError TS-211."""
    for name, compiled in filters.items():
        schema = name.partition(".")[0]
        try:
            with conn.transaction(force_rollback=True):
                path = sql.SQL("SET LOCAL search_path = {}, public").format(sql.Identifier(schema))
                conn.execute(path)
                conn.execute(compiled.question().encode())
        except psycopg.errors.InsufficientPrivilege:
            continue  # a table that this login may not read: that is another matter than the filter
        except (psycopg.ProgrammingError, psycopg.DataError) as e:
            raise ConfigError(
                "TS-211", f"filter of {name}: {first_line(e)}", hint="PostgreSQL cannot plan it; look at the types"
            ) from e


def _check_types(conn: psycopg.Connection, parameters: Mapping[str, str]) -> None:
    for name, kind in parameters.items():
        try:
            with conn.transaction():
                known = conn.execute("SELECT to_regtype(%s)", [kind]).fetchone() != (None,)
        except (psycopg.ProgrammingError, psycopg.DataError):
            known = False  # not even the form of a type
        if not known:
            raise ConfigError("TS-144", f"parameter {name} has the type {kind}", hint="central knows no such type")


def derived(plan: Plan, tables: Catalog) -> Prepared:
    """What follows from a plan and the catalog. Tables that are gone are left out, until they are there again."""
    plan = _present(plan, tables)
    filters = compiled_filters(plan, tables)
    return Prepared(plan, filters, tuple(capture.derive(plan, filters, tables)), tables)


def _present(plan: Plan, tables: Catalog) -> Plan:
    if all(table.name in tables for _, table in plan.tables()):
        return plan
    channels = (
        msgspec.structs.replace(c, tables=tuple(t for t in c.tables if t.name in tables)) for c in plan.channels
    )
    return msgspec.structs.replace(plan, channels=tuple(channels))


def newest_plan(conn: psycopg.Connection, version: int | None = None) -> Plan | None:
    """The newest installed plan (or the one of a version), None before the first installation."""
    if conn.execute("SELECT to_regclass('tillsync.plan')").fetchone() == (None,):
        return None
    row = conn.execute(assets.query("central.newest_plan"), {"version": version}).fetchone()
    return plans.decode(row[1]) if row else None


def plans_since(conn: psycopg.Connection, version: int) -> list[Plan]:
    """The installed plans from that version on, in order."""
    return [plans.decode(body) for (body,) in conn.execute(assets.query("central.plans_since"), {"version": version})]


def installed(conn: psycopg.Connection) -> Prepared:
    """The installed plan with what follows from it. Raises TS-301 where nothing is installed, TS-304 where an earlier
    version was."""
    plan = newest_plan(conn)
    if plan is None:
        raise TillsyncError("TS-301", "central is not installed", hint="run `tillsync install central`")
    (version,) = conn.execute("SELECT version FROM tillsync.state").fetchone() or (0,)
    if version < SCHEMA:
        raise TillsyncError(
            "TS-304",
            f"central's tables are of version {version}, this needs {SCHEMA}",
            hint="run `tillsync install central`",
        )
    return derived(plan, catalog.read(conn))


def script(
    prepared: Prepared,
    *,
    plan: Plan | None = None,
    only: Collection[str] | None = None,
    looked: Mapping[str, Any] | None = None,
) -> sql.Composed:
    """The whole installation as one script for a DBA who runs it himself; running it again changes nothing.

    plan: the one to be stored, where tables of it are gone. only: tables whose capture is made, the others have theirs.
    looked: by name, the tables that are in order now if they are still as they were (ddl, guard) when looked at.
    """
    stored = plan or prepared.plan
    parts: list[sql.Composable] = [
        sql.SQL(assets.text(f"sql/central/{file}"))
        for file in ("schema.sql", "jobs/schema.sql", "reconcile/schema.sql")
    ]
    stamped = prepared.plan.stamped
    for captured in prepared.captured:
        if only is not None and captured.tab not in only:
            continue
        source = prepared.catalog[captured.tab]
        parts.append(sql.SQL("-- {}").format(sql.SQL(captured.tab)))
        parts.append(capture.script(captured, source, is_stamped=captured.tab in stamped))
        parts.append(_save_captured(captured))
    parts.append(_save_plan(stored))
    known = None if looked is None else Jsonb({**{name: {} for name in only or ()}, **looked})
    watched = sorted({table.name for _, table in stored.tables()} | {c.tab for c in prepared.captured})
    parts.append(sql.SQL(assets.template("sql/central/save_seen.sql")).format(tables=watched, looked=known))
    return sql.SQL("\n").join(parts)


def install(conn: psycopg.Connection, prepared: Prepared) -> None:
    """Install or bring up to date, whole or not at all. Triggers of tables that are no longer captured go."""
    with conn.transaction():
        conn.execute(script(prepared))
        _drop_triggers(conn, keep=prepared.triggers())
        streams.refresh(conn, prepared.plan, prepared.filters)


def mend(
    conn: psycopg.Connection, prepared: Prepared, plan: Plan, only: Collection[str], looked: Mapping[str, Any]
) -> None:
    """As `install`, of the tables that need it, within the caller's transaction; `script` says what the rest is."""
    conn.execute(script(prepared, plan=plan, only=only, looked=looked))
    streams.refresh(conn, prepared.plan, prepared.filters)


def outnumber(conn: psycopg.Connection, version: int) -> None:
    """Gives the plan a number above `version`: tills know another plan under that, which head office has lost."""
    plan = newest_plan(conn)
    assert plan is not None, "central is installed"
    conn.execute(_save_plan(msgspec.structs.replace(plan, version=max(version, plan.version) + 1)))


def uninstall(conn: psycopg.Connection) -> None:
    """Take every trigger off and drop our schema: nothing of ours is left."""
    with conn.transaction():
        _drop_triggers(conn, keep=())
        conn.execute("DROP SCHEMA IF EXISTS tillsync CASCADE")


def strays(conn: psycopg.Connection, keep: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Triggers of ours that are not among those to keep: the table that each is on, and its name."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(assets.query("central.triggers_of_ours")).fetchall()
    return [(row["tab"], row["trigger"]) for row in found if (row["tab"], row["trigger"]) not in keep]


def _drop_triggers(conn: psycopg.Connection, keep: Collection[tuple[str, str]]) -> None:
    for tab, trigger in strays(conn, keep):
        conn.execute(capture.removal(tab, trigger))


def _save_plan(plan: Plan) -> sql.Composed:
    save = sql.SQL(assets.template("sql/central/save_plan.sql"))
    return save.format(version=plan.version, body=plans.encode(plan).decode())


def _save_captured(captured: capture.Captured) -> sql.Composed:
    values = {
        k: sql.Literal(list(v) if isinstance(v, tuple) else v) for k, v in msgspec.structs.asdict(captured).items()
    }
    return sql.SQL(assets.template("sql/central/save_captured.sql")).format(**values)
