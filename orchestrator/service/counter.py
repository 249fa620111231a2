"""At the counter: what commands for the till's operator open."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from orchestrator.settings import TillSettings
from orchestrator.till import database, noticed, state


@contextmanager
def opened(settings: TillSettings) -> Iterator[apsw.Connection]:
    """The till's file. Raises TS-520 where nothing is installed, TS-880 where an earlier version was."""
    db = database.connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        with database.explained(db.filename):
            state.load(db)
            noticed.check(db)
            yield db
    finally:
        db.close()


def login() -> str:
    """Who is at the keyboard, as the operating system knows him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
