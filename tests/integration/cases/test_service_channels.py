"""Channels on schedules: what is not due stays back and misses nothing, and sales never wait for it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.central import lanes, schema
from orchestrator.central.agent import CentralAgent
from orchestrator.core.plan import Plan
from orchestrator.core.world import World
from orchestrator.service import timetable
from orchestrator.service.timetable import TillGate
from orchestrator.settings_channel import ChannelSettings
from orchestrator.till.agent import TillAgent
from tests.integration.cases.shop import CHANNELS, Died, Shop, Till, dying_at

STEPS = int(os.environ.get("TILLSYNC_LANE_STEPS", "60"))


@dataclass
class Clock:
    world: World
    at: datetime = datetime(2026, 11, 2, 12, tzinfo=UTC)

    def made(self) -> World:
        return replace(self.world, now=lambda: self.at)

    def to(self, day: int, hour: int, minute: int = 0) -> None:
        self.at = datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def schedule(shop: Shop, **schedules: dict[str, Any]) -> None:
    """The chain's channels, some of them with a schedule."""
    channels = tuple(ChannelSettings(**c, **schedules.get(c["name"], {})) for c in CHANNELS)
    shop.settings = shop.settings.model_copy(update={"channel": channels})
    shop.prepared = schema.prepare(shop.conn, shop.settings)
    schema.install(shop.conn, shop.prepared)


def restart(shop: Shop, clock: Clock) -> None:
    """Central's service ends and comes again."""
    world = clock.made()
    shop.agent.close()
    shop.agent = CentralAgent(shop.settings, world, timetable.of_central(world))


def gate(till: Till, clock: Clock) -> None:
    """The till's service ends and comes again."""
    world = clock.made()
    till.agent.close()
    till.agent = TillAgent(till.settings, world, gate=TillGate(till.node, world))


def test_prices_wait_for_the_evening_and_orders_do_not(shop: Shop, world: World) -> None:
    clock = Clock(world)
    schedule(shop, catalogue={"cron": "0 22 * * *", "window": "21:00-05:00"})
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO item VALUES (1, 'a', 'apple', 1)")
    shop.sql("INSERT INTO branch_item VALUES ('B1', 1)")
    restart(shop, clock)
    shop.settle(till)
    assert till.sql("SELECT price FROM item") != [], "a first load waits for no schedule"

    def prices() -> Any:
        restart(shop, clock)  # what stays back is remembered by head office's database alone
        shop.settle(till)
        return [float(price) for (price,) in till.sql("SELECT price FROM item")]

    shop.sql("UPDATE item SET price = 2")
    shop.sql("INSERT INTO contact (id, name) VALUES ('c1', 'Anna')")
    assert prices() == [1.0]
    assert till.sql("SELECT name FROM contact") == [("Anna",)]
    clock.to(2, 21, 59)
    assert prices() == [1.0]
    clock.to(2, 22, 1)
    assert prices() == [2.0]
    shop.sql("UPDATE item SET price = 3")
    clock.to(2, 23)
    assert prices() == [2.0], "the evening's time is used"
    clock.to(4, 12)  # head office was down at ten; then it is noon, out of the hours
    assert prices() == [2.0]
    clock.to(4, 21, 1)
    assert prices() == [3.0], "what was missed is made good as soon as the hours are"


def test_a_till_that_comes_new_or_moves_brings_what_stayed_back(shop: Shop, world: World) -> None:
    """A snapshot is of its own moment; what stayed back until then goes along, to everybody."""
    clock = Clock(world)
    schedule(shop, catalogue={"every_seconds": 3600})
    first = shop.till("T1", "B1")
    shop.sql("INSERT INTO item SELECT n, 'c' || n, 'x', n FROM generate_series(1, 9) n")
    shop.sql("INSERT INTO branch_item SELECT 'B' || (1 + n % 2), n FROM generate_series(1, 9) n")
    restart(shop, clock)
    shop.settle(first)
    shop.sql("UPDATE item SET price = price + 100")
    shop.sql("DELETE FROM branch_item WHERE item_id = 1")
    clock.to(2, 12, 30)
    shop.settle(first)
    assert first.sql("SELECT max(price) < 100 FROM item") == [(1,)]
    second = shop.till("T2", "B2")
    shop.settle(first, second)
    for till, branch in ((first, "B1"), (second, "B2")):
        assert items(till) == wanted(shop, branch)


def items(till: Till) -> list[tuple[Any, ...]]:
    return [(number, float(price)) for number, price in till.sql("SELECT id, price FROM item ORDER BY id")]


def wanted(shop: Shop, branch: str) -> list[tuple[Any, ...]]:
    query = "SELECT i.id, i.price::float FROM item i JOIN branch_item b ON b.item_id = i.id WHERE b.branch_id = %s ORDER BY 1"
    return shop.sql(query, branch)


def test_sales_are_sent_on_their_schedule_and_take_along_what_waits(shop: Shop, world: World) -> None:
    clock = Clock(world)
    schedule(shop, contacts={"cron": "0 20 * * *"}, sales={"every_seconds": 600})
    till = shop.till("T1", "B1")
    shop.settle(till)
    gate(till, clock)
    till.sql("INSERT INTO contact (id, name) VALUES ('c1', 'Anna')")
    till.sql("INSERT INTO closure VALUES (1, '2026-11-02', '5')")
    shop.settle(till)
    assert shop.sql("SELECT count(*) FROM closure") == [(1,)]
    assert shop.sql("SELECT count(*) FROM contact") == [(1,)], "one line, in order"
    till.sql("UPDATE contact SET name = 'Eva'")
    till.sql("INSERT INTO closure VALUES (2, '2026-11-02', '5')")
    clock.to(2, 12, 9)
    shop.settle(till)
    assert shop.sql("SELECT count(*) FROM closure") == [(1,)]
    clock.to(2, 12, 10)
    shop.settle(till)
    assert shop.sql("SELECT count(*) FROM closure") == [(2,)]
    till.sql("UPDATE contact SET name = 'Ida'")
    clock.to(2, 19, 59)
    gate(till, clock)
    shop.settle(till)
    assert shop.sql("SELECT name FROM contact") == [("Eva",)]
    clock.to(2, 20, 1)
    gate(till, clock)
    shop.settle(till)
    assert shop.sql("SELECT name FROM contact") == [("Ida",)]


def test_the_urgent_goes_ahead_of_a_catalogue(shop: Shop, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "ROWS_AT_ONCE", 100)
    schedule(shop, catalogue={"priority": 9, "every_seconds": 1}, contacts={"priority": 1})
    till = shop.till("T1", "B1")
    restart(shop, Clock(world))
    shop.settle(till)
    restart(shop, Clock(world))
    shop.sql("INSERT INTO item SELECT n, 'c' || n, 'x', n FROM generate_series(1, 200) n")
    shop.sql("INSERT INTO branch_item SELECT 'B1', n FROM generate_series(1, 200) n")
    shop.sql("INSERT INTO contact (id, name) VALUES ('c1', 'Anna')")
    report = shop.agent.round()
    assert report.more
    till.sync()
    assert till.sql("SELECT (SELECT count(*) FROM contact), (SELECT count(*) FROM item)") == [(1, 0)]
    assert not shop.agent.round().more
    till.sync()
    assert till.sql("SELECT count(*) FROM item") == [(200,)]


class AtRandom:
    """Any channels are due at any time."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.all = False

    def due(self, conn: Any, plan: Plan) -> frozenset[str] | None:
        return None if self.all else frozenset(c.name for c in plan.channels if self._chance.random() < 0.4)

    def done(self, conn: Any, plan: Plan, channels: frozenset[str]) -> None: ...


CHANGES = (
    "INSERT INTO item VALUES ({n}, 'c{n}', 'x', {v}) ON CONFLICT (id) DO UPDATE SET price = {v}",
    "DELETE FROM item WHERE id = {n}",
    "INSERT INTO branch_item VALUES ('{b}', {n}) ON CONFLICT DO NOTHING",
    "DELETE FROM branch_item WHERE branch_id = '{b}' AND item_id = {n}",
    "INSERT INTO contact (id, name) VALUES ('k{n}', '{v}') ON CONFLICT (id) DO UPDATE SET name = '{v}'",
    "DELETE FROM contact WHERE id = 'k{n}'",
    "INSERT INTO sales_order (id, branch_id, total) VALUES ('o{n}', '{b}', {v}) ON CONFLICT (id) DO UPDATE SET"
    " branch_id = '{b}', total = {v}",
    "TRUNCATE branch_item",
    "UPDATE item SET price = price + 1",
)
TILLS_OWN = (
    "INSERT OR REPLACE INTO contact (id, name) VALUES ('k{n}', 't{v}')",
    "UPDATE sales_order SET note = 't{v}'",
    "DELETE FROM contact WHERE id = 'k{n}'",
)


@pytest.mark.parametrize("seed", range(int(os.environ.get("TILLSYNC_LANE_SEEDS", "1"))))
def test_whatever_stays_back_at_whatever_time_nothing_is_missed(shop: Shop, world: World, seed: int) -> None:
    chance = random.Random(seed)
    tills = {"B1": shop.till("T1", "B1"), "B2": shop.till("T2", "B2")}
    times = AtRandom(chance)
    shop.agent.close()
    shop.agent = CentralAgent(shop.settings, world, times)
    shop.settle()

    def step() -> None:
        for pool, run in ((CHANGES, shop.sql), (TILLS_OWN, chance.choice(list(tills.values())).sql)):
            for _ in range(chance.randrange(3)):
                statement: str = chance.choice(pool)
                run(statement.format(n=chance.randrange(8), v=chance.randrange(1000), b=chance.choice(["B1", "B2"])))
        if chance.random() < 0.2:
            point = chance.choice(["publish.intent", "publish.routed", "publish.relay"])
            shop.agent.close()
            shop.agent = CentralAgent(shop.settings, dying_at(world, point), times)
            with suppress(Died):
                shop.agent.round()
            shop.agent.close()
            shop.agent = CentralAgent(shop.settings, world, times)
        rounds: list[Callable[[], Any]] = [shop.agent.round, *(t.agent.round for t in tills.values())]
        for make_one in chance.sample(rounds, 2):
            make_one()

    for _ in range(STEPS):
        step()
    times.all = True
    shop.settle()
    for branch, till in tills.items():
        assert items(till) == wanted(shop, branch)
        for table, where in (("contact", "true"), ("sales_order", f"branch_id = '{branch}'")):
            columns = "id, name" if table == "contact" else "id, note"
            theirs = shop.sql(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY id")
            assert till.sql(f"SELECT {columns} FROM {table} ORDER BY id") == theirs, table


def test_what_stays_back_is_not_purged(shop: Shop, world: World, tmp_path: Path) -> None:
    clock = Clock(world)
    schedule(shop, catalogue={"cron": "0 22 * * *"})
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO item VALUES (1, 'a', 'apple', 1)")
    shop.sql("INSERT INTO branch_item VALUES ('B1', 1)")
    restart(shop, clock)
    shop.settle(till)
    shop.sql("UPDATE item SET price = 2")
    for number in range(3):
        shop.sql(f"INSERT INTO contact (id) VALUES ('c{number}')")
        shop.settle(till)
    shop.sql("UPDATE tillsync.intent SET at = at - interval '40 days'")
    purger = shop.agent._central.purger  # type: ignore[union-attr]
    clock.at = datetime.now(UTC)
    assert purger.run(at_once=True).get("ticks", 0) > 0
    assert shop.sql("SELECT count(*) > 0 FROM tillsync.log_item") == [(True,)]
    shop.agent.close()
    shop.agent = CentralAgent(shop.settings, world)
    shop.settle(till)
    assert [float(p) for (p,) in till.sql("SELECT price FROM item")] == [2.0]
