"""Every metric that `/metrics` has: its name, unit and meaning. Names and units as Prometheus asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator import __version__

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0)
MOVED = ("sent", "received", "merged", "rows", "uploads", "conflicts", "parked")
CAUSES = (
    *("backup", "certificate", "clock", "closure", "conflicts", "differs", "disk", "drift", "failing"),
    *(
        "forbidden",
        "labels",
        "lag",
        "machine",
        "parked",
        "refused",
        "relay",
        "rounds",
        "schema",
        "set_aside",
        "silent",
        "stopped",
        "undecided",
    ),
)
"""The causes of troubles. One that there is none of is shown as 0, so that an alert sees it come."""


class About(NamedTuple):
    """A metric's help, and its labels."""

    help: str
    labels: tuple[str, ...] = ()


OF_ROUNDS = {
    "tillsync_build_info": About("1, with the version as label.", ("version", "node")),
    "tillsync_rounds": About("Rounds that were made, by how they ended: ok or failed.", ("outcome",)),
    "tillsync_round_duration_seconds": About("How long rounds took."),
    "tillsync_moved": About("Changes, rows and uploads that rounds moved, by what the log calls them.", ("what",)),
    "tillsync_last_success_timestamp_seconds": About("When the newest good round ended."),
    "tillsync_notifications": About("Messages, by the way they went and how: sent or failed.", ("way", "outcome")),
}
"""Counted by the process itself."""

OF_CENTRAL = {
    "tillsync_status_up": About("Whether the status below could be had."),
    "tillsync_tick": About("The newest tick that was published."),
    "tillsync_published_timestamp_seconds": About("When the newest tick was published."),
    "tillsync_plan_version": About("The version of the plan that is installed."),
    "tillsync_relay_up": About("Whether the relay answers."),
    "tillsync_clock_skew_seconds": About("How far this machine's clock is ahead of the relay's."),
    "tillsync_database_clock_skew_seconds": About("How far head office's database is ahead of the relay's clock."),
    "tillsync_certificate_remaining_seconds": About("How long the certificates on the way to the relay last."),
    "tillsync_log_bytes": About("What the logs of changes take on the disk."),
    "tillsync_ledger_bytes": About("What the ledgers of streams take on the disk."),
    "tillsync_branches": About("Branches, by state.", ("state",)),
    "tillsync_troubles": About("What is wrong now, as `tillsync status` lists it, by cause.", ("cause",)),
    "tillsync_branch_open": About("Whether the branch's shop is open, by the calendar.", ("branch",)),
    "tillsync_branch_report_age_seconds": About("How long ago the branch last said something.", ("branch",)),
    "tillsync_branch_lag_ticks": About("How many ticks the branch lacks.", ("branch",)),
    "tillsync_branch_lag_seconds": About("For how long it has lacked one.", ("branch",)),
    "tillsync_branch_pending_changes": About("Changes of the till's that are not answered yet.", ("branch",)),
    "tillsync_branch_waiting_uploads": About("Uploads that wait in the relay for head office.", ("branch",)),
    "tillsync_branch_parked_changes": About("Changes that head office's tables do not take.", ("branch",)),
    "tillsync_branch_recent_conflicts": About("Conflicts within the last hour.", ("branch",)),
    "tillsync_branch_clock_skew_seconds": About("How far the till's clock is ahead of the relay's.", ("branch",)),
    "tillsync_branch_disk_free_bytes": About("Room on the disk of the till's file.", ("branch",)),
    "tillsync_branch_certificate_remaining_seconds": About("How long the till's certificates last.", ("branch",)),
    "tillsync_branch_backup_age_seconds": About("How old the till's newest backup is.", ("branch",)),
    "tillsync_branch_late_labels": About("Labels with an old price that nobody has printed anew.", ("branch",)),
}
"""Out of head office's status."""

OF_TILL = {
    "tillsync_status_up": OF_CENTRAL["tillsync_status_up"],
    "tillsync_tick": About("The newest tick that was applied."),
    "tillsync_plan_version": About("The version of the plan that the till obeys."),
    "tillsync_till_pending_changes": About("Changes that head office has not answered."),
    "tillsync_till_unsent_changes": About("Changes that the relay does not have yet."),
    "tillsync_till_waiting_rows": About("Rows of head office's that could not be put."),
    "tillsync_till_held_rows": About("Rows that head office has parked."),
    "tillsync_till_loading_streams": About("Streams that are not loaded yet."),
}
"""Out of a till's status."""

DAY = 86_400
_BRANCH = {
    "tillsync_branch_report_age_seconds": "report_age_seconds",
    "tillsync_branch_lag_ticks": "lag_ticks",
    "tillsync_branch_lag_seconds": "lag_seconds",
    "tillsync_branch_pending_changes": "pending",
    "tillsync_branch_waiting_uploads": "waiting_uploads",
    "tillsync_branch_parked_changes": "parked",
    "tillsync_branch_recent_conflicts": "conflicts_last_hour",
    "tillsync_branch_clock_skew_seconds": "clock_skew_seconds",
    "tillsync_branch_disk_free_bytes": "disk_free_bytes",
}
_TILL = {
    "tillsync_tick": "tick",
    "tillsync_plan_version": "plan_version",
    "tillsync_till_pending_changes": "pending",
    "tillsync_till_unsent_changes": "unsent",
    "tillsync_till_waiting_rows": "waiting",
    "tillsync_till_held_rows": "held",
    "tillsync_till_loading_streams": "loading",
}

Status = Mapping[str, Any]
Sample = tuple[str, tuple[str, ...], float]


class Rounds:
    """What the process counts."""

    def __init__(self, registry: CollectorRegistry, node: str) -> None:
        def made(kind: Any, name: str, **more: Any) -> Any:
            about = OF_ROUNDS[name]
            return kind(name, about.help, about.labels, registry=registry, **more)

        made(Gauge, "tillsync_build_info").labels(__version__, node).set(1)
        self._rounds = made(Counter, "tillsync_rounds")
        self._seconds = made(Histogram, "tillsync_round_duration_seconds", buckets=SECONDS)
        self._moved = made(Counter, "tillsync_moved")
        self._success = made(Gauge, "tillsync_last_success_timestamp_seconds")
        self._notifications = made(Counter, "tillsync_notifications")
        for outcome in ("ok", "failed"):
            self._rounds.labels(outcome)

    def lasted(self, seconds: float) -> None:
        self._seconds.observe(seconds)

    def failed(self) -> None:
        self._rounds.labels("failed").inc()

    def succeeded(self, report: Any) -> None:
        """A round ended well; what its report says was moved is added."""
        self._rounds.labels("ok").inc()
        self._success.set_to_current_time()
        for what in MOVED:
            if count := getattr(report, what, 0):
                self._moved.labels(what).inc(count)

    def notified(self, way: str, outcome: str) -> None:
        """A message went to the mail server (webhook, ...), or did not."""
        self._notifications.labels(way, outcome).inc()


class OfStatus(Collector):
    """Metrics out of a status, taken when they are asked for. `read` gives None where there is none to be had."""

    def __init__(self, known: Mapping[str, About], read: Callable[[], Status | None]) -> None:
        self._known, self._read = known, read

    def collect(self) -> Iterator[Metric]:
        status = self._read()
        families = {
            name: GaugeMetricFamily(name, about.help, labels=about.labels) for name, about in self._known.items()
        }
        families["tillsync_status_up"].add_metric([], float(status is not None))
        if status is not None:
            for name, labels, value in of_central(status) if "branches" in status else of_till(status):
                families[name].add_metric(labels, value)
        yield from families.values()

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask for a status."""
        return []


def of_till(till: Status) -> Iterator[Sample]:
    """A till's status as samples: name, values of its labels, value. What is not known is left out."""
    yield from ((name, (), float(till[key])) for name, key in _TILL.items() if till.get(key) is not None)


def of_central(chain: Status) -> Iterator[Sample]:
    """Head office's status as samples; as for a till."""
    central, kept = chain["central"], chain["kept"]
    known = {
        "tillsync_tick": central["tick"],
        "tillsync_published_timestamp_seconds": _timestamp(central["published_at"]),
        "tillsync_plan_version": central["plan_version"],
        "tillsync_relay_up": "error" not in chain["relay"],
        "tillsync_clock_skew_seconds": central["clock_skew_seconds"],
        "tillsync_database_clock_skew_seconds": central["database_skew_seconds"],
        "tillsync_certificate_remaining_seconds": _seconds(central["certificate_days"]),
        "tillsync_log_bytes": kept["log_bytes"],
        "tillsync_ledger_bytes": kept["ledger_bytes"],
    }
    yield from ((name, (), float(value)) for name, value in known.items() if value is not None)
    for state in ("active", "retired"):
        yield "tillsync_branches", (state,), float(sum(b["state"] == state for b in chain["branches"]))
    for cause in CAUSES:
        yield "tillsync_troubles", (cause,), float(sum(t["cause"] == cause for t in chain["troubles"]))
    for branch in chain["branches"]:
        if branch["state"] == "active":
            yield from _of_branch(branch)


def _of_branch(branch: Status) -> Iterator[Sample]:
    age = None if branch["backup_at"] is None else datetime.now(UTC).timestamp() - branch["backup_at"].timestamp()
    known = {name: branch[key] for name, key in _BRANCH.items()} | {
        "tillsync_branch_open": branch["is_open"],
        "tillsync_branch_certificate_remaining_seconds": _seconds(branch["certificate_days"]),
        "tillsync_branch_backup_age_seconds": age,
        "tillsync_branch_late_labels": branch.get("labels_late"),
    }
    yield from ((name, (branch["node"],), float(value)) for name, value in known.items() if value is not None)


def _timestamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _seconds(days: float | None) -> float | None:
    return None if days is None else days * DAY
