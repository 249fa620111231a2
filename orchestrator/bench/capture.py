"""`tillsync bench capture`: what capture costs the applications, against the same statements without a trigger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import apsw
import psycopg

from orchestrator import assets
from orchestrator.bench.lab import Lab, lab
from orchestrator.postgres import connect

ROWS_PER_COMMIT = 5
COMMITS = 2_000
TRANSACTIONS = 500
SINGLE_UPDATES = 1_000
ALLOWED = {
    "till_normal": 1.5,
    "till_full": 1.1,
    "till_rollback_journal": 1.1,
    "central_bulk": 2.2,
    "central_small": 1.2,
    "central_bulk_after_small": 2.2,
}


class Pace(NamedTuple):
    """Seconds of the same work with capture and without."""

    captured: float
    without: float

    @property
    def ratio(self) -> float:
        return self.captured / self.without


class Till(NamedTuple):
    """Two files of a till's application, with capture and without."""

    captured: apsw.Connection
    bare: apsw.Connection


def run(rows: int = 100_000, rounds: int = 5, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Medians over the rounds of with / without; `ratio` = the one that comes nearest to what is allowed, by that.

    till_*: commits of 5 rows, a receipt and its lines: with a WAL at that `synchronous`, and with a rollback journal at
    FULL, which is SQLite's default. central_bulk: one UPDATE of `rows`; central_small: transactions of 5 updated rows,
    durable; central_bulk_after_small: one UPDATE of `rows` in a session that has done 1 000 single ones.

    `till_commit_us`: microseconds of a till's commit without capture, most of them the disk's.
    """
    measured: dict[str, list[Pace]] = {name: [] for name in ALLOWED}
    with lab() as made, _tills(made) as tills:
        for number in range(rounds):
            for name, pace in _round(made, tills, rows, number):
                measured[name].append(pace)
            seen(f"round {number + 1} of {rounds}: " + ", ".join(f"{n} {m[-1].ratio:.2f}" for n, m in measured.items()))
    middle = {name: round(median(pace.ratio for pace in found), 3) for name, found in measured.items()}
    return {
        "ratio": round(max(middle[name] / ALLOWED[name] for name in ALLOWED), 3),
        "rows": rows,
        "with_by_without": middle,
        "allowed": ALLOWED,
        "till_commit_us": {
            name: round(median(pace.without for pace in found) / COMMITS * 1e6)
            for name, found in measured.items()
            if name.startswith("till_")
        },
    }


def _round(made: Lab, tills: Mapping[str, Till], rows: int, number: int) -> Iterator[tuple[str, Pace]]:
    made.tidy()
    tills["till_full"].bare.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for place, (name, till) in enumerate(tills.items()):
        for db in till:
            db.execute(f"PRAGMA synchronous = {'normal' if name == 'till_normal' else 'full'}")
        yield name, _pace(partial(_sell, 10_000_000 * (number + 1) + 1_000_000 * place), till.captured, till.bare)
    with connect(made.settings.central.dsn, "head office's session") as fresh:
        yield "central_bulk", _pace(lambda table: _bulk(fresh, table, rows), "price", "price_bare")
    made.tidy()
    yield "central_small", _pace(lambda table: _small(made.head, table), "price", "price_bare")
    with connect(made.settings.central.dsn, "head office's session") as used:
        for table in ("price", "price_bare"):
            for item in range(1, SINGLE_UPDATES + 1):
                used.execute(f"UPDATE {table} SET amount = amount + 1 WHERE item_id = %s", [item])
        made.tidy()
        yield "central_bulk_after_small", _pace(lambda table: _bulk(used, table, rows), "price", "price_bare")


def _pace(work: Callable[[Any], None], captured: Any, bare: Any) -> Pace:
    """The work twice with capture and twice without, the two taken in turns."""
    taken = {id(captured): 0.0, id(bare): 0.0}
    for subject in (bare, captured, captured, bare):
        started = perf_counter()
        work(subject)
        taken[id(subject)] += perf_counter() - started
    return Pace(taken[id(captured)], taken[id(bare)])


def _sell(first: int, db: apsw.Connection) -> None:
    """Sales as a till's application writes them: one statement a row, one commit a sale."""
    (newest,) = db.execute("SELECT max(id) FROM receipt WHERE id >= ?", (first,)).fetchall()[0]
    start = first if newest is None else int(newest) + 1
    for receipt in range(start, start + COMMITS // 2):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO receipt VALUES (?, ?, ?, 38)", (receipt, receipt, "2026-03-01T10:00:00+00:00"))
        for line in range(ROWS_PER_COMMIT - 1):
            row = (receipt, line, receipt * line % 3000, 1, 9.5, "2026-03-01T10:00:00+00:00")
            db.execute("INSERT INTO receipt_line VALUES (?, ?, ?, ?, ?, ?)", row)
        db.execute("COMMIT")


def _bulk(head: psycopg.Connection, table: str, rows: int) -> None:
    head.execute(f"UPDATE {table} SET amount = amount + 1 WHERE item_id <= %s", [rows])


def _small(head: psycopg.Connection, table: str) -> None:
    for item in range(1, TRANSACTIONS // 2 * ROWS_PER_COMMIT, ROWS_PER_COMMIT):
        items = list(range(item, item + ROWS_PER_COMMIT))
        head.execute(f"UPDATE {table} SET amount = amount + 1 WHERE item_id = ANY (%s)", [items])


@contextmanager
def _tills(made: Lab) -> Iterator[dict[str, Till]]:
    """The files that the tills' figures are taken with: the lab's, and a copy of it that has no WAL."""
    copy = made.directory / "rollback.db"
    made.pos.execute("VACUUM INTO ?", (str(copy),))
    wal = Till(made.pos, _bare_file(made.directory / "bare.db", "wal"))
    rollback = Till(apsw.Connection(str(copy)), _bare_file(made.directory / "bare_rollback.db", "delete"))
    try:
        yield {"till_normal": wal, "till_full": wal, "till_rollback_journal": rollback}
    finally:
        for db in (wal.bare, *rollback):
            db.close()


def _bare_file(file: Path, journal: str) -> apsw.Connection:
    db = apsw.Connection(str(file))
    db.execute(f"PRAGMA journal_mode = {journal}").fetchall()
    db.execute(assets.text("sql/bench/till.sql"))
    return db
