"""Jobs of the DBA's at a till: SQL that runs as the application's would, captured, in one transaction with its
record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw

from orchestrator import assets
from orchestrator.core.jobs import Job, Slot
from orchestrator.core.plan import Plan
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.till import database, schema, state
from orchestrator.till.capture import PREFIX
from orchestrator.till.database import rows, value

KEEP = timedelta(days=400)
STEPS_BETWEEN_LOOKS = 5_000
"""So many steps of SQLite's machine between two looks at the clock: a few hundred microseconds."""

_REFUSED = {
    apsw.SQLITE_ATTACH: "it attaches a file",
    apsw.SQLITE_DETACH: "it detaches a file",
    apsw.SQLITE_PRAGMA: "it has a PRAGMA",
    apsw.SQLITE_TRANSACTION: "it begins or ends a transaction of its own",
    apsw.SQLITE_SAVEPOINT: "it has a savepoint",
}
_READS = (apsw.SQLITE_READ, apsw.SQLITE_SELECT, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE)


@contextmanager
def opened(file: Path, busy_ms: int) -> Iterator[apsw.Connection]:
    """The till's file as its application has it: foreign keys are held, and everything is captured."""
    db = database.connect(file, busy_ms=busy_ms)
    try:
        with database.explained(db.filename):
            db.pragma("foreign_keys", True)
            yield db
    finally:
        db.close()


def planned(db: apsw.Connection) -> Plan | None:
    """The plan of the file, with its jobs; None where nothing is installed."""
    return schema.stored_plan(db) if state.is_installed(db) else None


def newest_due(db: apsw.Connection, job: Job) -> datetime | None:
    """Up to when it is known what became of the job; None where it was never seen."""
    if not rows(db, _sql("exists")):
        return None
    found = value(db, _sql("newest"), {"job": job.name})  # type: ignore[arg-type]  # apsw takes names, too
    return None if found is None else datetime.fromisoformat(found)


def begin(db: apsw.Connection, job: Job, slot: Slot, world: World) -> None:
    """From now on the job is known; what was due before is not made good."""
    with database.transaction(db):
        _prepare(db, world)
        db.execute(_sql("note"), _line(job, slot, world))


def run(db: apsw.Connection, job: Job, slot: Slot, node: str, world: World) -> int | None:
    """Runs the job for the slot; how many rows it changed, None where it has been run for it before.

    Raises TillsyncError TS-840 where its SQL fails, TS-842 where it takes too long; nothing of it stays then.
    """
    line = _line(job, slot, world)
    with database.transaction(db):
        _prepare(db, world)
        at = {"job": job.name, "key": slot.key}
        if db.execute(_sql("has_run"), at).fetchall():
            db.execute(_sql("postpone"), {**at, "due": line["due"]})
            return None
        db.execute(_sql("note"), line)
        world.crash("job.noted")
        before = db.total_changes()
        _execute(db, job, {"business_date": line["business_date"], "node": node, "now": line["at"]}, world)
        changed = db.total_changes() - before
        db.execute(_sql("note_rows"), {**at, "rows": changed})
        world.crash("job.done")
    return changed


def _execute(db: apsw.Connection, job: Job, values: dict[str, Any], world: World) -> None:
    until = world.monotonic() + job.seconds_max
    guard = _Guard()
    db.authorizer = guard
    db.set_progress_handler(lambda: world.monotonic() > until, STEPS_BETWEEN_LOOKS)
    try:
        for _ in db.execute(job.sql, values):
            pass
    except apsw.InterruptError:
        said = f"job {job.name} took longer than {job.seconds_max:g} s"
        raise TillsyncError("TS-842", said, hint="nothing of it stays; make it quicker, or raise seconds_max") from None
    except apsw.BusyError:
        raise
    except (apsw.Error, KeyError) as e:
        why = guard.why or (f"it names {e}, which is not given" if isinstance(e, KeyError) else str(e))
        raise TillsyncError("TS-840", f"job {job.name}: {why}", hint="nothing of it stays; correct its sql") from e
    finally:
        db.authorizer = None
        db.set_progress_handler(None)


class _Guard:
    """SQLite's authorizer: a job neither ends its transaction nor writes what is ours."""

    def __init__(self) -> None:
        self.why = ""

    def __call__(self, action: int, one: str | None, two: str | None, _: str | None, within: str | None) -> int:
        if action in _REFUSED:
            self.why = _REFUSED[action]
            return apsw.SQLITE_DENY
        ours = any(name and name.startswith(PREFIX) for name in (one, two))
        if ours and action not in _READS and not (within or "").startswith(PREFIX):
            self.why = f"it writes {one}, which is Tillsync's"
            return apsw.SQLITE_DENY
        return apsw.SQLITE_OK


def _prepare(db: apsw.Connection, world: World) -> None:
    if not rows(db, _sql("exists")):
        db.execute(_sql("schema"))
    db.execute(_sql("forget"), {"before": (world.now() - KEEP).isoformat()})


def _line(job: Job, slot: Slot, world: World) -> dict[str, Any]:
    date = slot.business_date.isoformat()
    at = world.now().isoformat(timespec="seconds")
    return {"job": job.name, "key": slot.key, "business_date": date, "due": slot.due.isoformat(), "at": at}


def _sql(name: str) -> str:
    return assets.query(f"till/jobs.{name}")
