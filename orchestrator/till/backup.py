"""A till's file onto another medium: copied while the application sells, checked, and only then named as a backup."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

from orchestrator.core.world import World
from orchestrator.errors import Busy, TillsyncError, UsageError
from orchestrator.log import logger
from orchestrator.settings import TillSettings
from orchestrator.till import state
from orchestrator.till.database import connect, explained, rows, transaction, value

STEP_PAGES = 512
PAUSE_SECONDS = 0.005
RESTARTS_MAX = 3
"""Where the application writes to a file without a WAL, the copy begins anew; in the end it is made in one go."""

STAMP = "%Y%m%dT%H%M%SZ"
PRIVATE = 0o600

log = logger("till.backup")


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup that was looked into. `unsent`: changes in it that the relay did not have then."""

    path: Path
    at: datetime
    node: str
    tick: int
    bytes: int
    unsent: int


def backup(
    settings: TillSettings,
    world: World,
    directory: Path,
    *,
    keep: int,
    same_device: bool = False,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Copy:
    """Makes a backup and removes those beyond `keep`. Where `is_stopped` says so it is given up: Busy TS-897.

    Raises UsageError TS-887 for the disk that the file itself is on, TS-888 where the directory is not there,
    TillsyncError TS-889 where the copy is not whole: the earlier backups stay then.
    """
    check_place(settings.till.database, directory, same_device=same_device)
    db = connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with explained(db.filename):
            node = state.load(db).node or settings.node
            at = world.now().astimezone(UTC)
            final = directory / f"{node}-{at.strftime(STAMP)}.db"
            partial = directory / f".{final.name}.part"
            for left in directory.glob(f".{node}-*.db.part"):
                left.unlink()  # of a process that was killed
            try:
                copy(db, partial, is_stopped)
                checked = look_into(partial)
                world.crash("backup.checked")
                _settle(partial, final)
            finally:
                partial.unlink(missing_ok=True)
            _remember(db, at, final)
    finally:
        db.close()
    for old in listed(directory, node)[keep:]:
        old.unlink()
    return Copy(final, at, checked.node, checked.tick, checked.bytes, checked.unsent)


def check_place(file: Path, directory: Path, *, same_device: bool) -> None:
    """Raises UsageError TS-888 or TS-887 where a backup must not go there. No directory is made: where a medium is not
    mounted, the place that it should be at is on the till's own disk."""
    if not directory.is_dir():
        raise UsageError("TS-888", f"{directory} is not there", hint="see whether the medium is in its place")
    if not same_device and file.exists() and file.stat().st_dev == directory.stat().st_dev:
        raise UsageError(
            "TS-887",
            f"{directory} is on the disk of {file}: what breaks the one breaks the other",
            hint="name another medium, or say that it is meant with --same-device",
        )


def copy(db: apsw.Connection, to: Path, is_stopped: Callable[[], bool] = lambda: False) -> None:
    """The whole file as it is at one moment, as one file. The application goes on writing meanwhile.

    With a WAL a reader is in nobody's way. Without one he is, so the copy is first made beside the till's file, on a
    disk that is quick, in small steps.
    """
    file = Path(db.filename)
    if str(db.pragma("journal_mode")).lower() == "wal":
        with _target(to) as target, _moment(db), target.backup("main", db, "main") as work:
            while not work.done:
                _go_on(is_stopped)
                work.step(STEP_PAGES)
        return
    beside = file.with_name(f".{file.name}.copying")
    try:
        with _target(beside) as target:
            _in_steps(target, db, is_stopped)
        to.unlink(missing_ok=True)
        shutil.copyfile(beside, to)
        to.chmod(PRIVATE)
    finally:
        beside.unlink(missing_ok=True)


def _go_on(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise Busy("TS-897", "the backup was given up", hint="it is made when the service runs again")


def _in_steps(target: apsw.Connection, source: apsw.Connection, is_stopped: Callable[[], bool]) -> None:
    with target.backup("main", source, "main") as work:
        restarts, left = 0, None
        while not work.done:
            _go_on(is_stopped)
            with _moment(source):
                work.step(STEP_PAGES if restarts <= RESTARTS_MAX else -1)
            restarts += left is not None and work.remaining > left
            left = work.remaining
            time.sleep(PAUSE_SECONDS)


@contextmanager
def _target(to: Path) -> Iterator[apsw.Connection]:
    to.unlink(missing_ok=True)
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    target = apsw.Connection(str(to))
    try:
        target.pragma("synchronous", "OFF")  # it is synced once, when it is whole
        yield target
        target.pragma("journal_mode", "delete")  # nothing of it is in a file beside it
    finally:
        target.close()


@contextmanager
def _moment(db: apsw.Connection) -> Iterator[None]:
    """A read transaction, for which the application's lock is waited for; a copy by itself would not wait."""
    db.execute("BEGIN")
    try:
        value(db, "SELECT count(*) FROM sqlite_master")
        yield
    finally:
        db.execute("ROLLBACK")


def look_into(file: Path, at: datetime | None = None) -> Copy:
    """Reads a backup through. Raises TillsyncError TS-889 where it is damaged, or no till's file."""
    try:
        db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            found = str(value(db, "PRAGMA integrity_check(1)"))
            if found != "ok":
                raise TillsyncError("TS-889", f"the copy {file} is damaged: {found}", hint="look at the medium")
            now = state.load(db)
            unsent = int(
                value(db, "SELECT count(*) FROM tillsync_changelog WHERE seq > ? AND op <> 'M'", (now.pushed.seq,))
            )
        finally:
            db.close()
    except apsw.Error as e:
        raise TillsyncError("TS-889", f"the copy {file} cannot be read: {e}", hint="look at the medium") from e
    made = at or made_at(file) or datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return Copy(file, made, now.node or "", now.tick, file.stat().st_size, unsent)


def listed(directory: Path, node: str) -> list[Path]:
    """The backups of a till, newest first."""
    if not directory.is_dir():
        raise UsageError("TS-888", f"{directory} is not there", hint="see whether the medium is in its place")
    named = re.compile(rf"{re.escape(node)}-\d{{8}}T\d{{6}}Z\.db")
    return sorted((f for f in directory.iterdir() if named.fullmatch(f.name)), key=lambda f: f.name, reverse=True)


def made_at(file: Path) -> datetime | None:
    """When a backup was made, by its name."""
    found = re.search(r"-(\d{8}T\d{6}Z)\.db$", file.name)
    return datetime.strptime(found[1], STAMP).replace(tzinfo=UTC) if found else None


def last_at(db: apsw.Connection) -> str | None:
    """When the newest backup of this file was made; None where there is none."""
    return value(db, "SELECT at FROM tillsync_backup") if _can_note(db) else None


def _can_note(db: apsw.Connection) -> bool:
    """Not in a file of an earlier version, until its agent has brought it up to date."""
    return bool(rows(db, "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'tillsync_backup'"))


def sync_directory(directory: Path) -> None:
    """A new name is on the disk, too. Windows does so by itself."""
    if os.name != "nt":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_file(file: Path) -> None:
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())


def _settle(partial: Path, final: Path) -> None:
    sync_file(partial)
    os.replace(partial, final)
    sync_directory(final.parent)


def _remember(db: apsw.Connection, at: datetime, final: Path) -> None:
    """Its age is told from the file itself: a medium that is gone would not tell."""
    given = (at.isoformat(), str(final), final.stat().st_size)
    try:
        with transaction(db):
            if not _can_note(db):
                return
            db.execute("INSERT OR REPLACE INTO tillsync_backup (one, at, path, bytes) VALUES (1, ?, ?, ?)", given)
    except Busy as e:
        log.warning("not noted", error=str(e), backup=str(final))
