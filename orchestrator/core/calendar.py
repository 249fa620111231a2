"""When shops are open, and how much of a time they were: a till that is silent at night is not missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from orchestrator.settings_watch import BranchHours, CalendarSettings, Span, span

LOOK_BACK = timedelta(days=31)
"""More silence than this is not told apart."""

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of one shop. Without spans it is always open but on closed days."""

    zone: ZoneInfo
    spans: tuple[Span, ...]
    closed: frozenset[str]
    _days: dict[date, tuple[tuple[datetime, datetime], ...]] = field(default_factory=dict, compare=False)

    def is_business_day(self, day: date) -> bool:
        """Whether the shop opens on that day."""
        if {day.isoformat(), day.isoformat()[5:]} & self.closed:
            return False
        return not self.spans or any(day.weekday() in s.days for s in self.spans)

    def open_seconds(self, since: datetime, until: datetime) -> float:
        """For how many seconds between two instants the shop was open, of those after `LOOK_BACK`."""
        since = max(since, until - LOOK_BACK)
        day, last = since.astimezone(self.zone).date() - DAY, until.astimezone(self.zone).date()
        total = 0.0
        while day <= last:
            for opens, closes in self._of(day):
                total += max((min(closes, until) - max(opens, since)).total_seconds(), 0.0)
            day += DAY
        return total

    def is_open(self, at: datetime) -> bool:
        """Whether the shop is open at an instant."""
        today = at.astimezone(self.zone).date()
        return any(opens <= at < closes for day in (today - DAY, today) for opens, closes in self._of(day))

    def at(self, day: date, minutes: int) -> datetime:
        """When the clock on the shop's wall shows so many minutes after midnight of that day; in UTC, which can be
        counted with: a day on which clocks change has 23 or 25 hours."""
        days, rest = divmod(minutes, 24 * 60)
        local = datetime.combine(day + days * DAY, datetime.min.time(), self.zone)
        return local.replace(hour=rest // 60, minute=rest % 60).astimezone(UTC)

    def _of(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        if day not in self._days:
            self._days[day] = tuple(self._spans(day))
        return self._days[day]

    def _spans(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        if not self.is_business_day(day):
            return
        if not self.spans:
            yield self.at(day, 0), self.at(day, 24 * 60)
        for s in self.spans:
            if day.weekday() in s.days:
                yield self.at(day, s.start), self.at(day, s.end)


class Calendar:
    """The hours of every branch."""

    def __init__(self, settings: CalendarSettings) -> None:
        self._known: dict[str, Hours] = {}
        self._patterned: list[tuple[BranchHours, Hours]] = [(e, _with(settings, e)) for e in settings.branch]
        self.everywhere = _hours(settings.timezone, settings.open, settings.closed)

    def of(self, node: str) -> Hours:
        """A branch's hours: those of the first entry that names it, with the chain's where that says nothing."""
        if node not in self._known:
            self._known[node] = self._find(node)
        return self._known[node]

    def _find(self, node: str) -> Hours:
        for entry, hours in self._patterned:
            if any(fnmatchcase(node, pattern) for pattern in entry.branches):
                return hours
        return self.everywhere


def _with(whole: CalendarSettings, entry: BranchHours) -> Hours:
    opens = whole.open if entry.open is None else entry.open
    closed = whole.closed if entry.closed is None else entry.closed
    return _hours(entry.timezone or whole.timezone, opens, closed)


def _hours(timezone: str, opens: tuple[str, ...], closed: tuple[str, ...]) -> Hours:
    return Hours(ZoneInfo(timezone), tuple(map(span, opens)), frozenset(closed))
