"""Branches that go from one stream to another: they get what differs, whatever happens meanwhile, and no word of the rest."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from orchestrator.core import wire
from orchestrator.relay import client
from orchestrator.service import office as offices
from tests.integration.cases.shop import Died, Shop, Till, dying_at

SEQUENCES = int(os.environ.get("TILLSYNC_MOVE_SEQUENCES", "6"))
MINE = "SELECT id, price FROM item ORDER BY id"
WANTED = "SELECT i.id, i.price FROM item i JOIN branch_item b ON b.item_id = i.id WHERE b.branch_id = %s ORDER BY 1"
POINTS = ["publish.routed", "publish.intent", "publish.relay"]


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """Items 1 to 100: B1 has those up to 60, B2 those from 41 on, B3 the even ones. T1 is at B1, T2 at B2, T3 at B3."""
    shop.sql("INSERT INTO item SELECT g, 'c' || g, 'item ' || g, g FROM generate_series(1, 100) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 60) g")
    shop.sql("INSERT INTO branch_item SELECT 'B2', g FROM generate_series(41, 100) g")
    shop.sql("INSERT INTO branch_item SELECT 'B3', g FROM generate_series(2, 100, 2) g")
    for n in (1, 2, 3):
        shop.till(f"T{n}", f"B{n}")
    shop.settle()
    return shop


def move(shop: Shop, node: str, branch: str) -> None:
    office = offices.Office(shop.settings, shop.world, shop.conn, shop.relay, shop.prepared)
    offices.change(office, node, {"branch_id": branch}, yes=True)


def holds(shop: Shop, till: Till, branch: str) -> bool:
    return till.sql(MINE) == [(i, pytest.approx(float(p))) for i, p in shop.sql(WANTED, branch)]


def parts_for(shop: Shop, node: str, after: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, document) of what the relay keeps for a branch after a tick, items alone."""
    with psycopg.connect(shop.relay_dsn) as relay:
        for kind, frame in relay.execute(
            "SELECT p.kind, p.frame FROM relay.payload p JOIN relay.subscription s ON s.stream = p.stream"
            " WHERE s.node = %s AND p.n > %s AND p.n > s.since AND p.n <= coalesce(s.until, p.n)"
            " UNION ALL SELECT 'echo', frame FROM relay.echo WHERE node = %s AND n > %s",
            (node, after, node, after),
        ):
            doc = msgspec.json.decode(wire.unpack(frame))
            if doc["t"] == "public.item":
                yield kind, doc


@pytest.mark.parametrize("inline_bytes", [0, client.INLINE_BYTES_MAX])
@pytest.mark.parametrize("to", ["B2", "B4"])
def test_a_branch_that_moves_gets_the_difference_and_no_word_of_the_rest(
    stocked: Shop, to: str, inline_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a stream that others have, and to one that nobody had."""
    monkeypatch.setattr(client, "INLINE_BYTES_MAX", inline_bytes)
    stocked.sql("INSERT INTO branch_item SELECT 'B4', g FROM generate_series(41, 100) g")
    one, n = stocked.tills["T1"], stocked.relay.head().n
    move(stocked, "T1", to)
    stocked.sql("UPDATE item SET price = price + 1 WHERE id IN (10, 50, 90)")  # in the old one, in both, in the new one
    stocked.sql("DELETE FROM branch_item WHERE item_id IN (11, 51, 91)")
    stocked.settle()
    assert holds(stocked, one, to)
    found = list(parts_for(stocked, "T1", n))
    assert {kind for kind, _ in found} <= {"delta", "echo"}, "no snapshot"
    put = [row[0] for _, doc in found for row in doc.get("put", [])]
    cut = [key for _, doc in found for (key,) in doc.get("cut", [])]
    assert sorted(set(put) - {10, 50}) == [i for i in range(61, 101) if i != 91]
    assert set(cut) <= set(range(1, 61)), "never held, never mentioned"
    stocked.sql("UPDATE item SET price = price + 1 WHERE id IN (10, 50, 90)")
    n = stocked.relay.head().n
    stocked.settle()
    assert holds(stocked, one, to)
    assert {row[0] for _, doc in parts_for(stocked, "T1", n) for row in doc.get("put", [])} == {50, 90}


def test_a_till_that_is_behind_follows_its_old_stream_up_to_the_move(stocked: Shop) -> None:
    one, others = stocked.tills["T1"], (stocked.tills["T2"], stocked.tills["T3"])
    for change in range(4):
        stocked.sql("UPDATE item SET price = price + 1 WHERE id %% 4 = %s", change)
        if change == 1:
            move(stocked, "T1", "B2")
        stocked.sync(*others)
    one.sync()
    assert holds(stocked, one, "B2")
    assert one.sql("SELECT count(*) FROM tillsync_stream WHERE coalesce(loaded_tick, 0) = 0") == [(0,)]


@pytest.mark.parametrize("way", [["B2", "B1"], ["B2", "B3"], ["B3", "B2", "B1"], ["B2", "B2"]])
def test_several_moves_while_a_till_is_away(stocked: Shop, way: list[str]) -> None:
    one, others = stocked.tills["T1"], (stocked.tills["T2"], stocked.tills["T3"])
    for number, branch in enumerate(way):
        move(stocked, "T1", branch)
        stocked.sql("UPDATE item SET price = price + 1 WHERE id %% 5 = %s", number)
        stocked.sync(*others)
    stocked.settle()
    assert holds(stocked, one, way[-1])


def test_several_moves_before_the_next_tick_are_one(stocked: Shop) -> None:
    for branch in ("B2", "B3", "B1", "B3"):
        move(stocked, "T1", branch)
    stocked.settle()
    assert holds(stocked, stocked.tills["T1"], "B3")
    move(stocked, "T1", "B2")
    move(stocked, "T1", "B3")
    stocked.settle()
    assert holds(stocked, stocked.tills["T1"], "B3")


@pytest.mark.parametrize("to", ["B2", "B4"])
def test_what_a_till_made_before_it_moved_stays_behind(stocked: Shop, to: str) -> None:
    """Head office merges it, and dies before a tick tells of it; no branch was at B4 so far."""
    one = stocked.tills["T1"]
    one.sql("INSERT INTO sales_order (id, branch_id, no, total) VALUES ('1', 'B1', 'n1', 5)")
    one.sync()
    stocked.restart(dying_at(stocked.world, POINTS[0]))
    with pytest.raises(Died):
        stocked.agent.round()
    stocked.restart()
    move(stocked, "T1", to)
    stocked.settle()
    assert stocked.sql("SELECT id, branch_id FROM sales_order") == [("1", "B1")]
    assert one.sql("SELECT id FROM sales_order") == []
    five = stocked.till("T5", "B1")
    stocked.settle()
    assert five.sql("SELECT id FROM sales_order") == [("1",)]


@pytest.mark.parametrize("point", POINTS)
def test_a_move_whose_tick_did_not_happen_is_made_again(stocked: Shop, point: str) -> None:
    move(stocked, "T1", "B2")
    stocked.restart(dying_at(stocked.world, point))
    with pytest.raises(Died):
        stocked.agent.round()
    stocked.sql("UPDATE item SET price = price + 1")
    stocked.restart()
    stocked.settle()
    assert holds(stocked, stocked.tills["T1"], "B2")


def test_a_till_that_is_not_loaded_yet_is_loaded_where_it_goes(stocked: Shop) -> None:
    four = stocked.till("T4", "B1")
    four.sync()
    move(stocked, "T4", "B3")
    stocked.settle()
    assert holds(stocked, four, "B3")


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_branches_that_move_at_random_hold_what_they_should(stocked: Shop, seed: int) -> None:
    draw = random.Random(seed)
    at = {"T1": "B1", "T2": "B2", "T3": "B3"}
    for _ in range(14):
        step = draw.randrange(6)
        if step == 0:
            node = draw.choice(sorted(at))
            at[node] = draw.choice(["B1", "B2", "B3", "B4"])
            move(stocked, node, at[node])
        elif step == 1:
            stocked.sql("UPDATE item SET price = price + 1 WHERE id %% 7 = %s", draw.randrange(7))
        elif step == 2:
            stocked.sql("DELETE FROM branch_item WHERE item_id %% 9 = %s", draw.randrange(9))
        elif step == 3:
            branch, place = draw.choice(["B1", "B2", "B3", "B4"]), draw.randrange(11)
            sql = "INSERT INTO branch_item SELECT %s, g FROM generate_series(1, 100) g WHERE g %% 11 = %s ON CONFLICT DO NOTHING"
            stocked.sql(sql, branch, place)
        elif step == 4:
            stocked.tills[draw.choice(sorted(at))].sync()
        elif draw.random() < 0.3:
            stocked.restart(dying_at(stocked.world, draw.choice(POINTS)))
            with contextlib.suppress(Died):
                stocked.agent.round()
            stocked.restart()
        else:
            stocked.agent.round()
    stocked.settle()
    for node, branch in at.items():
        assert holds(stocked, stocked.tills[node], branch), (seed, node, branch)
