"""`tillsync bench latency`: one changed price, from head office's commit until the till's file shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

from orchestrator.bench.lab import Lab, lab
from orchestrator.postgres import connect

LOOK_SECONDS = 0.002
GIVE_UP_SECONDS = 30.0


def run(updates: int = 50, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """`updates` single updates, one by one, while both agents poll; `ratio` = the median / the poll interval."""
    with lab() as made:
        poll_seconds = made.settings.poll_ms / 1000
        stop = threading.Event()
        agents = [threading.Thread(target=_poll, args=(a, poll_seconds, stop)) for a in (made.central, made.till)]
        for agent in agents:
            agent.start()
        try:
            taken = [_one(made, number) for number in range(updates)]
        finally:
            stop.set()
            for agent in agents:
                agent.join()
    seen(f"{len(taken)} updates")
    middle, ninety_five = median(taken), quantiles(taken, n=20)[-1]
    return {
        "ratio": round(middle / poll_seconds, 2),
        "poll_ms": round(poll_seconds * 1000),
        "p50_ms": round(middle * 1000, 1),
        "p95_ms": round(ninety_five * 1000, 1),
        "max_ms": round(max(taken) * 1000, 1),
        "updates": len(taken),
    }


def _poll(agent: Any, seconds: float, stop: threading.Event) -> None:
    while not stop.wait(seconds):
        agent.round()


def _one(made: Lab, number: int) -> float:
    sleep((number * 37 % 100) / 1000)  # so that the commits do not fall in step with the polls
    item, amount = 1 + number, 1_000_000 + number
    with connect(made.settings.central.dsn, "one price") as head:
        head.execute("UPDATE price SET amount = %s WHERE item_id = %s", [amount, item])
    committed = perf_counter()
    while made.pos.execute("SELECT amount FROM price WHERE item_id = ?", (item,)).fetchall() != [(amount,)]:
        sleep(LOOK_SECONDS)
        assert perf_counter() - committed < GIVE_UP_SECONDS, f"the price of item {item} does not arrive"
    return perf_counter() - committed
