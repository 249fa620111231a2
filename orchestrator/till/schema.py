"""Installing and removing Tillsync's tables and triggers in a till's file: one transaction, nothing half installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apsw

from orchestrator import assets
from orchestrator.core import plan as plans
from orchestrator.core.plan import Plan, Table
from orchestrator.core.values import quote_sqlite as q
from orchestrator.core.world import World
from orchestrator.till import fitness, known, mending, shapes, staging, state, watch
from orchestrator.till.capture import PREFIX, Trigger, triggers
from orchestrator.till.database import explained, rows, transaction, value
from orchestrator.till.fitness import Fitted, Lack
from orchestrator.till.known import Missed
from orchestrator.till.marks import resolve_marks

SCHEMA = "sql/till/schema.sql"
_RANDOM = "random() & 9223372036854775807"


@dataclass(frozen=True, slots=True)
class InstallReport:
    """What an installation did: the captured tables, and its triggers. `missed`: what was written while triggers were
    gone, found by comparing. `lacks`: what of the plan the file does not have. `reloaded`: channels to be loaded anew.
    """

    plan_version: int
    tables: tuple[str, ...]
    triggers_made: tuple[str, ...]
    triggers_dropped: tuple[str, ...]
    missed: tuple[Missed, ...] = ()
    lacks: tuple[Lack, ...] = ()
    reloaded: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.triggers_made or self.triggers_dropped)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done: statements in order, and the names of the triggers among them. `shapes`: by central's name.
    `broken`: central's names of tables whose triggers were not as they should be."""

    statements: list[str]
    made: list[str]
    dropped: list[str]
    fitted: Fitted
    shapes: dict[str, shapes.StoredShape]
    broken: frozenset[str]


def install(
    db: apsw.Connection, plan: Plan, world: World, *, node: str | None = None, partial: bool = False
) -> InstallReport:
    """Makes the file fit the plan; running it again changes nothing. The application may be at work meanwhile.

    Raises ConfigError TS-510 to TS-516 where the till's tables do not fit, and then nothing was done; with `partial`
    what does not fit is left out instead.
    """
    with explained(db.filename), transaction(db):
        return install_within(db, plan, instance=str(world.random63()), node=node, partial=partial)


def install_within(
    db: apsw.Connection, plan: Plan, *, instance: str = _RANDOM, node: str | None = None, partial: bool = True
) -> InstallReport:
    """As `install`, within the caller's write transaction."""
    before = None
    if state.is_installed(db):
        before = stored_plan(db)
        state.load(db)
        resolve_marks(db)
        if watch.exists(db):
            known.follow(db)
    work = _work(db, plan, instance, node, partial=partial)
    for statement in work.statements:
        db.execute(statement)
    missed = mending.remember(db, work.fitted, work.shapes)
    reloaded = mending.reload(db, before, plan, work.fitted, work.broken, missed) if before is not None else ()
    mending.note_lacks(db, work.fitted)
    db.execute(watch.NOTE)
    tables = tuple(t.till for _, t, _ in work.fitted.tables)
    made, dropped = tuple(work.made), tuple(work.dropped)
    return InstallReport(plan.version, tables, made, dropped, missed, work.fitted.lacks, reloaded)


def script(db: apsw.Connection, plan: Plan, *, node: str | None = None, partial: bool = False) -> str:
    """What `install` would run, for a DBA who runs it himself with the sqlite3 shell.

    Over an earlier installation the agent does the rest in its next round: it compares what is there with its memory.
    """
    with explained(db.filename):
        work = _work(db, plan, _RANDOM, node, partial=partial)
        statements = [*work.statements, watch.DISTRUST]
        if not state.is_installed(db):
            statements += mending.first_memories(work.fitted, work.shapes)
    return "\n".join(["BEGIN IMMEDIATE;", *(f"{s.rstrip().rstrip(';')};" for s in statements), "COMMIT;", ""])


def uninstall(db: apsw.Connection) -> None:
    """Removes every trigger and table of ours; changes that were not sent are lost with them."""
    with transaction(db):
        for kind in ("trigger", "view", "table"):
            for name in _own(db, kind):
                db.execute(f"DROP {kind} {q(name)}")
    staging.discard(db)


def drift(db: apsw.Connection, plan: Plan) -> list[str]:
    """The triggers that are missing, altered, out of their order or too many, by name; empty where all is right."""
    with explained(db.filename):
        work = _work(db, plan, _RANDOM, partial=True)
    return sorted({*work.made, *work.dropped})


def stored_plan(db: apsw.Connection) -> Plan | None:
    """The plan that this till obeys."""
    body = value(db, "SELECT body FROM tillsync_plan ORDER BY version DESC LIMIT 1")
    return None if body is None else plans.decode(body)


def _work(db: apsw.Connection, plan: Plan, instance: str, node: str | None = None, *, partial: bool) -> _Work:
    found = fitness.fitted(db, plan)
    if found.lacks and not partial:
        raise found.lacks[0].error
    is_new = not state.is_installed(db)
    statements = list(_own_tables(db, plan, [t for _, t, _ in found.tables], instance, is_new))
    if node is not None:
        statements.append(f"UPDATE tillsync_state SET node = {apsw.format_sql_value(node)}")
    stored = {} if is_new else shapes.load(db)
    wanted: dict[str, list[Trigger]] = {}
    of_table: dict[str, shapes.StoredShape] = {}
    for _, table, till in found.tables:
        shape, is_known = _shape(table, stored)
        if not is_known:
            stored[shape.id] = shape
            statements.append(shapes.insert(shape))
        of_table[table.name] = shape
        wanted[till.name] = triggers(table, till, shape.id)
    made, dropped, torn = _differences(db, wanted)
    statements += [f"DROP TRIGGER {q(name)}" for name in dropped] + [t.sql for t in made]
    broken = frozenset(table.name for _, table, till in found.tables if till.name in torn)
    return _Work(statements, [t.name for t in made], dropped, found, of_table, broken)


def _own_tables(db: apsw.Connection, plan: Plan, tables: list[Table], instance: str, is_new: bool) -> Iterator[str]:
    if not is_new and not _has_column(db, "tillsync_notice", "acked_by"):
        yield "ALTER TABLE tillsync_notice ADD COLUMN acked_by TEXT"
    yield from watch.missing_columns(db)
    if not is_new and not shapes.has_encodings(db):
        yield "ALTER TABLE tillsync_shape ADD COLUMN encodings TEXT NOT NULL DEFAULT '[]'"
    yield assets.text(SCHEMA)
    yield assets.text("sql/till/reconcile/schema.sql")
    if is_new:
        yield f"INSERT INTO tillsync_state (one, instance) VALUES (1, {instance})"
    width = max((len(t.columns) for t in tables), default=0)
    for i in range((0 if is_new else _width(db)) + 1, width + 1):
        yield f"ALTER TABLE tillsync_changelog ADD COLUMN o{i}"
        yield f"ALTER TABLE tillsync_changelog ADD COLUMN n{i}"
    body = apsw.format_sql_value(plans.encode(plan).decode())
    yield f"DELETE FROM tillsync_plan WHERE version <> {plan.version}"
    yield f"INSERT OR REPLACE INTO tillsync_plan (version, body) VALUES ({plan.version}, {body})"
    # which of that number it is, and when it came, says whoever took it
    forget = "UPDATE tillsync_watch SET plan_digest = NULL, plan_top = NULL"
    yield f"{forget} WHERE (SELECT plan_version FROM tillsync_state) <> {plan.version}"
    yield f"UPDATE tillsync_state SET plan_version = {plan.version}"


def _has_column(db: apsw.Connection, table: str, column: str) -> bool:
    return any(c[1] == column for c in rows(db, f"PRAGMA main.table_info({q(table)})"))


def _width(db: apsw.Connection) -> int:
    """How many columns an image of the changelog may have by now."""
    return sum(1 for c in rows(db, "PRAGMA main.table_info(tillsync_changelog)") if c[1][0] == "o" and c[1] != "op")


def _shape(table: Table, known: dict[int, shapes.StoredShape]) -> tuple[shapes.StoredShape, bool]:
    """The table's shape under its old number where it has one: the triggers stay as they are then."""
    for number, stored in sorted(known.items(), reverse=True):
        if stored == shapes.of_table(table, number):
            return stored, True
    return shapes.of_table(table, max(known, default=0) + 1), False


def _differences(
    db: apsw.Connection, wanted: dict[str, list[Trigger]]
) -> tuple[list[Trigger], list[str], frozenset[str]]:
    """Triggers to make, names to drop, and the tables where one was missing or altered.

    SQLite fires the newest trigger first. Ours must be newer than the application's own: where one of those changes
    the row again, that change has to be logged after the one that caused it.
    """
    found = rows(db, "SELECT name, tbl_name, sql, rowid FROM main.sqlite_master WHERE type = 'trigger'")
    ours = {r[0]: (r[2], r[3]) for r in found if r[0].startswith(PREFIX)}
    made: list[Trigger] = []
    torn: set[str] = set()
    for table, own in wanted.items():
        theirs = max((r[3] for r in found if r[1].lower() == table.lower() and r[0] not in ours), default=0)
        is_whole = all(t.name in ours and ours[t.name][0] == t.sql for t in own)
        if not is_whole:
            torn.add(table)
        if not is_whole or any(ours[t.name][1] <= theirs for t in own):
            made += own
    kept = {t.name for own in wanted.values() for t in own} - {t.name for t in made}
    return made, [name for name in ours if name not in kept], frozenset(torn)


def _own(db: apsw.Connection, kind: str) -> list[str]:
    found = rows(db, "SELECT name FROM main.sqlite_master WHERE type = ?", (kind,))
    return [name for (name,) in found if name.startswith(PREFIX)]
