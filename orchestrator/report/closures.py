"""Closures that are due and not there: by the tills' calendar, and by head office's table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from orchestrator import assets
from orchestrator.core.calendar import Hours
from orchestrator.settings_watch import ClosureSettings, minutes

DAY = timedelta(days=1)
NOON = 12 * 60


def due_days(hours: Hours, settings: ClosureSettings, since: datetime, now: datetime) -> list[date]:
    """The business days after `since` whose closure is due by now, of the last `days_back`; the newest first."""
    due, begun, today = minutes(settings.due), since.astimezone(hours.zone).date(), now.astimezone(hours.zone).date()
    due += 24 * 60 if due < NOON else 0
    days = (today - back * DAY for back in range(settings.days_back + 1))
    return [day for day in days if day > begun and hours.is_business_day(day) and hours.at(day, due) <= now]


def missing(
    conn: psycopg.Connection, settings: ClosureSettings, due: Mapping[str, Iterable[date]]
) -> dict[str, list[date]]:
    """Of each till's due days those that have no closure, where there are any. Raises psycopg.Error."""
    there = _there(conn, settings, min((day for days in due.values() for day in days), default=None))
    lacking = {till: [day for day in days if (till, day) not in there] for till, days in due.items()}
    return {till: days for till, days in lacking.items() if days}


def _there(conn: psycopg.Connection, settings: ClosureSettings, since: date | None) -> set[tuple[Any, Any]]:
    if since is None:
        return set()
    statement = sql.SQL(assets.query("report.closures")).format(
        table=sql.Identifier(*settings.table.split(".", 1)),
        till=sql.Identifier(settings.till),
        day=sql.Identifier(settings.day),
    )
    return set(conn.execute(statement, {"since": since}).fetchall())
