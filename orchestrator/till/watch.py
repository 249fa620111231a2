"""What the agent watches a till's file by: SQLite's own count of changes of its schema."""

from __future__ import annotations

import apsw

from orchestrator import __version__
from orchestrator.till.database import rows, value

NOTE = "UPDATE tillsync_watch SET schema_version = (SELECT schema_version FROM pragma_schema_version)"
"""Run in the transaction that found, or put, everything in order."""

DISTRUST = "UPDATE tillsync_watch SET schema_version = -1"
"""The agent is to look at everything in its next round."""


def changed(db: apsw.Connection) -> bool:
    """Whether the file's schema is another than when everything was last found in order."""
    try:
        seen = value(db, "SELECT schema_version FROM tillsync_watch")
    except apsw.SQLError:  # installed by a version that did not watch
        return True
    return bool(seen != value(db, "PRAGMA main.schema_version"))


def exists(db: apsw.Connection) -> bool:
    return bool(rows(db, "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'tillsync_watch'"))


def plan_is_read(db: apsw.Connection) -> bool:
    """Whether this version of Tillsync took the plan that is stored: an older one may not have kept all of it."""
    return exists(db) and value(db, "SELECT software FROM tillsync_watch") == __version__


def note_plan(db: apsw.Connection) -> None:
    db.execute("UPDATE tillsync_watch SET software = ?", (__version__,))
