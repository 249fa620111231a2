"""A till's checks of the books beside an application that writes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import apsw
import msgspec
import pytest

from orchestrator.core.books import BookAsk
from orchestrator.core.plan import Book, Column
from orchestrator.till import books, state
from tests.unit.till.conftest import PLAN, App

COUNT = (Column("sales", "bigint", "int", "sales"),)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def test_the_application_sells_while_its_books_are_checked(
    app: App, db: apsw.Connection, till_file: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "SECONDS_MAX", 0.25)
    monkeypatch.setattr(books, "SECONDS_MAX_WITHOUT_WAL", 0.25)
    app.execute("INSERT INTO sale (item_id, amount) VALUES (1, 5)")
    plan = msgspec.structs.replace(PLAN, books=tuple(Book(f"b{i}", "", (), COUNT, "", ENDLESS) for i in range(8)))
    now, waited, stop = state.load(db), [0.0], threading.Event()

    def sell() -> None:
        seller = apsw.Connection(str(till_file))
        seller.set_busy_timeout(5_000)
        while not stop.is_set():
            begun = time.monotonic()
            seller.execute("INSERT INTO sale (item_id, amount) VALUES (1, 5)")
            waited.append(time.monotonic() - begun)
            time.sleep(0.01)
        seller.close()

    selling = threading.Thread(target=sell)
    selling.start()
    try:
        found = books.evaluate(db, plan, {b.name: BookAsk() for b in plan.books}, now.tick, now.token)
    finally:
        stop.set()
        selling.join()
    assert found is not None
    assert {a.failed for a in found.values()} == {"it took too long"}
    longest = max(waited)
    assert longest < 1.3, f"a sale waited {longest:.1f} s; all checks together take 2 s"
    assert len(waited) > 3
