"""Opening a till's file, its transactions and savepoints, and what SQLite's errors mean here.

One modern SQLite (apsw's own) is used everywhere, whatever the application was built with. journal_mode is the
application's and is never changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from orchestrator.errors import Busy, TillsyncError

BUSY_MS = 5_000
"""How long a statement waits for the application's lock before the run gives up and comes back later."""

CACHE_KIB = 16 * 1024


def connect(path: str | Path, *, busy_ms: int = BUSY_MS) -> apsw.Connection:
    """Opens the till's file, which must exist. Foreign keys are off: the stream says what happens to every row.

    Raises TS-501 where it is not SQLite, TS-502 where it cannot be opened.
    """
    file = Path(path)
    with explained(str(file)):
        if not file.is_file():
            raise TillsyncError(
                "TS-502", f"{file} is not there", hint="set [till] database to the file of the till's application"
            )
        db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.set_busy_timeout(busy_ms)
            _prepare(db)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: apsw.Connection) -> None:
    # The first page is read here: a file that is something else is found before anything is done with it.
    journal = str(db.pragma("journal_mode")).lower()
    # In WAL a FULL commit is on the disk. With a rollback journal only EXTRA also syncs the unlink of the journal.
    db.pragma("synchronous", "FULL" if journal == "wal" else "EXTRA")
    db.pragma("foreign_keys", False)
    db.pragma("recursive_triggers", False)
    db.pragma("temp_store", "MEMORY")
    db.pragma("cache_size", -CACHE_KIB)


def rows(db: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query at once: nothing stays open on the file."""
    return db.execute(sql, values).fetchall()


def value(db: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> Any:
    """The first column of the first row, or None where there is none."""
    row = db.execute(sql, values).fetchone()
    return None if row is None else row[0]


def make_temp(db: apsw.Connection, name: str, columns: str) -> None:
    """An empty temporary table, made anew: the one of the last time may be of a table that had another key then."""
    db.execute(f"DROP TABLE IF EXISTS temp.{name}")
    db.execute(f"CREATE TEMP TABLE {name} ({columns})")


@contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """One write transaction. IMMEDIATE: a read that becomes a write is refused at once when another one wrote."""
    with explained(db.filename):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


@contextmanager
def savepoint(db: apsw.Connection, name: str = "tillsync") -> Iterator[None]:
    """A part of a transaction that can be taken back alone."""
    db.execute(f"SAVEPOINT {name}")
    try:
        yield
    except BaseException:
        # Some errors (disk full) end the whole transaction; then there is nothing left to go back to.
        if db.in_transaction:
            db.execute(f"ROLLBACK TO {name}")
            db.execute(f"RELEASE {name}")
        raise
    db.execute(f"RELEASE {name}")


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns SQLite's errors into ours: one line that says which file, what, and what to do."""
    try:
        yield
    except apsw.NotADBError as e:
        raise TillsyncError(
            "TS-501", f"{path} is not a SQLite database", hint="set [till] database to the till's file"
        ) from e
    except apsw.CantOpenError as e:
        raise TillsyncError("TS-502", f"{path} cannot be opened: {e}", hint="check the path and its rights") from e
    except (apsw.BusyError, apsw.LockedError) as e:
        raise Busy("TS-503", f"{path} is locked by another program", hint="it is tried again in the next round") from e
    except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.PermissionsError) as e:
        raise TillsyncError("TS-504", f"{path} cannot be written: {e}", hint="check the disk and its free space") from e
    except apsw.CorruptError as e:
        raise TillsyncError(
            "TS-505", f"{path} is damaged: {e}", hint="restore it from a backup, then `tillsync reload`"
        ) from e
    except apsw.SQLError as e:
        raise TillsyncError("TS-506", f"{path}: {e}", hint="run `tillsync check till`") from e
