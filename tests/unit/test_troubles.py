"""What is wrong, out of a status: each limit on both its sides, and nothing said of what nobody can know."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core import skew
from orchestrator.core.calendar import Calendar
from orchestrator.relay.certificates import first_end, not_after
from orchestrator.report import closures, said, troubles
from orchestrator.settings_watch import CalendarSettings, ClosureSettings, WatchSettings

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday

BRANCH: dict[str, Any] = {
    "node": "T1",
    "state": "active",
    "created_at": NOW - timedelta(days=30),
    "parked": 0,
    "forbidden": 0,
    "conflicts_last_hour": 0,
    "undecided": 0,
    "report_age_seconds": 5.0,
    "is_left_behind": False,
    "lag_ticks": 0,
    "lag_seconds": 0.0,
    "errors": [],
    "lacks": [],
    "set_aside": 0,
    "other_machine_at": None,
    "clock_skew_seconds": 0.1,
    "certificate_days": 100.0,
    "disk_free_bytes": 10**12,
    "backup_at": None,
}
CENTRAL: dict[str, Any] = {"running": True, "drifted": [], "clock_skew_seconds": 0.0, "certificate_days": None}


def found(
    *, branch: dict[str, Any] | None = None, central: dict[str, Any] | None = None, relay: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    chain = {
        "central": CENTRAL | (central or {}),
        "relay": relay or {"tick": 1},
        "branches": [BRANCH | (branch or {})],
    }
    calendar = Calendar(CalendarSettings(open=("mo-fr 08:00-18:00",)))
    return [(t.cause, t.subject) for t in troubles.of_central(chain, WatchSettings(), calendar, NOW)]


def test_a_chain_that_is_well_has_no_troubles() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("branch", "cause"),
    [
        ({"report_age_seconds": 901.0}, "silent"),
        ({"report_age_seconds": None}, "silent"),
        ({"parked": 1}, "parked"),
        ({"parked": 1, "forbidden": 1}, "forbidden"),
        ({"conflicts_last_hour": 1}, "conflicts"),
        ({"undecided": 1}, "undecided"),
        ({"lag_seconds": 901.0, "lag_ticks": 2}, "lag"),
        ({"is_left_behind": True}, "lag"),
        ({"errors": ["TS-503 locked"]}, "failing"),
        ({"lacks": ["no column"]}, "schema"),
        ({"set_aside": 3}, "set_aside"),
        ({"other_machine_at": "2026"}, "machine"),
        ({"clock_skew_seconds": -31.0}, "clock"),
        ({"certificate_days": 20.9}, "certificate"),
        ({"disk_free_bytes": 499 * 10**6}, "disk"),
        ({"backup_at": NOW - timedelta(days=7, minutes=1)}, "backup"),
        ({"labels_late": 3, "labels_since": NOW - timedelta(hours=24, minutes=1)}, "labels"),
    ],
)
def test_a_branch_in_trouble(branch: dict[str, Any], cause: str) -> None:
    assert found(branch=branch) == [(cause, "T1")]
    assert found(branch={**branch, "state": "retired"}) == [], "a retired branch is nobody's trouble"


@pytest.mark.parametrize(
    "branch",
    [
        {"report_age_seconds": 899.0},
        {"report_age_seconds": None, "created_at": NOW - timedelta(minutes=14)},
        {"lag_seconds": 899.0, "lag_ticks": 2},
        {"lag_seconds": None},
        {"clock_skew_seconds": 30.0},
        {"clock_skew_seconds": None},
        {"certificate_days": 21.0},
        {"certificate_days": None},
        {"disk_free_bytes": None},
        {"backup_at": NOW - timedelta(days=6)},
        {"labels_late": 3, "labels_since": NOW - timedelta(hours=23)},
        {"labels_late": 0, "labels_since": NOW - timedelta(days=9)},
        {"labels_late": None, "labels_since": None},
    ],
)
def test_up_to_the_limit_all_is_well(branch: dict[str, Any]) -> None:
    assert found(branch=branch) == []


def test_of_a_silent_till_nothing_else_is_said() -> None:
    old = {"report_age_seconds": 5_000.0, "errors": ["old"], "clock_skew_seconds": 99.0, "parked": 2}
    assert found(branch=old) == [("parked", "T1"), ("silent", "T1")]


def test_a_till_whose_shop_is_closed_is_not_missed() -> None:
    night = {"report_age_seconds": 4 * 3600 + 14 * 60.0}  # since ten to eight, when the shop was about to open
    assert found(branch=night) == [("silent", "T1")]
    chain = {"central": CENTRAL, "relay": {"tick": 1}, "branches": [BRANCH | {"report_age_seconds": 14 * 3600.0}]}
    calendar = Calendar(CalendarSettings(open=("mo-fr 08:00-18:00",)))
    morning = NOW.replace(hour=8, minute=14)
    assert troubles.of_central(chain, WatchSettings(), calendar, morning) == []
    assert troubles.of_central(chain, WatchSettings(), calendar, morning + timedelta(minutes=2)) != []


def test_without_the_relay_only_what_head_office_knows_is_said() -> None:
    said = found(relay={"error": "TS-400 away"}, branch={"report_age_seconds": None, "parked": 1})
    assert said == [("relay", "central"), ("parked", "T1")]


@pytest.mark.parametrize(
    ("central", "cause"),
    [
        ({"running": False}, "stopped"),
        ({"drifted": [{"tab": "public.item", "gone": False}]}, "drift"),
        ({"clock_skew_seconds": 31.0}, "clock"),
        ({"database_skew_seconds": -31.0}, "clock"),
        ({"certificate_days": -1.0}, "certificate"),
    ],
)
def test_head_office_in_trouble(central: dict[str, Any], cause: str) -> None:
    assert found(central=central) == [(cause, "central")]


def test_a_till_tells_of_itself() -> None:
    well = {"node": "T1", "running": True, "last_round_at": NOW, "waiting": 0, "held": 0, "set_aside": 0}

    def of(**changed: Any) -> list[str]:
        return [t.cause for t in troubles.of_till(well | changed, NOW)]

    assert of() == of(last_round_at=NOW - timedelta(minutes=15)) == []
    assert of(last_round_at=NOW - timedelta(minutes=16)) == of(last_round_at=None) == ["rounds"]
    assert of(running=False, last_round_at=None) == ["stopped"], "who does not run makes no rounds"
    assert of(waiting=1, held=2, set_aside=3) == ["waiting", "parked", "set_aside"]


def test_which_closures_are_due() -> None:
    hours = Calendar(
        CalendarSettings(timezone="Europe/Bratislava", open=("mo-fr 08:00-18:00",), closed=("2026-11-23",))
    ).of("T1")
    long_ago = NOW - timedelta(days=99)

    def days(now: datetime, since: datetime = long_ago, **said: Any) -> list[int]:
        return [d.day for d in closures.due_days(hours, ClosureSettings(table="closure", **said), since, now)]

    late = NOW.replace(hour=22, minute=29)  # 23:29 in Bratislava
    assert days(late) == [24, 20, 19, 18], "weekends and closed days are not due, nor what is older than a week"
    assert days(late + timedelta(minutes=1)) == [25, 24, 20, 19, 18]
    assert days(NOW, due="06:00") == [24, 20, 19, 18], "before noon it is due on the next day"
    assert days(NOW.replace(hour=4, minute=59), due="06:00") == [20, 19, 18]
    assert days(late, since=NOW - timedelta(days=5)) == [24], "and not from before the branch was"
    assert days(late, days_back=1) == [24]


def test_a_till_is_believed_what_can_be_true() -> None:
    assert said.text("\x1b[31m\nroot") == "[31m root", "nothing that moves a terminal's cursor"
    assert len(said.text("x" * 5_000) or "") == 1_000
    assert said.texts(["a", 1, None, ["b"]] + ["c"] * 500)[:2] == ["a", "c"]
    assert [said.count(v) for v in (3, True, -1, 2**63, 1.0, "3", None)] == [3, None, None, None, None, None, None]
    assert said.seconds(1e12) is said.number(float("nan")) is said.number("1") is None
    assert said.instant("2026-11-25T13:00:00+01:00") == NOW
    assert said.instant("2026-11-25T12:00:00") == NOW
    assert said.instant("9999-12-31T23:59:59-23:59") is said.instant(7) is said.instant("today") is None
    assert said.by_relay(NOW, 3600.0) == NOW - timedelta(hours=1)


def test_a_clock_is_compared_with_the_middle_of_the_journey() -> None:
    asked, answered = NOW, NOW + timedelta(seconds=2)
    middle = NOW.timestamp() + 1

    def off(theirs: float | None) -> float | None:
        return skew.seconds(theirs, asked, answered)

    assert off(None) is None
    assert off(middle) == off(middle + 0.9) == off(middle - 0.9) == 0, "a slow line is no wrong clock"
    assert off(middle - 61) == 60
    assert off(middle + 61) == -60
    assert skew.seconds(NOW.timestamp() + 1, NOW, NOW) == -1


# openssl req -x509 -days 3650 and -days 36500, Ed25519: the one ends in the 2030s, the other is past UTCTime
SHORT = (
    "MIIBLDCB36ADAgECAhQFuwZXCX0BlNW5NIcZdnQOkSVi3TAFBgMrZXAwDDEKMAgGA1UEAwwBcjAeFw0yNjExMjUyMTQ3MTNaFw0z"
    "NjExMjIyMTQ3MTNaMAwxCjAIBgNVBAMMAXIwKjAFBgMrZXADIQBtlgy+yo1iV6ue7++DMelP4Lxb8YTf5cJqQUDbdczUhqNTMFEw"
    "HQYDVR0OBBYEFGkzXScmTK0YljW8hia9yur7f18UMB8GA1UdIwQYMBaAFGkzXScmTK0YljW8hia9yur7f18UMA8GA1UdEwEB/wQF"
    "MAMBAf8wBQYDK2VwA0EAjEfNr4X/MQsMp/o6Il76IVEi/ZSlBCZdI6adsvT27CUbEVmYj+n/gSbwwTiDRZtW5X6ki3mVWAq2o/2A"
    "DscPBw=="
)
LONG = (
    "MIIBLjCB4aADAgECAhROAy6tiAvCByS/i2SCC9RRgAXaqzAFBgMrZXAwDDEKMAgGA1UEAwwBcjAgFw0yNjExMjUyMTQ3MTNaGA8y"
    "MTI2MTEwMTIxNDcxM1owDDEKMAgGA1UEAwwBcjAqMAUGAytlcAMhAGkkaYY9QuFVUJfUNnOJQOvXuAyQViwZCDV6KzVIkY+Eo1Mw"
    "UTAdBgNVHQ4EFgQUOIJLpZlOxXgtuJ31syNis0wG6i0wHwYDVR0jBBgwFoAUOIJLpZlOxXgtuJ31syNis0wG6i0wDwYDVR0TAQH/"
    "BAUwAwEB/zAFBgMrZXADQQCFI1Am84W8E10wsIhYnqDsAfA8Pp1a/XxRoWR39B+fcUWDqHIyPxZyaWhn9m2aGUpM7yHMAtq2byaI"
    "eP8e0hMI"
)


@pytest.mark.parametrize(("pem", "end"), [(SHORT, "2036-11-22T21:47:13+00:00"), (LONG, "2126-11-01T21:47:13+00:00")])
def test_the_end_of_a_certificate(pem: str, end: str) -> None:
    der = ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n")
    assert not_after(der).isoformat() == end
    for cut in range(1, len(der)):
        with pytest.raises(ValueError, match=r"cut off|no certificate|unpack|data"):
            not_after(der[:cut])


def test_the_certificate_of_nobody() -> None:
    assert first_end("postgresql://x@127.0.0.1:1/relay?sslmode=require") is None
    assert first_end("host=/tmp user=x") is None
    assert first_end("host=127.0.0.1 port=1 sslcert=/nowhere/x.pem") is None
