"""What the agent watches a till's file by: SQLite's own count of changes of its schema."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5

import apsw

from orchestrator import __version__
from orchestrator.till.database import rows, transaction, value

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


def missing_columns(db: apsw.Connection) -> Iterator[str]:
    """The statements that bring on the table of a version that did not note which plan it took."""
    there = {c[1] for c in rows(db, "PRAGMA main.table_info(tillsync_watch)")}
    for name, kind in (("plan_digest", "TEXT"), ("plan_top", "INTEGER")):
        if there and name not in there:
            yield f"ALTER TABLE tillsync_watch ADD COLUMN {name} {kind}"


def bring_on(db: apsw.Connection) -> None:
    """Makes of an earlier version's table what this one needs."""
    with transaction(db):
        for statement in missing_columns(db):
            db.execute(statement)


def plan_is_read(db: apsw.Connection, version: int, digest: str | None) -> bool:
    """Whether the till has the relay's plan, which is of that version and MD5 (None: a relay that does not tell).

    It has to be taken again where another version of Tillsync took it, which may not have kept all of it. Where head
    office and the relay have lost the till's, there may be another of the same version.
    """
    try:
        found = rows(db, "SELECT software, plan_version, plan_digest FROM tillsync_watch, tillsync_state")
    except apsw.SQLError:  # installed by a version that did not note it
        return False
    ((software, mine, noted),) = found
    return bool(software == __version__ and version <= mine and (version < mine or digest in (None, noted)))


def digest_of(body: str) -> str:
    """As the relay tells it of its plan."""
    return md5(body.encode(), usedforsecurity=False).hexdigest()


def noted_digest(db: apsw.Connection) -> str | None:
    """The MD5 of the plan that the till has, None where it was not noted."""
    try:
        found: str | None = value(db, "SELECT plan_digest FROM tillsync_watch")
    except apsw.SQLError:  # installed by a version that did not note it
        return None
    return found


def note_plan(db: apsw.Connection, digest: str, top: int) -> None:
    """The till has taken the plan of that MD5, when the relay's newest tick was `top`."""
    db.execute("UPDATE tillsync_watch SET software = ?, plan_digest = ?, plan_top = ?", (__version__, digest, top))


def plan_top(db: apsw.Connection, top: int) -> int:
    """Ticks above this one were made when the till had its plan. `top`: the relay's newest, above which all were."""
    noted = value(db, "SELECT plan_top FROM tillsync_watch")
    if noted is not None and noted <= top:
        return int(noted)
    db.execute("UPDATE tillsync_watch SET plan_top = ?", (top,))
    return top
