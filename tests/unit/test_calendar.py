"""Opening hours: how long a shop was open between two instants, over nights, holidays and changes of the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pydantic import ValidationError

from orchestrator.core.calendar import Calendar
from orchestrator.settings_watch import CalendarSettings, span

WEEK = CalendarSettings(
    timezone="Europe/Bratislava", open=("mo-fr 08:00-18:00", "sa 08:00-12:00"), closed=("12-25", "2026-04-06")
)


def hours(settings: CalendarSettings, since: str, until: str, node: str = "T1") -> float:
    zone = Calendar(settings).of(node)
    at = [datetime.fromisoformat(text).replace(tzinfo=zone.zone) for text in (since, until)]
    return zone.open_seconds(*at) / 3600


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-11-25T09:00", "2026-11-25T10:30", 1.5),
        ("2026-11-25T17:00", "2026-11-26T09:00", 2),
        ("2026-11-28T12:00", "2026-11-30T08:00", 0),  # Saturday noon to Monday morning
        ("2026-11-28T12:00", "2026-11-30T08:30", 0.5),
        ("2026-12-24T18:00", "2026-12-28T08:00", 4),  # the 25th is closed, the Saturday is not
        ("2026-04-03T18:00", "2026-04-07T09:00", 5),  # Easter Monday of that year
        ("2026-11-25T10:00", "2026-11-25T10:00", 0),
        ("2026-11-25T10:00", "2026-11-25T09:00", 0),
    ],
)
def test_only_open_hours_count(since: str, until: str, expected: float) -> None:
    assert hours(WEEK, since, until) == pytest.approx(expected)


def test_without_hours_a_shop_is_always_open_but_on_closed_days() -> None:
    settings = CalendarSettings(closed=("12-25",))
    assert hours(settings, "2026-12-24T12:00", "2026-12-26T12:00") == pytest.approx(24)
    assert hours(CalendarSettings(), "2026-12-24T12:00", "2026-12-26T12:00") == pytest.approx(48)


def test_hours_past_midnight_belong_to_the_day_on_which_they_begin() -> None:
    bar = CalendarSettings(open=("fr 18:00-02:00",))
    assert hours(bar, "2026-11-27T12:00", "2026-11-28T12:00") == pytest.approx(8)
    assert hours(bar, "2026-11-28T01:00", "2026-11-28T12:00") == pytest.approx(1)
    friday = datetime(2026, 11, 28, 1, tzinfo=UTC)
    assert Calendar(bar).of("T1").is_open(friday)
    assert not Calendar(bar).of("T1").is_open(friday.replace(hour=2))
    assert Calendar(bar).of("T1").is_business_day(date(2026, 11, 27))
    assert not Calendar(bar).of("T1").is_business_day(date(2026, 11, 28))


@pytest.mark.parametrize(("day", "expected"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)])
def test_a_day_on_which_clocks_change_is_as_long_as_it_is(day: str, expected: float) -> None:
    always = CalendarSettings(timezone="Europe/Bratislava")
    zone = Calendar(always).of("T1")
    since = datetime.fromisoformat(day).replace(tzinfo=zone.zone)
    until = zone.at(since.date(), 24 * 60)
    assert zone.open_seconds(since, until) / 3600 == pytest.approx(expected)


def test_some_branches_have_hours_of_their_own() -> None:
    settings = CalendarSettings(
        timezone="Europe/Bratislava",
        open=("daily 08:00-18:00",),
        closed=("12-25",),
        branch=({"branches": ["T7*"], "open": ["daily 10:00-11:00"]}, {"branches": ["S1"], "timezone": "Asia/Tokyo"}),
    )
    day = ("2026-12-24T00:00", "2026-12-26T00:00")
    assert [hours(settings, *day, node) for node in ("T1", "T70", "S1")] == [10, 1, 10]
    noon = datetime(2026, 12, 24, 12, tzinfo=UTC)
    assert [Calendar(settings).of(node).is_open(noon) for node in ("T1", "T70", "S1")] == [True, False, False]


def test_a_long_silence_is_cut() -> None:
    assert hours(CalendarSettings(), "2025-01-01T00:00", "2026-01-01T00:00") == 31 * 24


def test_ranges_of_days_may_go_round_the_week() -> None:
    assert span("sa-mo 08:00-09:00").days == {5, 6, 0}
    assert span("mo,we,fr 08:00-09:00").days == {0, 2, 4}
    assert span("daily 00:00-24:00") == (frozenset(range(7)), 0, 1440)


@pytest.mark.parametrize(
    "wrong",
    [
        {"open": ["mo-fr 8-18"]},
        {"open": ["xx 08:00-18:00"]},
        {"open": ["mo 25:00-26:00"]},
        {"open": [""]},
        {"closed": ["02-30"]},
        {"closed": ["christmas"]},
        {"timezone": "Europe/Nowhere"},
        {"timezone": "../../etc/passwd"},
        {"branch": [{"branches": []}]},
    ],
)
def test_what_cannot_be_read_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CalendarSettings(**wrong)
