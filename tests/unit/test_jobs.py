"""When jobs are due, which business date that is, and how their SQL is filled in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.central.jobs import filled
from orchestrator.core.jobs import Job
from orchestrator.service.schedules import slot, slots, wakes_at
from orchestrator.settings_jobs import JobSettings

ZONE = "Europe/Bratislava"
CLOSE = Job("close", "SELECT 1", cron="30 2 * * *")
VALUES = {"business_date": date(2026, 3, 1), "node": "T'1", "now": datetime(2026, 3, 1, tzinfo=UTC)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_every_day_is_due_once_over_a_change_of_the_clocks() -> None:
    """On 29 March 2026 there is no 02:30, on 26 October 2025 there are two; a job runs once under each key."""
    for begin, end in ((at("2026-03-26"), at("2026-04-02")), (at("2025-10-22"), at("2025-10-29"))):
        found = list(slots(CLOSE, ZONE, begin, end))
        assert list(dict.fromkeys(s.key for s in found)) == [
            (begin.date() + timedelta(days=n)).isoformat() for n in range(7)
        ]
        assert sorted({s.due for s in found}) == [s.due for s in found]


def test_what_was_missed_is_due_as_far_back_as_the_job_says() -> None:
    since, now = at("2026-01-01T12:00"), at("2026-02-01T12:00")
    assert [s.key for s in slots(CLOSE, "UTC", since, now)] == [f"2026-01-{d}" for d in range(26, 32)] + ["2026-02-01"]
    today = Job("close", "", cron="30 2 * * *", catch_up_days=0)
    assert list(slots(today, "UTC", since, now)) == []
    assert [s.key for s in slots(today, "UTC", since, at("2026-02-01T02:31"))] == ["2026-02-01"]
    assert wakes_at(CLOSE, "UTC", now) == at("2026-02-02T02:30")


def test_a_shop_that_closes_after_midnight_closes_the_day_before() -> None:
    late = Job("close", "", cron="30 2 * * *", day_begins="05:00")
    assert slot(late, ZONE, at("2026-03-02T01:30")).business_date == date(2026, 3, 1)
    assert slot(late, ZONE, at("2026-03-02T12:00")).business_date == date(2026, 3, 2)


def test_jobs_that_run_each_time_and_jobs_without_dates() -> None:
    hourly = Job("stamp", "", cron="0 * * * *", per="run")
    since, now = at("2026-03-01T00:30"), at("2026-03-01T03:30")
    assert [s.key for s in slots(hourly, "UTC", since, now)] == [f"2026-03-01T0{h}:00+00:00" for h in (1, 2, 3)]
    pulse = Job("pulse", "", every_seconds=600)
    assert [s.key for s in slots(pulse, "UTC", since, now)] == [""], "what an interval missed is not made good"
    assert list(slots(pulse, "UTC", since, since + timedelta(seconds=599))) == []
    assert wakes_at(pulse, "UTC", since) == since + timedelta(seconds=600)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either cron"),
        ({"cron": "0 2 * * *", "every_seconds": 5}, "either cron"),
        ({"cron": "0 2,3 * * *"}, "more than once a day"),
        ({"cron": "61 2 * * *"}, "cron"),
        ({"cron": "0 2 * * *", "day_begins": "24:00"}, "day_begins"),
    ],
)
def test_schedules_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        JobSettings(name="close", at="till", sql="SELECT 1", **given)
    assert JobSettings(name="close", at="till", sql="SELECT 1", cron="0 2,3 * * *", per="run").per == "run"
    assert JobSettings(name="close", at="till", sql="SELECT 1", cron="0 2 * * 1,5").per == "day"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("SELECT :business_date::date, :node", "SELECT '2026-03-01'::date::date, 'T''1'"),
        ("SELECT ':node' AS \":node\" -- :node", "SELECT ':node' AS \":node\" -- :node"),
        ("SELECT $x$ :node $x$ || $$:node$$ /* :node\n */", "SELECT $x$ :node $x$ || $$:node$$ /* :node\n */"),
        ("SELECT 'it''s', :nodes, x[1:n], '%', {}", "SELECT 'it''s', :nodes, x[1:n], '%', {}"),
    ],
)
def test_a_jobs_sql_is_filled_in_outside_of_quotes(text: str, made: str) -> None:
    assert filled(text, VALUES).as_string(None) == made
