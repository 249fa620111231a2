"""What the till's operator has to see and do: notices that are due, acknowledged, and forgotten in the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import apsw

from orchestrator import assets
from orchestrator.errors import ConfigError, UsageError
from orchestrator.till.database import rows, transaction

KEEP_DAYS = 90
"""So long it can be asked who acknowledged what."""

SUM_UP_DAYS = 7
"""Older changes of one value are summed up. Who prints a list acknowledges it sooner."""

PAST_MAX = 1_000
SLICE = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """A value that is another one than when somebody last acknowledged it. `old` or `new` is None also where the row
    was not there; `at` is the newest change's, `since` the oldest's. `acked`, `acked_by`: only of past ones."""

    id: int
    kind: str
    table: str
    till: str
    key: tuple[Any, ...]
    column: str
    old: Any
    new: Any
    tick: int
    since: str
    at: str
    acked: str | None = None
    acked_by: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; bytes as hexadecimal digits."""
        return {n: v.hex() if isinstance(v, bytes) else v for n, v in asdict(self).items()}


def check(db: apsw.Connection) -> None:
    """Raises ConfigError TS-880 where the file's tables are of a version that had no such list."""
    if not _is_there(db):
        raise ConfigError(
            "TS-880",
            f"the Tillsync tables of {db.filename} are of an earlier version",
            hint="run `tillsync install till`",
        )


def due(db: apsw.Connection, kind: str | None = None) -> list[Notice]:
    """What is to be done, oldest first."""
    found = rows(db, assets.query("till.notices.due"), (kind,))
    return [Notice(i, k, c, t, _key(key), *rest) for i, k, c, t, key, *rest in found]


def past(db: apsw.Connection, kind: str | None = None) -> list[Notice]:
    """What was acknowledged, newest first, bounded by PAST_MAX."""
    found = rows(db, assets.query("till.notices.past"), (kind, PAST_MAX))
    return [
        Notice(i, k, c, t, _key(key), column, old, new, tick, at, at, acked, who)
        for i, k, c, t, key, column, old, new, tick, at, acked, who in found
    ]


def ack(db: apsw.Connection, ids: Sequence[int], who: str, at: datetime) -> None:
    """Acknowledges notices as they were listed: a value that changed since is due again, from what was listed.

    Raises UsageError TS-881 for a number that is not there, and then nothing is done. The till's lock is held for some
    hundred at a time.
    """
    for number in ids:
        if not rows(db, "SELECT 1 FROM tillsync_notice WHERE id = ?", (number,)):
            raise UsageError("TS-881", f"there is no notice {number}", hint="`tillsync notices list` shows them")
    for first in range(0, len(ids), SLICE):
        with transaction(db):
            given = [{"id": n, "who": who, "at": at.isoformat()} for n in ids[first : first + SLICE]]
            db.executemany(assets.query("till.notices.ack"), given)


def counts(db: apsw.Connection) -> dict[str, dict[str, Any]]:
    """Per kind how many are due and since when; empty where there are none, or the file's tables are too old."""
    if not _is_there(db):
        return {}
    return {kind: {"due": n, "since": since} for kind, n, since in rows(db, assets.query("till.notices.counts"))}


def tidy(db: apsw.Connection, now: datetime) -> None:
    """Forgets what was acknowledged long ago, and sums up what nobody acknowledges, so that neither grows for ever."""
    if not _is_there(db):
        return
    with transaction(db):
        before = {"before": (now - timedelta(days=SUM_UP_DAYS)).isoformat()}
        for block in ("forget_nothing", "join_ends", "drop_between"):
            db.execute(assets.query(f"till.notices.{block}"), before)
        before = {"before": (now - timedelta(days=KEEP_DAYS)).isoformat()}
        db.execute(assets.query("till.notices.forget_acked"), before)


def _is_there(db: apsw.Connection) -> bool:
    return bool(rows(db, "SELECT 1 FROM main.sqlite_master WHERE type = 'view' AND name = 'tillsync_notice_due'"))


def _key(text: str) -> tuple[Any, ...]:
    return tuple(json.loads(text))
