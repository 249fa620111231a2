"""The tables of the settings files that say what is watched, where it is shown, and who hears of it."""

from __future__ import annotations

import re
from datetime import date, time
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from orchestrator.settings_parts import Name, Part

WEEKDAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")
_SPAN = re.compile(r"(?P<days>\S+) +(?P<start>\d\d:\d\d) ?- ?(?P<end>\d\d:\d\d)")
_DAY_OF_YEAR = re.compile(r"\d\d-\d\d")
LEAP_YEAR = 2024


class Span(NamedTuple):
    """Hours in which a shop is open: days of the week (0 is Monday), minutes from midnight. `end` may be past 24 h."""

    days: frozenset[int]
    start: int
    end: int


def span(text: str) -> Span:
    """`mo-fr 06:00-22:00`, `sa,su 08:00-20:00` or `daily 18:00-02:00` as hours. Raises ValueError."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError('opening hours are written "mo-fr 06:00-22:00", "sa,su 08:00-20:00" or "daily 00:00-24:00"')
    start, end = minutes(found["start"]), minutes(found["end"])
    return Span(_days(found["days"]), start, end if end > start else end + 24 * 60)


def minutes(text: str) -> int:
    """`18:30` as minutes from midnight; 24:00 is the end of the day. Raises ValueError."""
    if text == "24:00":
        return 24 * 60
    at = time.fromisoformat(text)
    return at.hour * 60 + at.minute


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise ValueError(f"{part} is none of {', '.join(WEEKDAYS)}, daily, or a range of those")
        a, b = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        days |= {d % 7 for d in range(a, b + 1 if b >= a else b + 8)}
    return frozenset(days)


def _checked_span(text: str) -> str:
    span(text)
    return text


def _checked_day(text: str) -> str:
    if _DAY_OF_YEAR.fullmatch(text):
        date.fromisoformat(f"{LEAP_YEAR}-{text}")
    else:
        date.fromisoformat(text)
    return text


def _checked_time(text: str) -> str:
    minutes(text)
    return text


def _checked_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("no such time zone; write it as Europe/Bratislava") from None
    return name


def _checked_listen(text: str) -> str:
    address(text)
    return text


def address(text: str) -> tuple[str, int]:
    """`127.0.0.1:9470`, `[::1]:9470` or `:9470` as host and port. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("it is an address and a port, like 127.0.0.1:9470")
    return host.strip("[]"), int(port)


Zone = Annotated[str, AfterValidator(_checked_zone)]
Hours = tuple[Annotated[str, AfterValidator(_checked_span)], ...]
Days = tuple[Annotated[str, AfterValidator(_checked_day)], ...]
Time = Annotated[str, Field(pattern=r"^\d\d:\d\d$"), AfterValidator(_checked_time)]
Mailbox = Annotated[str, Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", max_length=254)]
Minutes = Annotated[float, Field(gt=0, le=44_640)]


class HttpSettings(Part):
    """Where `/live`, `/ready`, `/status` and `/metrics` are served; not at all where `listen` is empty."""

    listen: Annotated[str, AfterValidator(_checked_listen)] | None = None


class LogSettings(Part):
    """How log lines look: `auto` is pretty at a terminal and JSON elsewhere."""

    format: Literal["auto", "json", "pretty"] = "auto"


class BranchHours(Part):
    """Other hours for some branches, which patterns like `T7*` name. What is not said is as for all."""

    branches: Annotated[tuple[Name, ...], Field(min_length=1)]
    timezone: Zone | None = None
    open: Hours | None = None
    closed: Days | None = None


class CalendarSettings(Part):
    """When shops are open. Without hours they always are, but on closed days: `12-25` every year, `2026-04-06` once."""

    timezone: Zone = "UTC"
    open: Hours = ()
    closed: Days = ()
    branch: tuple[BranchHours, ...] = ()


class ClosureSettings(Part):
    """The table of the tills' daily closures, as head office has it: a row per till and business day at least. A day's
    is due at `due`, in the shop's own time zone, of that day, or of the next where `due` is before noon."""

    table: Name
    till: Name = "till"
    day: Name = "day"
    due: Time = "23:30"
    days_back: Annotated[int, Field(ge=1, le=60)] = 7


class WatchSettings(Part):
    """From when on something is a trouble."""

    silent_minutes: Annotated[float, Field(ge=2, le=44_640)] = 15  # a till says something once a minute
    lag_minutes: Minutes = 15
    parked_max: Annotated[int, Field(ge=0)] = 0
    conflicts_hour_max: Annotated[int, Field(ge=0)] = 0
    clock_seconds_max: Annotated[float, Field(gt=0)] = 30
    disk_free_mb_min: Annotated[float, Field(ge=0)] = 500
    certificate_days_min: Annotated[float, Field(ge=0)] = 21
    backup_days_max: Annotated[float, Field(ge=0)] = 7
    labels_hours_max: Annotated[float, Field(ge=0)] = 24
    closure: ClosureSettings | None = None


class MailSettings(Part):
    """A mail server, and who gets the mails. It is spoken to in TLS unless `security` says otherwise."""

    server: Annotated[str, AfterValidator(_checked_listen)]
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Mailbox
    to: Annotated[tuple[Mailbox, ...], Field(min_length=1, max_length=100)]
    user: str | None = None
    password: Annotated[str | None, Field(repr=False)] = None

    @model_validator(mode="after")
    def _no_password_in_clear(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password are given together, or neither")
        if self.security == "none" and self.password is not None:
            raise ValueError('a password is not sent in the clear: use security = "starttls" or "tls"')
        return self


class WebhookSettings(Part):
    """An address that gets each message as a JSON object."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2_000, repr=False)]


class AppriseSettings(Part):
    """Any of the services that the package `apprise` knows; it is installed with `tillsync[apprise]`."""

    urls: Annotated[tuple[Annotated[str, Field(min_length=3, max_length=2_000)], ...], Field(min_length=1, repr=False)]


class NotifySettings(Part):
    """Who hears of troubles. One is told when it has stood for `hold_seconds`, and its end when it has been gone for as
    long, longer for what comes and goes. `digest`: when the day's summary is sent, in the calendar's time zone."""

    every_seconds: Annotated[float, Field(ge=1, le=3_600)] = 30
    hold_seconds: Annotated[float, Field(ge=0, le=86_400)] = 120
    digest: Time | None = None
    name: Annotated[str, Field(max_length=60)] = "Tillsync"
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    mail: MailSettings | None = None
    webhook: WebhookSettings | None = None
    apprise: AppriseSettings | None = None
