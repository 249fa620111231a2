"""What a till may write: its own store's rows, of tables that it sends, in columns that it gets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import wire
from orchestrator.core.changes import Position, Shape, encode_upload
from orchestrator.core.world import World
from orchestrator.relay.messages import UploadPart
from tests.integration.cases.shop import Died, Shop, Till, dying_at

ORDERS = "SELECT id, branch_id, status, note FROM sales_order ORDER BY 1"
PARKED = "SELECT node, key->>'id', sqlstate FROM tillsync.parked WHERE state = 'parked' ORDER BY id"


def begin(shop: Shop) -> tuple[Till, Till]:
    one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.sql("INSERT INTO sales_order VALUES ('a', 'B1', '1', 'draft', 'one', 1), ('b', 'B2', '2', 'draft', 'two', 2)")
    shop.settle()
    return one, two


def test_another_stores_rows_are_refused_parked_and_not_shown(shop: Shop) -> None:
    one, two = begin(shop)
    one.sql("INSERT INTO sales_order VALUES ('b', 'B2', '2', 'closed', 'mine now', 0)")  # a key that T1 can only guess
    one.sql("INSERT INTO sales_order VALUES ('c', 'B2', '3', 'draft', 'forged', 0)")
    one.sql("UPDATE sales_order SET branch_id = 'B2', note = 'moved' WHERE id = 'a'")
    one.sql("INSERT INTO sales_order VALUES ('d', 'B1', '4', 'draft', 'honest', 0)")
    one.sql("INSERT INTO contact VALUES ('k', '1', 'Ann', NULL, NULL)")
    shop.settle()
    assert shop.sql(ORDERS) == [
        ("a", "B1", "draft", "one"),
        ("b", "B2", "draft", "two"),
        ("d", "B1", "draft", "honest"),
    ]
    assert shop.sql(PARKED) == [("T1", "b", "TS540"), ("T1", "c", "TS540"), ("T1", "a", "TS540")]
    assert shop.sql("SELECT id FROM contact") == [("k",)], "the rest flows"
    assert two.sql(ORDERS) == [("b", "B2", "draft", "two")]
    shown = one.sql("SELECT note FROM sales_order WHERE id = 'b'")
    assert shown in ([], [("mine now",)]), "nothing of the other store's row comes down"


def test_a_delete_of_another_stores_row_is_refused(shop: Shop) -> None:
    one, _ = begin(shop)
    forge(one, shop, [("D", {"id": "b", "branch_id": "B2"}, None)])
    shop.settle()
    assert ("b", "B2", "draft", "two") in shop.sql(ORDERS)
    assert shop.sql("SELECT op, sqlstate FROM tillsync.parked") == [("D", "TS540")]


def test_a_row_that_head_office_gave_to_another_store_is_a_conflict_and_no_intrusion(shop: Shop) -> None:
    one, two = begin(shop)
    one.sql("UPDATE sales_order SET note = 'late' WHERE id = 'a'")
    shop.sql("UPDATE sales_order SET branch_id = 'B2' WHERE id = 'a'")
    shop.settle()
    assert shop.sql(PARKED) == []
    assert shop.sql("SELECT policy, theirs->>'note', winner FROM tillsync.conflict") == [
        ("moved away", "late", "central")
    ]
    assert one.sql(ORDERS) == []
    assert two.sql("SELECT id, note FROM sales_order ORDER BY 1") == [("a", "one"), ("b", "two")]


def test_a_row_that_was_given_away_before_any_tick_told_of_it_is_no_intrusion_either(shop: Shop) -> None:
    """The till made it itself, so it was the till's."""
    one, two = begin(shop)
    one.sql("INSERT INTO sales_order VALUES ('n', 'B1', '9', 'draft', 'new', 1)")
    one.sync()
    shop.restart(dying_at(shop.world, "publish.routed"))
    with pytest.raises(Died):
        shop.agent.round()
    shop.restart()
    one.sql("UPDATE sales_order SET note = 'late' WHERE id = 'n'")
    shop.sql("UPDATE sales_order SET branch_id = 'B2' WHERE id = 'n'")
    shop.settle()
    assert shop.sql(PARKED) == []
    assert shop.sql("SELECT policy FROM tillsync.conflict") == [("moved away",)]
    assert one.sql("SELECT id FROM sales_order WHERE id = 'n'") == []
    assert two.sql("SELECT note FROM sales_order WHERE id = 'n'") == [("new",)]
    one.sql("INSERT INTO sales_order VALUES ('n', 'B1', '9', 'draft', 'again', 1)")
    shop.settle()
    assert shop.sql(PARKED) == [("T1", "n", "TS540")], "to make another store's row is an intrusion"


def test_a_row_may_leave_by_a_term_that_does_not_speak_of_the_branch(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    orders = {"name": "sales_order", "filter": "branch_id = :branch_id AND status <> 'closed'", "policy": "branch_wins"}
    shop = Shop(database, world, tmp_path, channels=[{"name": "orders", "direction": "both", "table": [orders]}])
    try:
        one, _ = begin(shop)
        one.sql("UPDATE sales_order SET status = 'closed' WHERE id = 'a'")
        shop.settle()
        assert shop.sql(PARKED) == []
        assert ("a", "B1", "closed", "one") in shop.sql(ORDERS)
        assert one.sql(ORDERS) == []
    finally:
        shop.close()


def test_a_table_that_only_goes_up_is_held_to_its_filter_too(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    channels = [
        {"name": "sales", "direction": "up", "table": [{"name": "sales_order", "filter": "branch_id = :branch_id"}]}
    ]
    shop = Shop(database, world, tmp_path, channels=channels)
    try:
        one = shop.till("T1", "B1")
        one.sql("INSERT INTO sales_order VALUES ('a', 'B1', '1', 'paid', NULL, 1), ('b', 'B2', '2', 'paid', NULL, 1)")
        shop.settle()
        assert shop.sql("SELECT id FROM sales_order") == [("a",)]
        assert shop.sql(PARKED) == [("T1", "b", "TS540")]
    finally:
        shop.close()


def test_a_column_that_the_till_does_not_get_and_a_table_that_it_has_no_way_for(shop: Shop) -> None:
    one, _ = begin(shop)
    forge(one, shop, [("I", None, {"id": "x", "branch_id": "B1", "secret": "1"})])
    forge(one, shop, [("I", None, {"branch_id": "B1", "item_id": "1"})], table="public.branch_item")
    forge(one, shop, [("I", None, {"till": "T2", "total": "1000000"})], table="public.turnover")
    one.sql("INSERT INTO contact VALUES ('k', '1', 'Ann', NULL, NULL)")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM sales_order WHERE id = 'x'") == [(0,)]
    assert shop.sql("SELECT count(*) FROM branch_item") == shop.sql("SELECT count(*) FROM turnover") == [(0,)]
    assert shop.sql("SELECT tab, sqlstate FROM tillsync.parked ORDER BY id") == [
        ("public.sales_order", "TS541"),
        ("public.branch_item", ""),
        ("public.turnover", ""),
    ]
    assert shop.sql("SELECT id FROM contact") == [("k",)]


def forge(
    till: Till,
    shop: Shop,
    changes: list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]],
    table: str = "public.sales_order",
) -> None:
    """Send changes with the till's account that its triggers never saw, as its next upload."""
    columns = tuple(next(i for _, *images in changes for i in images if i))
    shape = Shape(table, columns, columns[:1])
    with closing(till.relay()) as relay:
        uploaded = relay.hello().uploaded
        entries = [
            (
                number,
                7,
                0,
                op,
                None if old is None else tuple(old.values()),
                None if new is None else tuple(new.values()),
            )
            for number, (op, old, new) in enumerate(changes, uploaded.seq + 1)
        ]
        frame = wire.pack(encode_upload([shape], entries))
        relay.push(UploadPart(shop.world.random63(), 0, True, uploaded, Position(entries[-1][0], 7), frame))
    shop.agent.round()
