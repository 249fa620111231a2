"""When what is scheduled is due: cron lines in a time zone, and intervals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from orchestrator.core.jobs import Job, Slot

SECOND = timedelta(seconds=1)


@lru_cache(maxsize=256)
def _trigger(cron: str, zone: str) -> CronTrigger:
    return CronTrigger.from_crontab(cron, timezone=ZoneInfo(zone))


def next_due(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first time after an instant at which the cron line is due; UTC. None where that never is again."""
    found = _trigger(cron, zone).get_next_fire_time(None, after + SECOND)
    return None if found is None else found.astimezone(UTC)


def slots(job: Job, zone: str, since: datetime, now: datetime) -> Iterator[Slot]:
    """What of a job is due after `since`, up to now, oldest first; of one that has no dates the newest alone."""
    if job.every_seconds is not None:
        if (now - since).total_seconds() >= job.every_seconds:
            yield slot(job, zone, now)
        return
    assert job.cron is not None
    at = max(since, now - timedelta(days=job.catch_up_days, seconds=1))
    if job.catch_up_days == 0:
        at = max(since, now - timedelta(hours=1))
    while (due := next_due(job.cron, zone, at)) is not None and due <= now:
        yield slot(job, zone, due)
        at = due


def slot(job: Job, zone: str, due: datetime) -> Slot:
    """The run that is due at an instant. A day of business begins at `day_begins`, so that a shop may close after
    midnight."""
    local = due.astimezone(ZoneInfo(zone))
    begins = time.fromisoformat(job.day_begins)
    date = local.date() if local.time() >= begins else local.date() - timedelta(days=1)
    key = ""
    if job.cron is not None:
        key = date.isoformat() if job.per == "day" else local.isoformat(timespec="minutes")
    return Slot(key, date, due.astimezone(UTC))


def wakes_at(job: Job, zone: str, since: datetime) -> datetime | None:
    """When the job has to be looked at again."""
    if job.every_seconds is not None:
        return since + timedelta(seconds=job.every_seconds)
    assert job.cron is not None
    return next_due(job.cron, zone, since)


def in_window(window: str, zone: str, now: datetime) -> bool:
    """Whether the clock on the wall is in `22:00-06:00`, say; the end is not."""
    begin, end = (time.fromisoformat(text) for text in window.split("-"))
    local = now.astimezone(ZoneInfo(zone)).time()
    return begin <= local < end if begin < end else local >= begin or local < end
