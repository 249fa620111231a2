"""Putting a backup of a till's file back. What the file was before stays aside, and the next round tells the relay.

Where the file can be read, its content is replaced through SQLite, so that an application which has it open sees the
other content rather than going on in a file that has no name any more. Where it is damaged or gone, a copy takes its
name.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from orchestrator.core.world import World
from orchestrator.errors import PersonMustDecide, TillsyncError
from orchestrator.settings import TillSettings
from orchestrator.till import state
from orchestrator.till.backup import STAMP, Copy, copy, listed, look_into, sync_directory, sync_file
from orchestrator.till.database import connect, explained, value

BESIDE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Putback:
    """What a restore does. `is_whole`: the file that is there can be read. `unsent`: its changes that the relay does
    not have, None where that cannot be told. `aside`: where it is kept, None where there was none."""

    copy: Copy
    is_whole: bool
    unsent: int | None
    aside: Path | None


def foreseen(settings: TillSettings, world: World, given: Path | None, directory: Path | None) -> Putback:
    """Looks at both files. `given`: a backup, or None for the newest of `directory` that is whole.

    Raises TillsyncError TS-890 where there is none, PersonMustDecide TS-891 for another branch's.
    """
    found = look_into(given) if given is not None else _newest(settings.node, directory)
    if found.node != settings.node:
        raise PersonMustDecide(
            "TS-891", f"{found.path} is a backup of {found.node}, and this till is {settings.node}", hint="name another"
        )
    file = settings.till.database
    aside = file.with_name(f"{file.name}.before-restore-{world.now().strftime(STAMP)}") if file.exists() else None
    unsent = _unsent(settings) if file.exists() else None
    return Putback(found, unsent is not None, unsent, aside)


def put_back(settings: TillSettings, plan: Putback, *, force: bool = False) -> None:
    """Does it, under the till's lease. Raises PersonMustDecide TS-892 where the file that is there has changes that the
    relay does not have, unless `force`: they stay in the file aside."""
    if plan.unsent and not force:
        raise PersonMustDecide(
            "TS-892",
            f"{settings.till.database} has {plan.unsent} changes that the relay does not have",
            hint="bring them home with `tillsync sync till` first, or leave them in the file aside with --force",
        )
    file = settings.till.database
    if plan.is_whole:
        assert plan.aside is not None
        _put_into(settings, plan.copy.path, plan.aside)
    else:
        was_wal = _is_wal(file)
        if plan.aside is not None:
            for suffix in BESIDE:
                with suppress(FileNotFoundError):
                    os.replace(f"{file}{suffix}", f"{plan.aside}{suffix}")
        _put_new(file, plan.copy.path, was_wal=was_wal)


def _newest(node: str, directory: Path | None) -> Copy:
    files = listed(directory, node) if directory is not None else []
    for file in files:
        with suppress(TillsyncError):
            return look_into(file)
    where = f"in {directory}" if directory is not None else "named, and [backup] directory is not set"
    raise TillsyncError("TS-890", f"no backup of {node} that is whole is {where}", hint="name the file")


def _unsent(settings: TillSettings) -> int | None:
    """None where the file is damaged, or is no till's file."""
    try:
        db = connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
        try:
            with explained(db.filename):
                pushed = state.load(db).pushed.seq
                if value(db, "PRAGMA integrity_check(1)") != "ok":
                    return None
                return int(value(db, "SELECT count(*) FROM tillsync_changelog WHERE seq > ? AND op <> 'M'", (pushed,)))
        finally:
            db.close()
    except TillsyncError as e:
        if e.code in ("TS-501", "TS-505", "TS-506", "TS-520"):
            return None
        raise


def _put_into(settings: TillSettings, source: Path, aside: Path) -> None:
    db = connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with explained(db.filename):
            copy(db, aside)
            sync_file(aside)
            read = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                with db.backup("main", read, "main") as work:
                    while not work.done:
                        work.step(-1)
            finally:
                read.close()
    finally:
        db.close()


def _put_new(file: Path, source: Path, *, was_wal: bool) -> None:
    partial = file.with_name(f".{file.name}.restored")
    shutil.copyfile(source, partial)
    if was_wal:  # the journal mode is the application's
        db = apsw.Connection(str(partial))
        db.pragma("journal_mode", "wal")
        db.close()
    sync_file(partial)
    os.replace(partial, file)
    sync_directory(file.parent)


def _is_wal(file: Path) -> bool:
    """As the file's header says (SQLite's file format, 1.3.3)."""
    try:
        with file.open("rb") as opened:
            return opened.read(20)[18:20] == b"\x02\x02"
    except OSError:
        return False
