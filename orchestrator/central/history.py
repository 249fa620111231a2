"""The reports of comparisons that central keeps, what has differed since when, and the night that is under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.core import reconciliation, trend
from orchestrator.core.reconciliation import Report
from orchestrator.core.trend import Kept, Lasting, Totals

WHOLE = ""
"""The scope of a comparison of all tables at all branches; only those make the trend."""


def keep(conn: psycopg.Connection, report: Report, *, scope: str = WHOLE) -> int:
    """Stores a report; its number. `scope` says in words what was compared, where that was not everything."""
    found = list(trend.findings(report))
    given = {
        "made_at": report.made_at,
        "scope": scope,
        "equal": report.equal,
        "totals": msgspec.json.encode(trend.totals(report)).decode(),
        "body": reconciliation.encode(report).decode(),
    }
    with conn.transaction():
        row = conn.execute(_sql("keep"), given).fetchone()
        lists = {
            "nodes": [f.node for f in found],
            "kinds": [f.kind for f in found],
            "whats": [f.what for f in found],
            "rows": [f.rows for f in found],
            "ticks": [f.tick for f in found],
            "ats": [f.at for f in found],
        }
        conn.execute(_sql("stand"), lists)
        tables = {t.table for b in report.branches for t in b.tables}
        if tables and scope == WHOLE:
            books = {c.book for b in report.branches for c in b.books}
            conn.execute(_sql("leave"), {"tables": list(tables), "books": list(books)})
    assert row is not None
    return int(row[0])


def recent(conn: psycopg.Connection, *, before: datetime | None = None, limit: int = 14) -> list[Kept]:
    """The sums of the last reports over everything, the newest first."""
    given = {"scope": WHOLE, "before": before or datetime.max.replace(tzinfo=UTC), "limit": limit}
    return [
        Kept(r["id"], r["made_at"], r["equal"], msgspec.convert(r["totals"], Totals))
        for r in _rows(conn, "trend", given)
    ]


def newest(conn: psycopg.Connection) -> Report | None:
    """The last report over everything."""
    row = conn.execute(_sql("newest"), {"scope": WHOLE}).fetchone()
    return reconciliation.decode(row[0]) if row else None


def lasting(conn: psycopg.Connection) -> list[Lasting]:
    """Early warning: what differs at branches by its last comparison, the oldest difference first."""
    return [Lasting(**r) for r in _rows(conn, "lasting", {})]


@dataclass(frozen=True)
class Night:
    """The last nightly comparison that was due; `id` while it is under way."""

    due: datetime
    id: int | None
    begun_at: datetime


def night(conn: psycopg.Connection) -> Night | None:
    """None before the first one."""
    found = _rows(conn, "night", {})
    return Night(**found[0]) if found else None


def begin_night(conn: psycopg.Connection, begun: Night) -> None:
    """Notes that one was due, and with an `id` that it is under way."""
    conn.execute(_sql("begin_night"), {"due": begun.due, "id": begun.id, "begun_at": begun.begun_at})


def end_night(conn: psycopg.Connection, number: int) -> None:
    conn.execute(_sql("end_night"), {"id": number})


def active_nodes(conn: psycopg.Connection) -> list[str]:
    """The branches that are compared."""
    return [str(node) for (node,) in conn.execute(_sql("active_nodes")).fetchall()]


def _rows(conn: psycopg.Connection, block: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_sql(block), given).fetchall()


def _sql(block: str) -> Any:
    return assets.query(f"central/history.{block}")
