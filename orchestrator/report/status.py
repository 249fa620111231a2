"""Where everything stands: at central every branch and stream, at a till the till. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apsw
import psycopg
from psycopg.rows import dict_row
from rich.filesize import decimal

from orchestrator import __version__, assets
from orchestrator.report import render, said
from orchestrator.report.troubles import duration


@dataclass(frozen=True, slots=True)
class RelaySide:
    """What the relay said: its newest tick, its clock, each branch's own report (node, at, body, waiting_uploads)."""

    tick: int
    epoch: int
    plan_version: int
    now: datetime
    reports: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Office:
    """What is known of head office itself. Skews are in seconds, ahead of the relay; None where nobody could say."""

    now: datetime
    running: bool
    last_round_at: datetime | None = None
    clock_skew_seconds: float | None = None
    database_skew_seconds: float | None = None
    certificate_ends_at: datetime | None = None


def of_central(conn: psycopg.Connection, relay: RelaySide | None, fault: str, office: Office) -> dict[str, Any]:
    """Head office's view; `fault` is why there is no relay side. Lags are in ticks and seconds, ages in seconds."""
    publishing = _rows(conn, "publishing")[0]
    reports = {r["node"]: r for r in relay.reports} if relay else {}
    kept = _rows(conn, "kept")[0]
    newest = relay.tick if relay else None
    behind = _behind(conn, reports)
    now = relay.now if relay else office.now
    return {
        "now": now,
        "central": {
            "version": __version__,
            "running": office.running,
            "last_round_at": office.last_round_at,
            "plan_version": publishing["plan_version"],
            "tick": publishing["tick"],
            "published_at": publishing["published_at"],
            "clock_skew_seconds": office.clock_skew_seconds,
            "database_skew_seconds": office.database_skew_seconds,
            "certificate_days": _days(office.certificate_ends_at, office.now),
            "drifted": _rows(conn, "drifted"),
        },
        "relay": {"tick": newest, "epoch": relay.epoch, "plan_version": relay.plan_version}
        if relay
        else {"error": fault},
        "branches": [
            _branch(b, reports.get(b["node"], {}), newest, kept["oldest_tick"], now)
            | {"lag_seconds": behind.get(b["node"], 0.0 if b["node"] in reports else None)}
            for b in _rows(conn, "branches")
        ],
        "streams": _rows(conn, "streams"),
        "kept": kept,
    }


def _behind(conn: psycopg.Connection, reports: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """For how many seconds each branch has lacked a tick; not there where it has them all."""
    ticks = {node: tick for node, r in reports.items() if (tick := said.count(said.body(r).get("tick"))) is not None}
    found = conn.execute(assets.query("report.missed"), [sorted(set(ticks.values()))])
    seconds: dict[int, float] = dict(found.fetchall())
    return {node: round(seconds[tick], 1) for node, tick in ticks.items() if tick in seconds}


def _branch(
    branch: dict[str, Any], report: Mapping[str, Any], newest: int | None, oldest: int | None, now: datetime
) -> dict[str, Any]:
    body = said.body(report)
    tick, at, skew = said.count(body.get("tick")), report.get("at"), said.seconds(body.get("clock_skew_seconds"))
    labels = found if isinstance(found := body.get("labels"), dict) else {}
    return {
        **branch,
        "tick": tick,
        "lag_ticks": max(newest - tick, 0) if newest is not None and tick is not None else None,
        "is_left_behind": branch["state"] == "active" and 0 < (tick or 0) < (oldest or 0),
        "reported_at": at,
        "report_age_seconds": round(max((now - at).total_seconds(), 0), 1) if at else None,
        "succeeded_at": said.by_relay(said.instant(body.get("succeeded_at")), skew),
        "waiting_uploads": report.get("waiting_uploads"),
        "pending": said.count(body.get("pending")),
        "plan_version": said.count(body.get("plan_version")),
        "version": said.text(body.get("version")),
        "sqlite": said.text(body.get("sqlite")),
        "clock_skew_seconds": skew,
        "disk_free_bytes": said.number(body.get("disk_free_bytes")),
        "certificate_days": _days(said.instant(body.get("certificate_ends_at")), now),
        "backup_at": said.instant(body.get("backup_at")),
        "labels_late": said.count(labels.get("late")),
        "labels_since": said.instant(labels.get("since")),
        "errors": said.texts(body.get("errors")),
        "lacks": said.texts(body.get("lacks")),
        "loading": said.counts(body.get("loading")),
        "set_aside": said.count(body.get("extra")) or 0,
        "other_machine_at": said.text(body.get("other_machine_at")),
    }


def _days(end: datetime | None, now: datetime) -> float | None:
    return None if end is None else round((end - now).total_seconds() / 86_400, 1)


def of_till(db: apsw.Connection) -> dict[str, Any]:
    """A till's view. pending: changes that central has not answered; unsent: those that the relay does not have."""
    cursor = db.execute(assets.query("report.till"))
    names = [column[0] for column in cursor.getdescription()]
    return dict(zip(names, next(cursor), strict=True))


def show_central(chain: Mapping[str, Any]) -> None:
    """The status for a person; what is wrong comes last, where it is still on the screen."""
    central, relay, now = chain["central"], chain["relay"], chain["now"]
    out = render.console()
    running = "running" if central["running"] else "not running"
    out.print(
        f"central: {running}, last round {_time(central['last_round_at'])}, version {central['version']},"
        f" plan version {central['plan_version']}, tick {central['tick'] or 0} of {_time(central['published_at'])}",
        soft_wrap=True,
    )
    out.print(
        f"relay: {relay['error']}" if "error" in relay else f"relay: tick {relay['tick']}, epoch {relay['epoch']}"
    )
    kept = chain["kept"]
    if kept["oldest_tick"] is not None:
        out.print(
            f"kept: since tick {kept['oldest_tick']} of {_time(kept['oldest_tick_at'])},"
            f" logs {decimal(kept['log_bytes'])}, ledgers {decimal(kept['ledger_bytes'])}"
        )
    render.table(_COLUMNS, [_line(b, central["plan_version"], now) for b in chain["branches"]])
    streams = [
        [s["stream"], s["channel"], _shown(s["params"]), s["branches"], s["loaded_tick"]] for s in chain["streams"]
    ]
    render.table(["stream", "channel", "parameters", "branches", "since tick"], streams)
    _show_troubles(chain["troubles"])


_COLUMNS = (*("branch", "behind", "said", "success", "pending", "waiting", "parked", "conflicts", "clock", "version"),)


def _line(branch: Mapping[str, Any], plan_version: int | None, now: datetime) -> list[Any]:
    """A branch as a row that fits a terminal: ages instead of times, what is usual is left out."""
    state, ticks, age = branch["state"], branch["lag_ticks"], branch["report_age_seconds"]
    plan, skew, succeeded = branch["plan_version"], branch["clock_skew_seconds"], branch["succeeded_at"]
    return [
        branch["node"] if state == "active" else f"{branch['node']} ({state})",
        f"{ticks} for {duration(branch['lag_seconds'] or 0)}" if ticks else ticks,
        None if age is None else duration(age),
        None if succeeded is None else duration(max((now - succeeded).total_seconds(), 0)),
        branch["pending"],
        branch["waiting_uploads"],
        branch["parked"],
        branch["conflicts"],
        None
        if skew is None
        else f"{skew:+.1f} s"
        if abs(skew) < 100
        else f"{'+' if skew > 0 else '-'}{duration(abs(skew))}",
        branch["version"] if plan in (None, plan_version) else f"{branch['version']}, plan {plan}",
    ]


def show_till(till: Mapping[str, Any]) -> None:
    """The status of a till for a person."""
    simple = {name: value for name, value in till.items() if not isinstance(value, dict | list)}
    render.table(["", ""], [[name.replace("_", " "), value] for name, value in simple.items()])
    _show_troubles(till["troubles"])


def _show_troubles(found: Sequence[Mapping[str, str]]) -> None:
    out = render.console()
    for trouble in found:
        out.print(f"{trouble['subject']}: {trouble['what']}\n    {trouble['remedy']}", soft_wrap=True)
    if not found:
        out.print("no troubles")


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    return value


def _rows(conn: psycopg.Connection, block: str) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(assets.query(f"report.{block}")).fetchall()
