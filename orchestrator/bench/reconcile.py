"""`tillsync bench reconcile`: comparing a till's table with head office's, against reading the table at both ends."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from orchestrator import assets
from orchestrator.bench.lab import Lab, Stopwatch, lab
from orchestrator.central import reconcile_report, reconcile_side, schema
from orchestrator.central.reconcile_side import Asked
from orchestrator.core.comparing import TableAsk
from orchestrator.core.world import real_world
from orchestrator.errors import TillsyncError
from orchestrator.postgres import connect
from orchestrator.till import reconcile_rows
from orchestrator.till.targets import targets_of

WRONG = 10
ROUNDS_MAX = 500


def run(rows: int = 100_000, rounds: int = 5, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Medians over the rounds. `ratio`: seconds that both ends digest a table which agrees, by those of reading it.

    `wrong`: a comparison from its question to its end, agents included, where ten rows differ; `equal`: where none
    does. Bytes are those of questions and answers at the relay.
    """
    with lab() as made:
        made.head.execute("DELETE FROM price WHERE item_id > %s", [rows])
        made.settle()
        made.tidy()
        measured = []
        for number in range(rounds):
            measured.append(_round(made, rows, number))
            seen(f"round {number + 1} of {rounds}: ratio {_ratio(measured[-1]):.2f}")
    middle = {name: median(m[name] for m in measured) for name in measured[0]}
    return {
        "ratio": round(median(map(_ratio, measured)), 3),
        "central_ratio": round(middle["central_digest"] / middle["central_read"], 2),
        "till_ratio": round(middle["till_digest"] / middle["till_read"], 2),
        "rows": rows,
        "equal_bytes": round(middle["equal_bytes"]),
        "wrong_bytes": round(middle["wrong_bytes"]),
        "seconds": {name: round(value, 3) for name, value in middle.items() if not name.endswith("bytes")},
    }


def _ratio(of: dict[str, float]) -> float:
    return (of["central_digest"] + of["till_digest"]) / (of["central_read"] + of["till_read"])


def _round(made: Lab, rows: int, number: int) -> dict[str, float]:
    watch, figures = Stopwatch(), {}
    _read(made, watch)
    _digest(made, watch)
    for name, wrong in (("equal", 0), ("wrong", WRONG)):
        _spoil(made, wrong, number, rows)
        with watch.of(name):
            figures[f"{name}_bytes"], found = _compared(made)
        if found != wrong:
            raise TillsyncError("TS-730", f"{found} of {wrong} differences were found", hint="report it")
    made.pos.execute("UPDATE price SET note = 'price of item ' || item_id WHERE note = 'wrong'")
    made.settle()
    return {**watch.seconds, **figures}


def _read(made: Lab, watch: Stopwatch) -> None:
    with watch.of("central_read"), made.head.cursor().copy("COPY price TO STDOUT") as copy:
        sum(len(block) for block in copy)
    with watch.of("till_read"):
        sum(1 for _ in made.pos.execute("SELECT * FROM price"))


def _digest(made: Lab, watch: Stopwatch) -> None:
    """What either end does for one digest of the table."""
    with connect(made.settings.central.dsn, "figures") as own:
        prepared = schema.installed(own)
        streams = {channel: s for s, channel in own.execute(assets.query("central.streams_of"), {"node": "T1"})}
        asked = Asked("T1", {"store_id": 1}, streams, {"public.price": TableAsk()})
        with own.transaction(force_rollback=True), watch.of("central_digest"):
            for statement in reconcile_side.statements(prepared, 0, [asked], is_utf8=True):
                own.execute(statement)
    target = targets_of(made.pos)["public.price"]
    with watch.of("till_digest"):
        reconcile_rows.table_answer(made.pos, target, TableAsk(), ())


def _spoil(made: Lab, wrong: int, number: int, rows: int) -> None:
    """Makes rows of the till's differ, unseen by its triggers."""
    made.pos.execute("UPDATE tillsync_state SET applying = 1")
    keys = [1 + (number * 7919 + i * 104729) % rows for i in range(wrong)]
    made.pos.executemany("UPDATE price SET note = 'wrong' WHERE item_id = ?", [(key,) for key in keys])
    made.pos.execute("UPDATE tillsync_state SET applying = 0")


def _compared(made: Lab) -> tuple[float, int]:
    """A comparison to its end: bytes at the relay, and how many rows differ."""
    with connect(made.settings.central.dsn, "figures") as own, connect(made.settings.relay.dsn, "figures") as at_relay:
        sent = 0.0
        number = reconcile_report.start(own, real_world(), ["T1"])
        for _ in range(ROUNDS_MAX):
            before = _one(at_relay.execute("SELECT max(n) FROM relay.tick"))
            made.central.round()
            sent += _one(at_relay.execute("SELECT sum(octet_length(frame)) FROM relay.echo WHERE n > %s", [before]))
            made.till.round()
            sent += _one(at_relay.execute("SELECT sum(octet_length(frame)) FROM relay.result"))
            if not reconcile_report.open_nodes(own, number):
                break
        report = reconcile_report.report(own, schema.installed(own), real_world().now(), {})
    (table,) = (t for t in report.branches[0].tables if t.table == "public.price")
    return sent, table.missing + table.extra + table.different


def _one(cursor: Any) -> float:
    return float(cursor.fetchone()[0] or 0)
