"""The reports that central keeps, and since when something differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest

from orchestrator import assets
from orchestrator.central import history
from orchestrator.core.reconciliation import Report
from tests.unit.reports import MADE_AT, differing_report, equal_report

NIGHT = timedelta(days=1)


@pytest.fixture
def conn(central_dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(central_dsn, autocommit=True, options="-c TimeZone=UTC") as made:
        made.execute(assets.text("sql/central/schema.sql").encode())
        made.execute("INSERT INTO tillsync.node (node) SELECT unnest('{T1,T7,T8,T9}'::text[])")
        yield made


def since(conn: psycopg.Connection) -> dict[str, datetime]:
    return {f"{line.node} {line.what}": line.since for line in history.lasting(conn)}


def without_items(report: Report) -> Report:
    """The same of a plan with another table in the place of the items."""
    branches = (replace(b, tables=tuple(replace(t, table="public.stock") for t in b.tables)) for b in report.branches)
    return replace(report, branches=tuple(branches))


def test_a_difference_stands_since_the_first_night_in_a_row_that_found_it(conn: psycopg.Connection) -> None:
    nights = [MADE_AT + n * NIGHT for n in range(5)]
    history.keep(conn, differing_report(nights[0]))
    history.keep(conn, equal_report("T1", "T7", at=nights[1], tick=78))
    assert "T7 public.item" not in since(conn)
    history.keep(conn, differing_report(nights[2], tick=79))
    history.keep(conn, differing_report(nights[3], tick=80))
    assert since(conn)["T7 public.item"] == nights[2]
    assert since(conn)["T7 receipts"] == nights[2], "in between the plan had no such check"
    (line,) = [line for line in history.lasting(conn) if line.what == "public.item"]
    assert (line.rows, line.tick, line.equal_at) == (4, 80, nights[1])
    assert line.said(nights[4]) == "T7 differs in item since 2026-03-16 02:00 UTC (4 rows)"


def test_what_is_known_already_or_gone_says_nothing(conn: psycopg.Connection) -> None:
    history.keep(conn, equal_report("T7", at=MADE_AT + NIGHT, tick=78))
    history.keep(conn, differing_report(MADE_AT))  # a report that was late: of an older tick
    assert "T7 public.item" not in since(conn)
    history.keep(conn, differing_report(MADE_AT + 2 * NIGHT))
    assert "T7 public.item" in since(conn)
    history.keep(conn, without_items(differing_report(MADE_AT + 3 * NIGHT)), scope="table stock")
    assert "T7 public.item" in since(conn), "a part was looked at"
    history.keep(conn, without_items(differing_report(MADE_AT + 3 * NIGHT)))
    assert set(since(conn)) == {"T7 public.stock", "T7 turnover", "T7 receipts"}, "what left the plan is no worry"
    conn.execute("UPDATE tillsync.node SET state = 'retired' WHERE node = 'T7'")
    assert since(conn) == {}


def test_reports_are_kept_and_read_again(conn: psycopg.Connection) -> None:
    assert history.newest(conn) is None
    assert history.recent(conn) == []
    first, second = differing_report(MADE_AT), equal_report("T1", at=MADE_AT + NIGHT)
    history.keep(conn, first)
    history.keep(conn, second)
    history.keep(conn, differing_report(MADE_AT + 2 * NIGHT), scope="branch T7")
    assert history.newest(conn) == second
    assert [(k.equal, k.totals.differing_rows) for k in history.recent(conn)] == [(True, 0), (False, 4)]
    assert [k.made_at for k in history.recent(conn, before=second.made_at)] == [MADE_AT]


def test_old_reports_go_and_the_newest_stays(conn: psycopg.Connection) -> None:
    for night in range(3):
        history.keep(conn, equal_report("T1", at=MADE_AT + night * NIGHT))
    given = {"before": MADE_AT + 9 * NIGHT, "rows_max": 100}
    assert conn.execute(assets.query("central/history.forget"), given).rowcount == 2
    assert [k.made_at for k in history.recent(conn)] == [MADE_AT + 2 * NIGHT]
