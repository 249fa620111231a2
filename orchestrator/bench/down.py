"""`tillsync bench down`: prices updated at head office until the till's file has them, against COPY and executemany."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import apsw

from orchestrator import assets
from orchestrator.bench.lab import Lab, Stopwatch, lab

COLUMNS = 5


def run(rows: int = 100_000, rounds: int = 5, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Medians over the rounds. `ratio` = floor / ours; ours begins with the UPDATE, with its capture.

    Floor: the same rows read with COPY and put into an empty SQLite table with executemany, in one transaction.
    """
    with lab() as made:
        measured = []
        for number in range(rounds):
            made.tidy()
            measured.append(_round(made, rows, number))
            seen(f"round {number + 1} of {rounds}: ratio {measured[-1]['floor'] / measured[-1]['ours']:.2f}")
    middle = {name: median(m[name] for m in measured) for name in measured[0]}
    return {
        "ratio": round(median(m["floor"] / m["ours"] for m in measured), 3),
        "ratio_without_update": round(median(m["floor"] / (m["ours"] - m["bare_update"]) for m in measured), 3),
        "capture_ratio": round(median(m["update"] / m["bare_update"] for m in measured), 2),
        "rows": rows,
        "rows_per_second": round(rows / middle["ours"]),
        "seconds": {name: round(value, 3) for name, value in middle.items()},
    }


def _round(made: Lab, rows: int, number: int) -> dict[str, float]:
    watch = Stopwatch()
    with watch.of("bare_update"):
        made.head.execute("UPDATE price_bare SET amount = amount + 1 WHERE item_id <= %s", [rows])
    with watch.of("floor"):
        _floor(made, rows, number)
    with watch.of("ours"):
        with watch.of("update"):
            made.head.execute("UPDATE price SET amount = amount + 1 WHERE item_id <= %s", [rows])
        with watch.of("publish"):
            made.central.round()
        with watch.of("apply"):
            received = made.till.round().received
    assert received == rows, f"{received} of {rows} rows arrived"
    return watch.seconds


def _floor(made: Lab, rows: int, number: int) -> None:
    db = apsw.Connection(str(made.directory / f"floor{number}.db"))
    db.execute("PRAGMA journal_mode = wal").fetchall()
    db.execute("PRAGMA synchronous = full")
    db.execute(assets.text("sql/bench/till.sql"))
    with db, made.head.cursor().copy("COPY (SELECT * FROM price_bare WHERE item_id <= %s) TO STDOUT", [rows]) as copy:
        db.executemany(f"INSERT INTO price VALUES ({', '.join('?' * COLUMNS)})", copy.rows())
    db.close()
