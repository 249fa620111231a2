"""The life of a row, from the trigger to the till's screen; or what keeps it away."""

from __future__ import annotations

import pytest

from orchestrator.errors import ConfigError, UsageError
from orchestrator.service import office as offices
from orchestrator.till.life import life as at_till
from tests.integration.cases.shop import Shop

FILTER = "price > 5 AND (name LIKE 'a%' OR id IN (SELECT item_id FROM branch_item b WHERE b.branch_id = :branch_id))"


@pytest.fixture
def office(shop: Shop) -> offices.Office:
    return offices.Office(shop.settings, shop.world, shop.conn, shop.relay, shop.prepared)


def test_a_row_is_followed_from_capture_to_the_tills(shop: Shop, office: offices.Office) -> None:
    one = shop.till("T1", "B1")
    two = shop.till("T2", "B2")
    shop.sql("INSERT INTO price_list VALUES (3, 'B1', 'retail')")
    shop.settle()
    shop.sql("INSERT INTO price VALUES (3, 4711, 9.9)")
    told = offices.explain(office, "price", ["3,4711"], None)
    assert (told["key"], told["row"]["amount"]) == ({"list_id": "3", "item_id": "4711"}, 9.9)
    assert [c["tick"] for c in told["captured"]] == [None]
    assert {b["node"]: b["says"] for b in told["branches"]} == {"T1": "not for this till", "T2": "not for this till"}
    tick = shop.agent.round().tick
    told = offices.explain(office, "public.price", ["item_id=4711", "list_id=3"], None)
    assert [c["tick"] for c in told["captured"]] == [tick]
    ((_, said), _) = sorted((b["node"], b["says"]) for b in told["branches"])
    assert said == f"there with tick {tick}; the till is at {one.sql('SELECT tick FROM tillsync_state')[0][0]}"
    shop.settle()
    shop.sql("DELETE FROM price")
    shop.settle()
    told = offices.explain(office, "price", ["3", "4711"], None)
    assert told["row"] is None
    assert {b["node"]: b["says"] for b in told["branches"]} == {
        "T1": f"gone since tick {shop.relay.head().n}",
        "T2": "not for this till",
    }
    assert two.sql("SELECT count(*) FROM price") == [(0,)]


def test_the_term_that_keeps_a_row_away_is_named(shop: Shop, office: offices.Office) -> None:
    shop.sql("INSERT INTO price_list VALUES (1, 'B1', 'retail'), (2, NULL, 'nobody')")
    shop.till("T1", "B1")
    shop.till("T2", "B2")
    shop.settle()
    shop.sql("INSERT INTO item VALUES (1, 'c', 'bread', 9)")
    told = offices.explain(office, "price_list", ["1"], "T2")
    assert [(t["term"], t["value"]) for t in told["terms"]] == [("price_list.branch_id = :branch_id", False)]
    assert [t["value"] for t in offices.explain(office, "price_list", ["1"], "T1")["terms"]] == [True]
    assert [t["value"] for t in offices.explain(office, "price_list", ["2"], "T1")["terms"]] == [None]
    (term,) = offices.explain(office, "item", ["1"], "T1")["terms"]
    assert term["value"] is False
    assert term["term"].startswith("item.id IN (SELECT")


def test_terms_are_evaluated_one_by_one(shop: Shop, office: offices.Office) -> None:
    from orchestrator.central import schema

    item, *others = shop.settings.channel[0].table
    channel = shop.settings.channel[0].model_copy(
        update={"table": (item.model_copy(update={"filter": FILTER}), *others)}
    )
    settings = shop.settings.model_copy(update={"channel": (channel, *shop.settings.channel[1:])})
    prepared = schema.prepare(shop.conn, settings)
    schema.install(shop.conn, prepared)
    shop.till("T1", "B1")
    shop.sql("INSERT INTO item VALUES (1, 'c', 'bread', 9)")
    office = offices.Office(settings, shop.world, shop.conn, shop.relay, prepared)
    told = offices.explain(office, "item", ["1"], "T1")["terms"]
    assert [(t["depth"], t["value"]) for t in told] == [(0, False), (1, True), (1, False), (2, False), (2, False)]
    assert told[3]["term"] == "item.name LIKE 'a%'"
    shop.sql("INSERT INTO branch_item VALUES ('B1', 1)")
    told = offices.explain(office, "item", ["1"], "T1")["terms"]
    assert [t["value"] for t in told] == [True, True, True, False, True]


def test_a_till_tells_what_it_did_to_a_row_and_what_came_of_it(shop: Shop, office: offices.Office) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    one.sql("INSERT INTO sales_order VALUES ('o1', 'B1', '1', 'draft', NULL, 99999999999999)")
    db = one.agent._db
    assert db is not None
    told = at_till(db, "sales_order", ["o1"])
    assert told is not None
    assert told["row"]["total"] == 99999999999999
    assert [(c["op"], c["state"]) for c in told["changes"]] == [("I", "not sent yet")]
    shop.settle()
    told = at_till(db, "sales_order", ["o1"])
    assert told is not None
    assert [(c["op"], c["state"]) for c in told["changes"]] == [("I", "answered")]
    assert len(told["held"]) == 1
    parked = offices.explain(office, "sales_order", ["o1"], None)["parked"]
    assert [(p["node"], p["state"]) for p in parked] == [("T1", "parked")]
    assert at_till(db, "nothing", ["1"]) is None


def test_what_cannot_be_explained_is_said(shop: Shop, office: offices.Office) -> None:
    with pytest.raises(ConfigError, match=r"TS-147 the plan has no table public.nothing; it has public.closure"):
        offices.explain(office, "nothing", ["1"], None)
    with pytest.raises(UsageError, match=r"TS-703 .* its key is list_id, item_id"):
        offices.explain(office, "price", ["1"], None)
    with pytest.raises(UsageError, match="TS-703"):
        offices.explain(office, "item", ["no number"], None)
    with pytest.raises(ConfigError, match="TS-143"):
        offices.explain(office, "item", ["1"], "T99")
