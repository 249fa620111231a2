"""`tillsync bench locks`: what a till that sells feels of a price list that comes meanwhile, against selling alone."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from statistics import quantiles
from typing import Any

import apsw

from orchestrator.bench.lab import Lab, lab

BUSY_MS = 1_000
PAUSE_SECONDS = 0.002
LINES = 4
Sales = list[tuple[float, float]]
"""When each sale began, by the monotonic clock, and its milliseconds from BEGIN to after COMMIT."""


def run(rows: int = 100_000, rounds: int = 5, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """`ratio`: the 99th percentile of the sales while a tick of `rows` is taken, by that of sales with no sync.

    A sale is five rows in one durable commit, in a process of its own, with a busy timeout of one second. `longest_ms`
    is the longest sale of any round, and with that more than the agent ever held the lock.
    """
    alone: list[float] = []
    beside: list[float] = []
    refused = 0
    with lab() as made:
        made.pos.execute("CREATE INDEX price_valid_from ON price (valid_from)")
        made.pos.execute("CREATE INDEX price_note ON price (note)")
        for number in range(rounds):
            made.tidy()
            for is_beside, found in ((False, alone), (True, beside)):
                measured, failed = _round(made, rows, number * 2 + is_beside, is_beside=is_beside)
                refused += failed
                found += measured
            seen(f"round {number + 1} of {rounds}: longest {max(beside):.0f} ms, {refused} refused")
    return {
        "ratio": round(_percentile(beside, 99) / _percentile(alone, 99), 2),
        "rows": rows,
        "refused": refused,
        "longest_ms": round(max(beside), 1),
        "beside_ms": {"p50": round(_percentile(beside, 50), 2), "p99": round(_percentile(beside, 99), 2)},
        "alone_ms": {
            "p50": round(_percentile(alone, 50), 2),
            "p99": round(_percentile(alone, 99), 2),
            "longest": round(max(alone), 1),
        },
        "sales": len(beside),
    }


def _round(made: Lab, rows: int, number: int, *, is_beside: bool) -> tuple[list[float], int]:
    """Milliseconds of the sales of one round, and how many were refused."""
    if is_beside:
        made.head.execute("UPDATE price SET amount = amount + 1 WHERE item_id <= %s", [rows])
        made.central.round()
    context = mp.get_context("spawn")
    stop, sold = context.Event(), context.Queue()
    first = 50_000_000 + number * 1_000_000
    seller = context.Process(target=_sell, args=(str(made.directory / "pos.db"), first, stop, sold))
    seller.start()
    assert sold.get(timeout=60) == "open"
    began = time.monotonic()
    if is_beside:
        received = made.till.round().received
        assert received == rows, f"{received} of {rows} rows arrived"
    else:
        time.sleep(1)
    ended = time.monotonic()
    stop.set()
    sales, refused = sold.get(timeout=60)
    seller.join(60)
    return [ms for at, ms in sales if at + ms / 1000 >= began and at <= ended], refused


def _sell(file: str, first: int, stop: Event, sold: Queue[Any]) -> None:
    """Sells until it is told to stop, as a till's application does."""
    pos = apsw.Connection(file)
    pos.set_busy_timeout(BUSY_MS)
    pos.execute("PRAGMA synchronous = FULL")
    sales: Sales = []
    refused = 0
    sold.put("open")
    while not stop.is_set():
        receipt = first + len(sales) + refused
        began = time.monotonic()
        try:
            _sale(pos, receipt)
        except apsw.BusyError:
            refused += 1
        sales.append((began, (time.monotonic() - began) * 1000))
        time.sleep(PAUSE_SECONDS)
    pos.close()
    sold.put((sales, refused))


def _sale(pos: apsw.Connection, receipt: int) -> None:
    at = "2026-03-01T10:00:00+00:00"
    pos.execute("BEGIN IMMEDIATE")
    try:
        pos.execute("INSERT INTO receipt VALUES (?, ?, ?, 38)", (receipt, receipt, at))
        for line in range(LINES):
            row = (receipt, line, receipt * line % 3000, 1, 9.5, at)
            pos.execute("INSERT INTO receipt_line VALUES (?, ?, ?, ?, ?, ?)", row)
        pos.execute("COMMIT")
    except apsw.BusyError:
        pos.execute("ROLLBACK")
        raise


def _percentile(found: list[float], percent: int) -> float:
    return quantiles(found, n=100)[percent - 1]
