"""Jobs of the DBA's own: SQL that runs at head office or at the tills on a schedule, once per business date."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

import msgspec

from orchestrator.settings_jobs import SECONDS_MAX, JobSettings


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """`sql` may have several statements, and names `:business_date`, `:node` and `:now`.

    per: `day`, once per business date however often it is due; `run`, each time. day_begins: until then it is still
    the business date of the day before. catch_up_days: how far back what was missed is made good. seconds_max: then it
    is broken off, and nothing of it stays.
    """

    name: str
    sql: str
    cron: str | None = None
    every_seconds: float | None = None
    per: str = "day"
    day_begins: str = "00:00"
    catch_up_days: int = 7
    seconds_max: float = 5.0


class Slot(NamedTuple):
    """One run of a job. key: under which it is recorded, so that it happens once; '' for one that is not dated."""

    key: str
    business_date: date
    due: datetime


def of_settings(jobs: Iterable[JobSettings], at: str) -> tuple[Job, ...]:
    """The jobs of one kind of place, `central` or `till`."""
    named = {"name", "sql", "cron", "every_seconds", "per", "day_begins", "catch_up_days"}
    return tuple(
        Job(**job.model_dump(include=named), seconds_max=job.seconds_max or SECONDS_MAX[at])
        for job in jobs
        if job.at == at
    )
