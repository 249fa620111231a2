"""Field cases of big ticks and first loads: the till's application goes on, and sees the old or the new, never a mixture."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import apsw
import pytest

from orchestrator.core.world import World
from orchestrator.errors import Unreachable
from orchestrator.relay import client
from orchestrator.relay.client import BranchRelay
from orchestrator.relay.messages import Part
from orchestrator.till import staging
from tests.integration.cases.shop import Died, Shop, Till, dying_at

PRICES = "SELECT list_id, item_id, amount FROM price ORDER BY 1, 2"
MANY = "INSERT INTO price SELECT 1, g, g / 100.0 FROM generate_series(1, %s) g"


@pytest.fixture
def listed(shop: Shop) -> Shop:
    """Two price lists of branch B1 with 3 000 prices each."""
    shop.sql("INSERT INTO price_list VALUES (1, 'B1', 'retail'), (2, 'B1', 'club')")
    shop.sql("INSERT INTO price SELECT l, g, g / 100.0 + l FROM generate_series(1, 3000) g, generate_series(1, 2) l")
    return shop


def watching(world: World, look: Callable[[str], None]) -> World:
    """A world in which something looks at every crash point."""
    return World(world.now, world.monotonic, world.random63, world.sleep, look)


def counting(till: Till, seen: Callable[[str], None]) -> None:
    """Tells of every call that the till makes to its relay, before it is made."""
    relay = till.agent._relay
    assert isinstance(relay, BranchRelay)
    rows = relay._rows

    def told(name: str, **values: Any) -> Any:
        seen(name)
        return rows(name, **values)

    relay._rows = told  # type: ignore[method-assign]


def sell(file: str, busy_ms: int, stop: Event, sold: Queue[Any]) -> None:
    """The till's application, a process of its own: a sale, a short pause, and so on until it is told to stop."""
    app = apsw.Connection(file)
    app.set_busy_timeout(busy_ms)
    made, refused, longest = 0, 0, 0.0
    sold.put("open")
    while not stop.is_set():
        began = time.monotonic()
        try:
            app.execute("INSERT INTO closure VALUES (?, '2024-03-01', 10)", (made + refused + 1,))
            made += 1
        except apsw.BusyError:
            refused += 1
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.005)
    app.close()
    sold.put((made, refused, longest))


@contextmanager
def selling(file: Path, busy_ms: int) -> Iterator[list[Any]]:
    """Sales in the background; afterwards the list has how many were made and refused, and the longest, in seconds."""
    context = mp.get_context("spawn")
    stop, sold = context.Event(), context.Queue()
    seller = context.Process(target=sell, args=(str(file), busy_ms, stop, sold), daemon=True)
    seller.start()
    assert sold.get(timeout=60) == "open"
    sales: list[Any] = []
    try:
        yield sales
    finally:
        stop.set()
        sales += sold.get(timeout=60)
        seller.join(60)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_b70_a_till_sells_while_50_000_prices_come(shop: Shop, journal: str) -> None:
    shop.sql("INSERT INTO price_list VALUES (1, 'B1', 'retail')")
    shop.sql(MANY, 50_000)
    one = shop.till("T1", "B1")
    shop.settle()
    one.agent.close()
    assert one.sql(f"PRAGMA journal_mode = {journal}") == [(journal,)]
    shop.sql("UPDATE price SET amount = amount + 1")
    shop.agent.round()
    free: list[str] = []
    probe = apsw.Connection(str(one.file))
    probe.set_busy_timeout(1_000)  # as long as the seller may be at it

    def look(point: str) -> None:
        if point in ("pull.fetched", "pull.staged", "apply.compared", "apply.committed"):
            probe.execute("BEGIN IMMEDIATE; ROLLBACK")
            free.append(point)

    one.restart(watching(shop.world, look))
    with selling(one.file, 5_000) as sales:
        assert one.agent.round().received == 50_000
    probe.close()
    one.restart()
    made, refused, longest = sales
    assert (refused, one.sql("SELECT count(*) FROM closure")) == (0, [(made,)])
    assert made > 5
    assert longest < 2.0, "200 ms are allowed, and the rest is a busy machine's"
    assert {"pull.staged", "apply.compared"} <= set(free), "what takes long is done without the lock"
    shop.settle()
    assert shop.sql("SELECT count(*) FROM closure") == [(made,)]
    assert one.sql("SELECT sum(amount) FROM price") == [(pytest.approx(50_000 * 50_001 / 200 + 50_000),)]


def test_b71_no_read_transaction_is_open_while_the_network_answers(
    listed: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = listed.till("T1", "B1")
    calls: list[str] = []

    def look(name: str) -> None:
        calls.append(name)
        for number in range(20 if len(calls) < 100 else 0):
            one.sql("INSERT INTO closure VALUES (?, '2024-03-01', 10)", len(calls) * 1_000 + number)
        (busy, *_), *_ = one.app.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert busy == 0, f"the file is held while {name} is asked for"

    counting(one, look)
    listed.settle()
    monkeypatch.setattr(client, "INLINE_BYTES_MAX", 4_000)
    listed.sql("UPDATE price SET amount = amount + 1")
    listed.settle()
    assert {"hello", "pull", "parts", "push", "report_status", "want_snapshot", "snapshots"} <= set(calls)
    assert Path(f"{one.file}-wal").stat().st_size < 2 * 1024 * 1024
    assert one.sql(PRICES) == [(a, b, pytest.approx(float(c))) for a, b, c in listed.sql(PRICES)]


def test_b75_a_long_absence_is_made_good_over_a_link_that_keeps_breaking(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("PULL_BYTES_MAX", 20_000), ("INLINE_BYTES_MAX", 4_000), ("PARTS_BYTES_MAX", 1)):
        monkeypatch.setattr(client, name, size)
    shop.sql("INSERT INTO price_list VALUES (1, 'B1', 'retail')")
    one = shop.till("T1", "B1")
    shop.settle()
    for k in range(20):
        shop.sql(f"INSERT INTO price SELECT 1, g, g / 100.0 FROM generate_series({k * 1000 + 1}, {k * 1000 + 1000}) g")
        shop.agent.round()
    shop.sql("UPDATE price SET amount = amount + 1")
    shop.agent.round()
    for number in range(500):
        one.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', NULL, 10)", f"B1-{number}", str(number))
    left = 0

    def breaks(name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Unreachable("TS-400", "the link is down")

    fetched: list[tuple[int, str, int, int]] = []
    relay = one.agent._relay
    assert isinstance(relay, BranchRelay)
    parts = relay.parts

    def noted(n: int, first: Part) -> list[Part]:
        found = parts(n, first)
        fetched.extend((n, p.kind, p.stream, p.part) for p in found)
        return found

    relay.parts = noted  # type: ignore[method-assign]
    counting(one, breaks)
    rounds = 0
    while one.sql("SELECT count(*), sum(amount > 1) FROM price") != [(20_000, 20_000)]:
        left = 4  # hello, a push or two, and a part or two: then it is gone
        with pytest.raises(Unreachable):
            one.sync()
        rounds += 1
        shop.sql("UPDATE price SET amount = amount + 1 WHERE item_id = %s", rounds)
        shop.agent.round()
        assert rounds < 60, "it never ends"
    assert rounds > 3
    assert len(fetched) == len(set(fetched)), "nothing is fetched twice"
    left = 1_000_000
    shop.settle()
    assert shop.sql("SELECT count(*), count(DISTINCT id) FROM sales_order") == [(500, 500)]
    assert one.sql(PRICES) == [(a, b, pytest.approx(float(c))) for a, b, c in shop.sql(PRICES)]


@pytest.mark.parametrize("point", ["publish.routed", "publish.intent", "publish.relay"])
def test_b77_central_dies_within_a_first_load(listed: Shop, point: str) -> None:
    one = listed.till("T1", "B1")
    one.sync()
    listed.restart(dying_at(listed.world, point))
    with pytest.raises(Died):
        listed.agent.round()
    listed.sql("UPDATE price SET amount = amount + 1 WHERE item_id <= 10")
    listed.restart()
    listed.settle()
    assert one.sql(PRICES) == [(a, b, pytest.approx(float(c))) for a, b, c in listed.sql(PRICES)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_b77_a_till_dies_within_a_first_load(shop: Shop, share: float) -> None:
    shop.sql("INSERT INTO price_list VALUES (1, 'B1', 'retail')")
    shop.sql(MANY, 60_000)
    one = shop.till("T1", "B1")
    one.sync()
    shop.agent.round()
    seen: list[int] = []
    counting(one, lambda name: seen.append(0) if name == "parts" else None)
    relay = one.agent._relay
    assert isinstance(relay, BranchRelay)
    parts = relay.parts

    def dies(n: int, first: Part) -> list[Part]:
        if first.part >= 12 * share:
            raise Died(f"part {first.part}")
        return parts(n, first)[:1]

    relay.parts = dies  # type: ignore[method-assign]
    with pytest.raises(Died):
        one.sync()
    before = len(seen)
    assert one.sql("SELECT count(*) FROM price") == [(0,)]
    shop.sql("UPDATE price SET amount = amount + 1 WHERE item_id <= 100")
    shop.sql("DELETE FROM price WHERE item_id > 59000")
    shop.agent.round()
    one.restart()
    assert Path(f"{one.file}{staging.SUFFIX}").stat().st_size > 0, "what came is kept"
    shop.settle()
    assert before > 1
    assert one.sql("SELECT count(*), sum(amount) FROM price") == [
        tuple(float(v) for v in row) for row in shop.sql("SELECT count(*), sum(amount) FROM price")
    ]


@pytest.mark.parametrize("inline_bytes", [0, client.INLINE_BYTES_MAX])
def test_b82_a_reader_sees_the_old_list_or_the_new_one(
    listed: Shop, inline_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the tick comes at once or part by part."""
    monkeypatch.setattr(client, "INLINE_BYTES_MAX", inline_bytes)
    one = listed.till("T1", "B1")
    listed.settle()
    old = one.sql(PRICES)
    listed.sql("BEGIN")
    listed.sql("UPDATE price SET amount = amount + 1 WHERE list_id = 1")
    listed.sql("DELETE FROM price WHERE list_id = 1 AND item_id <= 20")
    listed.sql("INSERT INTO price SELECT 1, g, 9.99 FROM generate_series(4001, 4020) g")
    listed.sql("COMMIT")
    listed.agent.round()
    new = [(a, b, pytest.approx(float(c))) for a, b, c in listed.sql(PRICES)]
    seen: list[str] = []

    def look(point: str) -> None:
        now = one.sql(PRICES)
        assert now in (old, new), f"a mixture at {point}"
        assert point not in ("apply.compared", "apply.rows") or now == old, "not committed, and yet seen"
        seen.append(point)

    staged = [] if inline_bytes else ["pull.staged", "apply.compared"]
    for point in (*staged, "apply.begun", "apply.tick", "apply.rows"):
        one.restart(dying_at(listed.world, point))
        with pytest.raises(Died):
            one.sync()
        assert one.sql(PRICES) == old
    one.restart(watching(listed.world, look))
    one.sync()
    assert {*staged, "apply.tick", "apply.rows", "apply.committed"} <= set(seen)
    assert one.sql(PRICES) == new
    (report,) = listed.relay.reports()
    assert report["body"]["tick"] == listed.relay.head().n
