"""`tillsync bench up`: receipt lines from a till's file into head office's table, against COPY into the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from orchestrator.bench.lab import Lab, Stopwatch, lab

LINES_PER_RECEIPT = 5


def run(rows: int = 100_000, rounds: int = 5, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Medians over the rounds. `ratio` = floor / ours; ours is the push, the merge and the ack of captured lines.

    Floor: the same lines, already rendered, written with COPY into the same table without anything of ours.
    `sell` is what the till's application took to write the lines, captured and in one transaction; it is not counted.
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
        "rows": rows,
        "rows_per_second": round(rows / middle["ours"]),
        "seconds": {name: round(value, 3) for name, value in middle.items()},
    }


def _round(made: Lab, rows: int, number: int) -> dict[str, float]:
    sold = list(lines(rows, number))
    rendered = "".join("T1\t" + "\t".join(map(str, line)) + "\n" for line in sold).encode()
    watch = Stopwatch()
    with watch.of("floor"), made.head.cursor().copy("COPY receipt_line_bare FROM STDIN") as copy:
        copy.write(rendered)
    with watch.of("sell"), made.pos:
        made.pos.executemany("INSERT INTO receipt_line VALUES (?, ?, ?, ?, ?, ?)", sold)
    with watch.of("ours"):
        with watch.of("push"):
            sent = made.till.round().sent
        with watch.of("merge"):
            merged = made.central.round().merged
        with watch.of("ack"):
            made.till.round()
    assert sent == merged == rows, f"{sent} sent, {merged} merged of {rows}"
    return watch.seconds


def lines(rows: int, number: int) -> Iterator[tuple[int, int, int, float, float, str]]:
    """What a till sells in one round: rows of its receipt_line."""
    for i in range(rows):
        receipt = number * rows + i // LINES_PER_RECEIPT
        sold_at = f"2026-03-{1 + i % 28:02d}T10:{i % 60:02d}:00+00:00"
        yield receipt, i % LINES_PER_RECEIPT, i % 3000, 1 + i % 3, 0.25 * (1 + i % 400), sold_at
