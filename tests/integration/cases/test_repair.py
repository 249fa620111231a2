"""Repair: what a comparison found is put right through the normal stream, whichever end it was wrong at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orchestrator.central import branches, reconcile_repair
from orchestrator.core.world import real_world
from orchestrator.errors import UsageError
from tests.integration.cases.reconciling import (
    bulk_loaded,
    compared,
    filled,
    repaired,
    shop_of,
    tables_of,
    told,
    unseen,
    unseen_at_head_office,
)
from tests.integration.cases.shop import Shop, Till

pytestmark = pytest.mark.xdist_group("reconcile")


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One chain for all tests here: each of them leaves both ends equal."""
    made = shop_of(module_database, real_world(), tmp_path_factory.mktemp("chain"))
    filled(made, "T1", "B1")
    yield made
    made.close()


@pytest.fixture
def till(shop: Shop) -> Till:
    return shop.tills["T1"]


def test_b52_what_was_written_with_triggers_off_is_found_and_repaired(shop: Shop, till: Till) -> None:
    unseen_at_head_office(shop, "INSERT INTO branch_item VALUES ('B1', 301), ('B1', 302)")
    unseen_at_head_office(shop, "UPDATE item SET price = 99 WHERE id = 1")
    unseen_at_head_office(shop, "DELETE FROM contact WHERE id = 'K1'")
    shop.sql("DELETE FROM closure WHERE number = 3")
    unseen(till, "INSERT INTO sales_order VALUES ('N1', 'B1', 'n', 'draft', 'x', 1)")
    unseen(till, "INSERT INTO closure VALUES (77, '2026-03-05', 7)")
    unseen(till, "UPDATE item SET name = 'edited' WHERE id = 2")
    found = tables_of(compared(shop))
    assert told(found["closure"]) == [("extra", "3"), ("extra", "77")]
    assert told(found["sales_order"]) == [("extra", "N1")]
    assert told(found["contact"]) == [("extra", "K1")]
    assert told(found["item"]) == [
        ("different", "1", "price"),
        ("different", "2", "name"),
        ("missing", "301"),
        ("missing", "302"),
    ]
    assert sorted(repaired(shop)) == [
        ("closure", "up", 2),
        ("contact", "up", 1),
        ("item", "down", 4),
        ("sales_order", "up", 1),
    ]
    assert compared(shop).equal
    assert shop.sql("SELECT total FROM closure WHERE number = 77") == [(7,)], "what only the till had is sent"
    assert shop.sql("SELECT id FROM sales_order WHERE id = 'N1'") == [("N1",)]
    assert shop.sql("SELECT city FROM contact WHERE id = 'K1'") == [("Wien",)], "nothing is deleted for being unknown"
    assert till.sql("SELECT name FROM item WHERE id = 2") == [("Item 2",)], "head office's catalogue counts"
    assert till.sql("SELECT id FROM item WHERE id IN (301, 302)") == [(301,), (302,)]


def test_b52_a_bulk_load_with_the_triggers_disabled_comes_through_by_itself(shop: Shop, till: Till) -> None:
    bulk_loaded(shop, "UPDATE item SET price = 98 WHERE id = 1")
    bulk_loaded(shop, "DELETE FROM contact WHERE id = 'K6'")
    shop.settle()
    assert compared(shop).equal
    assert till.sql("SELECT price FROM item WHERE id = 1") == [(98,)]
    assert till.sql("SELECT id FROM contact WHERE id = 'K6'") == []


def test_b80_a_row_that_is_gone_at_the_till_is_found_and_comes_back(shop: Shop, till: Till) -> None:
    unseen(till, "DELETE FROM item WHERE id = 5")
    unseen(till, "DELETE FROM contact WHERE id = 'K2'")
    shop.sql("UPDATE item SET name = 'changed' WHERE id = 5")
    shop.settle()
    assert till.sql("SELECT name FROM item WHERE id = 5") == [("changed",)], "a whole row came, not a change of one"
    assert told(tables_of(compared(shop))["contact"]) == [("missing", "K2")]
    assert repaired(shop) == [("contact", "down", 1)]
    assert till.sql("SELECT city FROM contact WHERE id = 'K2'") == [("Wien",)]
    assert compared(shop).equal


def test_unsent_rows_are_safe_and_only_what_is_named_is_repaired(shop: Shop, till: Till) -> None:
    unseen(till, "UPDATE item SET name = 'a' WHERE id IN (7, 8)")
    unseen(till, "UPDATE contact SET city = 'Graz' WHERE id = 'K4'")
    compared(shop)
    till.sql("UPDATE contact SET email = 'unsent' WHERE id = 'K4'")  # not sent yet when the repair comes
    assert repaired(shop, "item", keys=(("7",),)) == [("item", "down", 1)]
    assert till.sql("SELECT name FROM item WHERE id IN (7, 8)") == [("Item 7",), ("a",)]
    repaired(shop)
    assert shop.sql("SELECT email, city FROM contact WHERE id = 'K4'") == [("unsent", "Wien")]
    assert compared(shop).equal


def test_b88_a_till_that_had_its_own_rows_is_adopted_by_the_plan_and_then_equal(shop: Shop) -> None:
    shop.sql("INSERT INTO item SELECT i, 'c' || i, 'Item ' || i, i FROM generate_series(401, 1000) i")
    shop.sql("INSERT INTO branch_item SELECT 'B3', i FROM generate_series(1, 1000) i")
    had = [(i, f"c{i}", f"Item {i}" if i > 10 else "of the till", i) for i in range(1, 1001) if i % 200]
    had = [row if row[0] not in (21, 22) else (row[0] + 6000, *row[1:]) for row in had]  # a code under another id
    had += [(i, f"x{i}", "extra", 1) for i in range(5001, 5006)]
    given = {"branch_id": "B3"}
    dsn = branches.add(shop.conn, shop.relay, shop.prepared, shop.world, "T3", given, shop.relay_dsn)
    till = shop.tills["T3"] = Till("T3", dsn, shop.directory / "T3.db", shop.world, shop.till_tables)
    till.app.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", had)
    till.sql("INSERT INTO contact VALUES ('K1', '1', 'Anna', 'other', 'Wien'), ('K99', '99', 'of the till', '', '')")
    shop.settle()
    assert till.sql("SELECT count(*), max(id) FROM item") == [(1000, 1000)]
    assert till.sql("SELECT count(*) FROM tillsync_extra WHERE central = 'public.item'") == [(7,)], "kept for a person"
    report = compared(shop, till)
    assert {n: told(t) for n, t in tables_of(report, "T3").items() if not t.equal} == {}
    assert shop.sql("SELECT name FROM contact WHERE id = 'K99'") == [("of the till",)]
    assert repaired(shop) == []


def test_rows_whose_key_has_several_columns(shop: Shop, till: Till) -> None:
    shop.sql("INSERT INTO stock SELECT 'B1', i, 5 FROM generate_series(1, 20) i")
    shop.settle()
    unseen(till, "DELETE FROM stock WHERE item_id = 3")
    unseen(till, "UPDATE stock SET qty = 6 WHERE item_id = 4")
    found = tables_of(compared(shop, till, tables=("stock",)))["stock"]
    assert told(found) == [("different", "B1", "4", "qty"), ("missing", "B1", "3")]
    typed = reconcile_repair.keys_of(shop.prepared, "public.stock", ["B1,3", "item_id=4,branch_id=B1"])
    assert typed == [["B1", "3"], ["B1", "4"]]
    with pytest.raises(UsageError, match="its key is branch_id, item_id"):
        reconcile_repair.keys_of(shop.prepared, "public.stock", ["3"])
    assert repaired(shop, "stock", keys=(("B1", "3"),)) == [("stock", "down", 1)]
    assert till.sql("SELECT qty FROM stock WHERE item_id IN (3, 4) ORDER BY item_id") == [(5,), (6,)]
    assert repaired(shop, "stock", keys=(("B1", "4"),)) == [("stock", "down", 1)]
    assert compared(shop, till).equal
