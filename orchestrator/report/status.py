"""Where everything stands: at central every branch and stream, at a till the till. Read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apsw
import psycopg
from psycopg.rows import dict_row
from rich.filesize import decimal

from orchestrator import assets
from orchestrator.report import render


@dataclass(frozen=True, slots=True)
class RelaySide:
    """What the relay said: its newest tick, and each branch's own report (node, at, body, waiting_uploads)."""

    tick: int
    epoch: int
    plan_version: int
    reports: list[dict[str, Any]]


def of_central(
    conn: psycopg.Connection, relay: RelaySide | None, fault: str, *, now: datetime, running: bool
) -> dict[str, Any]:
    """Head office's view; `fault` is why there is no relay side. Lags are in ticks, ages in seconds."""
    publishing = _rows(conn, "publishing")[0]
    reports = {r["node"]: r for r in relay.reports} if relay else {}
    kept = _rows(conn, "kept")[0]
    newest = relay.tick if relay else None
    return {
        "central": {
            "running": running,
            "plan_version": publishing["plan_version"],
            "tick": publishing["tick"],
            "published_at": publishing["published_at"],
        },
        "relay": {"tick": newest, "epoch": relay.epoch, "plan_version": relay.plan_version}
        if relay
        else {"error": fault},
        "branches": [
            _branch(b, reports.get(b["node"], {}), newest, kept["oldest_tick"], now) for b in _rows(conn, "branches")
        ],
        "streams": _rows(conn, "streams"),
        "kept": kept,
    }


def _branch(
    branch: dict[str, Any], report: Mapping[str, Any], newest: int | None, oldest: int | None, now: datetime
) -> dict[str, Any]:
    body = report.get("body") or {}
    tick, at = body.get("tick"), report.get("at")
    return {
        **branch,
        "tick": tick,
        "lag_ticks": max(newest - tick, 0) if newest is not None and tick is not None else None,
        "is_left_behind": branch["state"] == "active" and 0 < (tick or 0) < (oldest or 0),
        "report_age_seconds": round(max((now - at).total_seconds(), 0), 1) if at else None,
        "waiting_uploads": report.get("waiting_uploads"),
        "pending": body.get("pending"),
        "plan_version": body.get("plan_version"),
        "version": body.get("version"),
        "errors": body.get("errors", []),
        "lacks": body.get("lacks", []),
        "loading": body.get("loading", []),
        "set_aside": body.get("extra", 0),
        "other_machine_at": body.get("other_machine_at"),
    }


def of_till(db: apsw.Connection) -> dict[str, Any]:
    """A till's view. pending: changes that central has not answered; unsent: those that the relay does not have."""
    cursor = db.execute(assets.query("report.till"))
    names = [column[0] for column in cursor.getdescription()]
    return dict(zip(names, next(cursor), strict=True))


def show_central(chain: Mapping[str, Any]) -> None:
    """The status for a person."""
    central, relay = chain["central"], chain["relay"]
    at = "-" if central["published_at"] is None else central["published_at"].isoformat(timespec="seconds")
    out = render.console()
    running = "running" if central["running"] else "not running"
    out.print(
        f"central: {running}, plan version {central['plan_version']}, tick {central['tick'] or 0}, published {at}"
    )
    out.print(
        f"relay: {relay['error']}" if "error" in relay else f"relay: tick {relay['tick']}, epoch {relay['epoch']}"
    )
    kept = chain["kept"]
    if kept["oldest_tick"] is not None:
        out.print(
            f"kept: since tick {kept['oldest_tick']} of {kept['oldest_tick_at'].isoformat(timespec='seconds')},"
            f" logs {decimal(kept['log_bytes'])}, ledgers {decimal(kept['ledger_bytes'])}"
        )
    columns = {
        "state": "state",
        "tick": "tick",
        "lag": "lag_ticks",
        "report age s": "report_age_seconds",
        "pending": "pending",
        "uploads waiting": "waiting_uploads",
        "parked": "parked",
        "conflicts": "conflicts",
        "plan": "plan_version",
        "streams": "streams",
    }
    rows = [[b["node"], *(_shown(b[key]) for key in columns.values())] for b in chain["branches"]]
    render.table(["branch", *columns], rows)
    for branch in chain["branches"]:
        if branch["is_left_behind"]:
            out.print(f"{branch['node']}: silent for longer than ticks are kept; it takes snapshots when it is back")
        if branch["set_aside"]:
            out.print(f"{branch['node']}: {branch['set_aside']} rows of its own were set aside at its first load")
        if branch["other_machine_at"]:
            out.print(
                f"{branch['node']}: another machine came as this branch at {branch['other_machine_at']}, with a copy"
            )
        for said in (*branch["errors"], *branch["lacks"]):
            out.print(f"{branch['node']}: {said}")
    streams = [
        [s["stream"], s["channel"], _shown(s["params"]), s["branches"], s["loaded_tick"]] for s in chain["streams"]
    ]
    render.table(["stream", "channel", "parameters", "branches", "since tick"], streams)


def show_till(till: Mapping[str, Any]) -> None:
    """The status of a till for a person."""
    render.table(["", ""], [[name.replace("_", " "), value] for name, value in till.items()])


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    return value


def _rows(conn: psycopg.Connection, block: str) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(assets.query(f"report.{block}")).fetchall()
