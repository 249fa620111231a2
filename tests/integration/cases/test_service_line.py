"""Lines that drop, servers that say nothing, locks that are held: the next round works, and nothing sticks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from orchestrator import log
from orchestrator.central import collect
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError, Unreachable
from orchestrator.relay import link
from orchestrator.relay.client import connect_branch
from orchestrator.service.manager import Manager
from orchestrator.service.scheduler import Ended, Lane, Rhythm, Service, run
from orchestrator.till.agent import TillAgent
from tests.integration.cases.shop import Shop, Till
from tests.integration.line import Line, line_to

ROWS = 300


class Free:
    """A lease that nobody else wants."""

    def hold(self) -> None: ...
    def note(self) -> None: ...
    def release(self) -> None: ...


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    log.configure(level="critical")
    yield
    log.configure(level="warning")


@pytest.fixture
def line(shop: Shop) -> Iterator[Line]:
    with line_to(shop.relay_dsn) as made:
        yield made


@pytest.fixture
def till(shop: Shop, line: Line, world: World) -> Till:
    """A till over the line, with rows to send and rows to take."""
    made = shop.till("T1", "B1")
    dsn = line.dsn(made.dsn)
    made.settings = made.settings.model_copy(
        update={"relay": made.settings.relay.model_copy(update={"dsn": dsn, "connect_timeout_seconds": 2})}
    )
    made.agent.close()
    made.agent = TillAgent(made.settings, world)
    shop.settle(made)
    shop.sql("INSERT INTO item SELECT n, 'c' || n, repeat('x', 200), 1 FROM generate_series(1, %s) n", ROWS)
    shop.sql("INSERT INTO branch_item SELECT 'B1', n FROM generate_series(1, %s) n", ROWS)
    shop.agent.round()
    made.app.executemany("INSERT INTO closure VALUES (?, '2026-11-01', '1.50')", [(n,) for n in range(1, ROWS + 1)])
    return made


def all_is_there(shop: Shop, till: Till) -> None:
    shop.settle(till)
    assert shop.sql("SELECT total FROM turnover") == [(ROWS * 1.5,)], "each closure is posted once"
    assert till.sql("SELECT count(*) FROM item") == [(ROWS,)]


def test_b73_a_line_that_is_cut_anywhere_heals_with_the_next_round(shop: Shop, line: Line, till: Till) -> None:
    """Cut after so many bytes that the till sent: in the login, in a push, in a pull."""
    failed = 0
    for after in (0, 100, 400, 700, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000, 9_000):
        line.passed, line.cut_after, line.state = 0, after, "open"
        try:
            till.sync()
        except Unreachable:
            failed += 1
    assert failed >= 5, "the line was cut in the middle of rounds"
    line.cut_after, line.state = None, "open"
    all_is_there(shop, till)


def test_b73_a_line_that_says_nothing_ends_the_round(
    shop: Shop, line: Line, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link.PatientConnection, "silence_seconds", 0.4)
    till.sync()
    till.sql("INSERT INTO closure VALUES (0, '2026-11-01', '0')")
    line.state = "silent"
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="said nothing"):
        till.sync()
    with pytest.raises(Unreachable):  # and so does a new connection, after its own time
        till.sync()
    assert time.monotonic() - begun < 6
    line.state = "open"
    all_is_there(shop, till)


def test_b73_the_service_notices_within_one_pause_that_the_line_is_back(
    shop: Shop, line: Line, till: Till, world: World
) -> None:
    service = Service(till.agent, Free(), world, Rhythm(0.05, 0.2), {})
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    try:
        until(lambda: till.sql("SELECT count(*) FROM item") == [(ROWS,)])
        line.cut()
        time.sleep(1.5)
        line.state = "open"
        begun = time.monotonic()
        shop.agent.round()
        until(lambda: shop.agent.round().tick is None and till.sql("SELECT max(ack_seq) FROM tillsync_state") != [(0,)])
        assert time.monotonic() - begun < 4, "the pause is 2.5 s at the most here"
    finally:
        service.stopping.set()
        thread.join(10)
    all_is_there(shop, till)


def test_b73_a_row_that_head_office_holds_locked_stops_nobody_else(
    shop: Shop, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody edits a record for ten minutes: its till's sales wait for as long, the others' do not."""
    monkeypatch.setattr(collect, "ATTEMPTS_MAX", 2)
    central = shop.settings.central.model_copy(update={"lock_timeout_seconds": 0.3})
    shop.settings = shop.settings.model_copy(update={"central": central})
    shop.restart()
    tills = [shop.till(node, "B1") for node in ("T1", "T2", "T3")]
    shop.settle()
    for number in (1, 2):
        for till in tills:
            till.sql("INSERT INTO closure VALUES (?, '2026-11-01', '1')", number)
            till.sync()
        if number == 1:
            shop.settle()
    with psycopg.connect(shop.conn.info.dsn, password=shop.conn.info.password) as other:
        other.execute("UPDATE turnover SET total = total WHERE till = 'T2'")
        for _ in range(2):
            with pytest.raises(TillsyncError, match=r"TS-313|TS-405"):
                shop.agent.round()
        other.rollback()
    assert shop.sql("SELECT till, total::int FROM turnover ORDER BY till") == [("T1", 2), ("T2", 1), ("T3", 2)]
    shop.settle()
    assert shop.sql("SELECT total::int FROM turnover") == [(2,)] * 3


def test_a_service_ends_in_order_though_the_relay_says_nothing(line: Line, till: Till, world: World) -> None:
    """The stop comes in the middle of a call: the wait ends, and the file and the line are closed in order."""
    till.sync()
    line.state = "silent"
    stopping, ended = threading.Event(), list[Ended]()
    lanes = [Lane(till.agent, Rhythm(0.05, 0.05))]
    service = threading.Thread(target=lambda: ended.append(run(lanes, Free(), world, {}, Manager(), stopping)))
    service.start()
    time.sleep(0.5)
    begun = time.monotonic()
    stopping.set()
    service.join(10)
    assert ended == [Ended.IN_ORDER]
    assert time.monotonic() - begun < 5
    line.state = "open"


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def test_a_call_is_given_up_within_a_moment(line: Line, till: Till) -> None:
    relay = connect_branch(till.settings.relay.dsn)
    try:
        relay.hello()
        line.state = "silent"
        threading.Timer(0.3, relay.interrupt).start()
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="given up"):
            relay.hello()
        assert time.monotonic() - begun < 2
        line.state = "open"
        assert relay.hello().node == "T1"
    finally:
        relay.close()
