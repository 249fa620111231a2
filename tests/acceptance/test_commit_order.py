"""Twenty writers that commit out of order, with a transaction held open throughout: every row once, none missed.

A reader that remembers the last number it saw runs beside the publisher, over the same rows, and loses some of them:
that is what ticks by snapshots are for, and it shows that the race is a real one.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import msgspec
import psycopg
import pytest

from orchestrator.core import wire
from orchestrator.core.world import World
from tests.integration.central.chain import Chain, build, ticks

WRITERS = 20
SECONDS = float(os.environ.get("TILLSYNC_RACE_SECONDS", "30"))
TABLE = "CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, writer int, note text)"
CHANNELS = [{"name": "events", "direction": "down", "table": [{"name": "event"}]}]


def write_until(stop: threading.Event, dsn: str, writer: int) -> None:
    """Transactions of one to five rows that stay open for 0 to 60 ms after they took their numbers."""
    r = random.Random(writer)
    with psycopg.connect(dsn) as conn:
        while not stop.is_set():
            for _ in range(r.randint(1, 5)):
                conn.execute("INSERT INTO event (writer, note) VALUES (%s, 'x')", [writer])
                time.sleep(r.random() * 0.012)
            if r.random() < 0.1:
                conn.rollback()
            else:
                conn.commit()


def read_by_number(stop: threading.Event, dsn: str, seen: set[int]) -> None:
    """The reader of so many sync tools: everything above the last number it saw."""
    last = 0
    with psycopg.connect(dsn, autocommit=True) as conn:
        while not stop.is_set():
            for (number,) in conn.execute("SELECT id FROM event WHERE id > %s ORDER BY id", [last]):
                seen.add(number)
                last = number
            time.sleep(0.05)


class Receiver:
    """Counts how often each row came."""

    def __init__(self, chain: Chain) -> None:
        self.relay = chain.branch("T1", 1)
        self.streams = [s for s, _ in self.relay.hello().streams]
        self.relay.want_snapshot(self.streams)
        self.came: Counter[int] = Counter()
        self.after = 0

    def take(self) -> None:
        for head, parts in ticks(self.relay, self.after, self.streams):
            self.after = head.n
            for part in parts:
                doc = msgspec.json.decode(wire.unpack(part.frame))
                self.came.update(row[doc["c"].index("id")] for row in doc.get("put", []))


@pytest.mark.timeout(300)
def test_no_row_is_missed_and_none_comes_twice(database: Callable[..., str], world: World) -> None:
    chain = build(database, world, CHANNELS, TABLE, part_rows_max=5000)
    try:
        receiver = Receiver(chain)
        chain.publisher.publish()
        receiver.take()
        stop, numbered = threading.Event(), set[int]()
        threads = [threading.Thread(target=write_until, args=(stop, chain.central_dsn, w)) for w in range(WRITERS)]
        threads.append(threading.Thread(target=read_by_number, args=(stop, chain.central_dsn, numbered)))
        with psycopg.connect(chain.central_dsn) as held:
            held.execute("INSERT INTO event (writer, note) VALUES (-1, 'held open throughout')")
            for thread in threads:
                thread.start()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                chain.publisher.publish()
                receiver.take()
                time.sleep(0.02)
            stop.set()
            for thread in threads:
                thread.join()
            chain.publisher.publish()
            held.commit()
        chain.publisher.publish()
        receiver.take()
        there = {number for (number,) in chain.conn.execute("SELECT id FROM event")}
    finally:
        chain.close()
    lost = there - numbered
    assert receiver.came.keys() == there
    assert [number for number, times in receiver.came.items() if times > 1] == []
    assert len(lost) > 1, "the race did not happen: nothing was proven"
