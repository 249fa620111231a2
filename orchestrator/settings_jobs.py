"""What head office's file says of jobs: SQL of the DBA's own on a schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from apscheduler.triggers.cron import CronTrigger
from pydantic import Field, model_validator

from orchestrator.settings_parts import Cron, Part

SECONDS_MAX = {"till": 5.0, "central": 600.0}
DAYS_LOOKED_AT = 8


class JobSettings(Part):
    """SQL that runs at head office or at every till, recorded together with what it did."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=63)]
    at: Literal["central", "till"]
    sql: Annotated[str, Field(min_length=1, max_length=100_000)]
    cron: Cron | None = None
    every_seconds: Annotated[float, Field(ge=1, le=31_536_000)] | None = None
    per: Literal["day", "run"] = "day"
    day_begins: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"
    catch_up_days: Annotated[int, Field(ge=0, le=366)] = 7
    seconds_max: Annotated[float, Field(gt=0, le=86_400)] | None = None

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if (self.every_seconds is None) == (self.cron is None):
            raise ValueError('a job has a schedule: either cron = "0 22 * * *" or every_seconds = 600')
        if self.cron is not None and self.per == "day" and _is_due_twice_a_day(self.cron):
            raise ValueError('the cron is due more than once a day; say per = "run", or it would run once')
        return self


def _is_due_twice_a_day(cron: str) -> bool:
    trigger = CronTrigger.from_crontab(cron, timezone="UTC")
    at = datetime(2024, 2, 26, tzinfo=UTC)
    for _ in range(DAYS_LOOKED_AT):
        due = trigger.get_next_fire_time(None, at)
        if due is None:
            return False
        after = trigger.get_next_fire_time(None, due + timedelta(seconds=1))
        if after is not None and after.date() == due.date():
            return True
        at = due + timedelta(days=1)
    return False
