"""What is wrong, out of a status: one line each, with what to do. Pure: a status and the limits go in.

A trouble has a cause, by which notifications are grouped, and a subject: a branch, or `central`. When a branch's report
is not known, since the relay does not answer, nothing is said of what only it could tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from rich.filesize import decimal

from orchestrator.core.calendar import Calendar
from orchestrator.core.trend import Lasting
from orchestrator.settings_watch import WatchSettings

CENTRAL = "central"
DAY = timedelta(days=1)
TILL_PATIENCE = timedelta(minutes=15)
_AT_TILL = (
    ("waiting", "waiting", "row", "head office's rows that this file cannot take: `tillsync check till` says why"),
    ("parked", "held", "row", "head office has parked them: ask there for `tillsync parked list`"),
    ("set_aside", "set_aside", "row", "rows of its own that head office does not know: see docs/loading.md"),
)
TEXTS_MAX = 5
"""So many errors of one branch are listed."""

OF_REPORTS = frozenset(
    {"silent", "lag", "clock", "disk", "certificate", "backup", "labels", "failing", "schema", "machine", "set_aside"}
)
"""Causes that are known from the tills' reports alone."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong now. cause: its kind. subject: the branch, or central. remedy: what to do."""

    cause: str
    subject: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}; {self.remedy}"


def of_central(chain: Mapping[str, Any], limits: WatchSettings, calendar: Calendar, now: datetime) -> list[Trouble]:
    """All troubles of a chain; those of head office first."""
    return [*_of_office(chain, limits), *_of_branches(chain, limits, calendar, now)]


def differing(line: Lasting, now: datetime) -> Trouble:
    """A table or a check of the books that differs by the last comparison of a till."""
    remedy = f"`tillsync reconcile --branch {line.node}` shows it"
    if line.kind == "table":
        remedy += ", `tillsync repair` puts it right"
    return Trouble("differs", line.node, line.said(now).removeprefix(f"{line.node} "), remedy)


def _of_office(chain: Mapping[str, Any], limits: WatchSettings) -> Iterator[Trouble]:
    central, relay = chain["central"], chain["relay"]
    if "error" in relay:
        yield Trouble("relay", CENTRAL, f"the relay: {relay['error']}", "tills go on selling, and send when it is back")
    if not central["running"]:
        yield Trouble("stopped", CENTRAL, "the service does not run", "start `tillsync run central`")
    for table in central.get("drifted", ()):
        what = f"{table['tab']} {'is gone' if table['gone'] else 'or its triggers changed'}"
        yield Trouble("drift", CENTRAL, what, "run `tillsync verify central`, then `tillsync repair-triggers central`")
    for whose, key in (
        ("this machine's clock", "clock_skew_seconds"),
        ("the database's clock", "database_skew_seconds"),
    ):
        yield from _clock(CENTRAL, whose, central.get(key), limits)
    yield from _certificate(CENTRAL, central.get("certificate_days"), limits)


def _of_branches(
    chain: Mapping[str, Any], limits: WatchSettings, calendar: Calendar, now: datetime
) -> Iterator[Trouble]:
    for branch in chain["branches"]:
        if branch["state"] != "active":
            continue
        yield from _waits_for_a_person(branch, limits)
        if "error" not in chain["relay"]:
            yield from _reported(branch, limits, calendar, now)


def _waits_for_a_person(branch: Mapping[str, Any], limits: WatchSettings) -> Iterator[Trouble]:
    node = branch["node"]
    if branch["forbidden"]:
        what = f"{_count(branch['forbidden'], 'change')} that it may not make: another store's rows, a hidden column"
        yield Trouble("forbidden", node, what, "`tillsync parked list` shows them; look who uses the branch's account")
    others = branch["parked"] - branch["forbidden"]
    if others > limits.parked_max:
        what = f"{_count(others, 'change')} parked: head office's tables do not take them"
        yield Trouble("parked", node, what, "`tillsync parked list` says why")
    if branch["undecided"]:
        what = f"{_count(branch['undecided'], 'conflict')} for a person to decide"
        yield Trouble("undecided", node, what, "`tillsync conflicts list`, then `tillsync conflicts restore` or close")
    if branch["conflicts_last_hour"] > limits.conflicts_hour_max:
        what = f"{_count(branch['conflicts_last_hour'], 'conflict')} within an hour"
        yield Trouble("conflicts", node, what, "`tillsync conflicts list` shows who won")


def of_till(till: Mapping[str, Any], now: datetime) -> list[Trouble]:
    """What a till can tell of itself, without the network."""
    node, found = till["node"] or "this till", []
    last = till["last_round_at"]
    if not till["running"]:
        found.append(Trouble("stopped", node, "the service does not run", "start `tillsync run till`"))
    elif last is None or now - last > TILL_PATIENCE:
        when = "never" if last is None else f"{duration((now - last).total_seconds())} ago"
        found.append(Trouble("rounds", node, f"its newest good round was {when}", "the service's log says why"))
    for cause, key, what, remedy in _AT_TILL:
        if till[key]:
            found.append(Trouble(cause, node, f"{_count(till[key], what)}", remedy))
    return found


def closures_missing(node: str, days: Sequence[date]) -> Trouble:
    """A branch's business days that were due to be closed and are not."""
    what = f"no closure of {', '.join(map(str, days))}"
    return Trouble("closure", node, what, "have the day closed at the till, or see whether the till is silent")


def _reported(branch: Mapping[str, Any], limits: WatchSettings, calendar: Calendar, now: datetime) -> Iterator[Trouble]:
    node = branch["node"]
    if branch["report_age_seconds"] is None:
        if calendar.of(node).open_seconds(branch["created_at"], now) > limits.silent_minutes * 60:
            yield Trouble("silent", node, "has never said anything", "install it: `tillsync install till`, then run it")
        return
    last = now - timedelta(seconds=branch["report_age_seconds"])
    if calendar.of(node).open_seconds(last, now) > limits.silent_minutes * 60:
        what = f"silent for {duration(branch['report_age_seconds'])} while its shop is open"
        yield Trouble("silent", node, what, "see whether the till, its line and `tillsync run till` are up")
        return  # what it last said is old
    yield from _behind(branch, limits)
    yield from _unwell(branch)
    yield from _machine(branch, limits, now)
    yield from _labels(branch, limits, now)


def _behind(branch: Mapping[str, Any], limits: WatchSettings) -> Iterator[Trouble]:
    node = branch["node"]
    if branch["is_left_behind"]:
        what = "silent for longer than ticks are kept; it takes snapshots when it is back"
        yield Trouble("lag", node, what, "nothing it has not sent is lost; it takes a while")
    elif (branch["lag_seconds"] or 0) > limits.lag_minutes * 60:
        what = f"{_count(branch['lag_ticks'], 'tick')} behind, for {duration(branch['lag_seconds'])}"
        yield Trouble("lag", node, what, "see its errors, its line, and what holds the till's file")


def _unwell(branch: Mapping[str, Any]) -> Iterator[Trouble]:
    node = branch["node"]
    for said in branch["errors"][:TEXTS_MAX]:
        yield Trouble("failing", node, said, "`tillsync status` at the till tells more")
    for said in branch["lacks"][:TEXTS_MAX]:
        yield Trouble("schema", node, said, "bring the till's application up to date, or exclude the column")
    if branch["set_aside"]:
        what = f"{_count(branch['set_aside'], 'row')} of its own set aside at its first load"
        yield Trouble("set_aside", node, what, "see docs/loading.md")
    if branch["other_machine_at"]:
        what = f"another machine came as this branch at {branch['other_machine_at']}, with a copy"
        yield Trouble("machine", node, what, f"register it as itself, or run `tillsync branch rejoin {node}`")


def _machine(branch: Mapping[str, Any], limits: WatchSettings, now: datetime) -> Iterator[Trouble]:
    node, free = branch["node"], branch["disk_free_bytes"]
    yield from _clock(node, "its clock", branch["clock_skew_seconds"], limits)
    yield from _certificate(node, branch["certificate_days"], limits)
    if free is not None and free < limits.disk_free_mb_min * 1e6:
        yield Trouble(
            "disk", node, f"{decimal(free)} free on the disk of its file", "make room: a full disk stops sales"
        )
    if branch["backup_at"] is not None and limits.backup_days_max:
        age = now - branch["backup_at"]
        if age > limits.backup_days_max * DAY:
            what = f"its newest backup is {age.days} days old"
            yield Trouble("backup", node, what, "run `tillsync backup` there: a broken disk loses what was not sent")


def _labels(branch: Mapping[str, Any], limits: WatchSettings, now: datetime) -> Iterator[Trouble]:
    """Prices that took effect a while ago, and whose labels nobody printed."""
    late, since = branch.get("labels_late"), branch.get("labels_since")
    if not late or since is None or not limits.labels_hours_max:
        return
    if now - since > timedelta(hours=limits.labels_hours_max):
        what = f"{_count(late, 'label')} with an old price, the first since {since:%Y-%m-%d %H:%M}"
        yield Trouble("labels", branch["node"], what, "have them printed: `tillsync labels` at the till")


def _clock(subject: str, whose: str, skew: float | None, limits: WatchSettings) -> Iterator[Trouble]:
    if skew is not None and abs(skew) > limits.clock_seconds_max:
        what = f"{whose} is {duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the relay's"
        yield Trouble("clock", subject, what, "synchronise it with NTP")


def _certificate(subject: str, days: float | None, limits: WatchSettings) -> Iterator[Trouble]:
    if days is not None and days < limits.certificate_days_min:
        what = f"a certificate on the way to the relay {'ended' if days < 0 else f'ends in {days:.0f} days'}"
        yield Trouble("certificate", subject, what, "renew it")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`14 s`, `3 min`, `5 h`, `2 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
