"""Prices with validity dates are shipped ahead: a till sees the old list or the new one, and head office knows who has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.world import World
from orchestrator.errors import ConfigError
from orchestrator.service import readiness
from tests.integration.cases.shop import Died, Shop, Till, dying_at, open_app

CENTRAL = """
CREATE TABLE price_list (id int PRIMARY KEY, branch_id text, valid_from date, valid_to date);
CREATE TABLE price (list_id int REFERENCES price_list ON DELETE CASCADE, item_id int, amount numeric(12,4),
                    PRIMARY KEY (list_id, item_id));
CREATE TABLE note (id int PRIMARY KEY, text text);
"""
TILL = """
CREATE TABLE price_list (id INTEGER PRIMARY KEY, branch_id TEXT, valid_from TEXT, valid_to TEXT);
CREATE TABLE price (list_id INTEGER, item_id INTEGER, amount TEXT, PRIMARY KEY (list_id, item_id));
CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);
"""
OF_BRANCH = "EXISTS (SELECT 1 FROM price_list l WHERE l.id = price.list_id AND l.branch_id = :branch_id)"
CHANNELS: list[dict[str, Any]] = [
    {
        "name": "prices",
        "direction": "down",
        "table": [
            {"name": "price_list", "filter": "branch_id = :branch_id", "validity": ["valid_from", "valid_to"]},
            {"name": "price", "filter": OF_BRANCH},
            {"name": "note"},
        ],
    }
]
DAY = date(2026, 3, 1)
CONTENT = "SELECT list_id, count(*), sum(amount) FROM price GROUP BY list_id ORDER BY list_id"


@pytest.fixture
def chain(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(database, world, tmp_path, central=CENTRAL, till=TILL, channels=CHANNELS)
    yield made
    made.close()


def told(chain: Shop, day: date = DAY) -> dict[str, Any]:
    return readiness.for_day(chain.settings, day)


def not_ready(chain: Shop, day: date = DAY) -> dict[str, str]:
    found = told(chain, day)
    assert found["ready"] == (not found["unpublished"] and all(b["ready"] for b in found["branches"]))
    return {b["node"]: b["why"] for b in found["branches"] if not b["ready"]}


def publish(chain: Shop) -> None:
    for _ in range(2):
        chain.agent.round()


def test_b82_the_till_sees_the_old_list_or_the_new_one_and_head_office_which(chain: Shop) -> None:
    one = chain.till("T1", "B1")
    chain.sql("INSERT INTO price_list VALUES (1, 'B1', '2026-01-01', NULL), (2, 'B1', '2026-01-01', NULL)")
    chain.sql("INSERT INTO price SELECT 1 + i % 2, i, 10 FROM generate_series(1, 3000) i")
    chain.settle()
    old = one.sql(CONTENT)
    assert old == [(1, 1500, 15000.0), (2, 1500, 15000.0)]
    assert not_ready(chain) == {}
    chain.sql("BEGIN")
    chain.sql("UPDATE price SET amount = 11")
    chain.sql("UPDATE price SET list_id = 3 - list_id WHERE item_id <= 40 AND list_id = 1")
    chain.sql("COMMIT")
    new = [(1, 1480, 16280.0), (2, 1520, 16720.0)]
    publish(chain)
    seen: list[Any] = []
    app = open_app(one.file)  # the till application reads while the agent applies

    def look(point: str) -> None:
        if point.startswith(("apply", "pull")):
            seen.append(app.execute(CONTENT).fetchall())

    at_work = World(chain.world.now, chain.world.monotonic, chain.world.random63, chain.world.sleep, look)
    for point in ("pull.fetched", "apply.begun", "apply.rows"):
        one.restart(dying_at(at_work, point))
        with pytest.raises(Died):
            one.sync()
        assert one.sql(CONTENT) == old
        assert set(not_ready(chain)) == {"T1"}
    one.restart(at_work)
    one.sync()
    one.sync()
    app.close()
    assert one.sql(CONTENT) == new
    assert old in seen
    assert all(content in (old, new) for content in seen), "neither half a list nor two of them"
    assert not_ready(chain) == {}


def test_who_holds_the_list_of_a_day_is_known(chain: Shop) -> None:
    one, two = chain.till("T1", "B1"), chain.till("T2", "B2")
    assert set(not_ready(chain)) == {"T1", "T2"}, "neither was ever loaded"
    chain.sql("INSERT INTO price_list VALUES (1, 'B1', '2026-01-01', '2026-02-28'), (2, 'B2', '2026-01-01', NULL)")
    chain.settle()
    assert not_ready(chain) == {}
    chain.sql("INSERT INTO price_list VALUES (3, 'B1', '2026-03-01', '2026-03-07')")
    chain.sql("INSERT INTO price VALUES (3, 1, 9.9), (3, 2, 8.8)")
    found = told(chain)
    assert [(t["table"], t["valid"], t["unpublished"]) for t in found["tables"]] == [
        ("public.price_list", 2, 1),
        ("public.price", 2, 2),
    ]
    assert found["ready"] is False
    publish(chain)
    assert not_ready(chain) == {"T1": "3 rows are not there, or not as they are now"}, "T2 has nothing to do with it"
    assert not_ready(chain, date(2026, 2, 1)) == {}, "the list of that day is there"
    one.sync()
    one.sync()
    assert not_ready(chain) == {}
    # What a till has, and is not as it is now, may be wrong on any day; a row that it never had is no matter before its day.
    for change in ("UPDATE price SET amount = 7 WHERE list_id = 3 AND item_id = 1",
                   "UPDATE price_list SET valid_from = '2026-04-01' WHERE id = 3",
                   "DELETE FROM price WHERE list_id = 3 AND item_id = 2",
                   "DELETE FROM price_list WHERE id = 3"):  # fmt: skip
        chain.sql(change)
        publish(chain)
        assert set(not_ready(chain)) == {"T1"}, change
        one.sync()
        one.sync()
        assert not_ready(chain) == {}, change
    chain.sql("INSERT INTO note VALUES (1, 'nothing of a list')")
    publish(chain)
    assert not_ready(chain) == {}
    chain.sql("INSERT INTO price VALUES (1, 5, 1), (1, 6, 1)")
    chain.settle(one, two)
    chain.sql("UPDATE price_list SET branch_id = 'B2', valid_to = NULL WHERE id = 1")
    publish(chain)
    lacks = {b["node"]: b["missing"] for b in told(chain)["branches"]}
    assert lacks == {"T1": 3, "T2": 3}, "its prices go with it, though none of them changed"
    chain.settle(one, two)
    chain.sql("TRUNCATE price")
    assert set(not_ready(chain)) == {"T2"}, "before it is published, too"
    publish(chain)
    assert set(not_ready(chain)) == {"T2"}
    chain.settle(one, two)
    chain.sql("UPDATE tillsync.node SET announced = false WHERE node = 'T2'")
    assert not_ready(chain) == {"T2": "it is being loaded"}
    forget(chain, two)
    assert "away for longer" in not_ready(chain)["T2"]
    plain = chain.settings.model_copy(update={"channel": ()})
    with pytest.raises(ConfigError, match="TS-895"):
        readiness.for_day(plain, DAY)


def forget(chain: Shop, till: Till) -> None:
    """The till's tick is purged, as after a long absence."""
    ((tick,),) = till.sql("SELECT tick FROM tillsync_state")
    chain.sql("DELETE FROM tillsync.intent WHERE n = %s", tick)
