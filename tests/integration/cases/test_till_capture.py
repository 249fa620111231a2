"""What a till's application may do to its rows, and what head office must learn of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.world import World
from tests.integration.cases.shop import Shop, Till


def same(shop: Shop, till: Till, table: str, order: str = "1") -> list[tuple[Any, ...]]:
    """The table's rows, which are the same at both ends."""
    query = f"SELECT * FROM {table} ORDER BY {order}"
    here, there = shop.sql(query), till.sql(query)
    assert here == there
    return here


def test_b04_replace_that_hits_another_unique_key_is_seen(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO contact VALUES ('c1', '0555', 'Ann', 'a@x', 'Rome')")
    shop.settle()
    one.sql("INSERT OR REPLACE INTO contact VALUES ('c2', '0555', 'Bea', NULL, NULL)")
    shop.settle()
    assert same(shop, one, "contact") == [("c2", "0555", "Bea", None, None)]


def test_b04_replace_of_the_same_key_brings_the_defaults(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO contact VALUES ('c1', '0555', 'Ann', 'a@x', 'Rome')")
    shop.settle()
    one.sql("REPLACE INTO contact (id, name) VALUES ('c1', 'Anna')")
    shop.settle()
    assert same(shop, one, "contact") == [("c1", None, "Anna", None, None)]


def test_b04_update_or_replace_and_its_milder_brothers(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    for number in range(1, 6):
        one.sql("INSERT INTO contact VALUES (?, ?, 'Ann', NULL, NULL)", f"c{number}", str(number))
    shop.settle()
    one.sql("UPDATE OR REPLACE contact SET phone = '2' WHERE id = 'c1'")
    one.sql("UPDATE OR IGNORE contact SET phone = '4' WHERE id = 'c3'")
    one.sql("INSERT OR IGNORE INTO contact VALUES ('c9', '5', 'Bea', NULL, NULL)")
    one.sql("INSERT INTO contact VALUES ('c9', '5', 'Bea', NULL, NULL) ON CONFLICT (phone) DO UPDATE SET name = 'Eve'")
    shop.settle()
    rows = same(shop, one, "contact")
    assert [(r[0], r[1], r[2]) for r in rows] == [
        ("c1", "2", "Ann"),
        ("c3", "3", "Ann"),
        ("c4", "4", "Ann"),
        ("c5", "5", "Eve"),
    ]


def test_b12_keys_change_at_both_ends(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO sales_order VALUES ('B1-1', 'B1', '1', 'draft', NULL, 10)")
    shop.sql("INSERT INTO item SELECT g, 'code ' || g, 'n', 1 FROM generate_series(1, 4000) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 20000) g")
    shop.settle()
    one.sql("UPDATE sales_order SET id = 'B1-10' WHERE id = 'B1-1'")
    shop.sql("UPDATE item SET id = id + 10000")
    shop.settle()
    assert [r[0] for r in same(shop, one, "sales_order")] == ["B1-10"]
    assert [r[0] for r in same(shop, one, "item")] == list(range(10_001, 14_001))
    shop.sql("ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id) DEFERRABLE")
    shop.sql("UPDATE item SET id = id + 1")
    shop.settle()
    assert [r[0] for r in same(shop, one, "item")] == list(range(10_002, 14_002))


def test_b30_no_value_makes_the_tills_own_statement_fail(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    one.sql("INSERT INTO contact VALUES ('c1', x'00ff10', 'Ann', CAST(x'ff' AS TEXT), 9e999)")
    one.sql("UPDATE contact SET name = x'00'")
    one.sql("INSERT INTO contact VALUES ('c2', '1', 'Bea', NULL, NULL)")
    shop.settle()
    assert shop.sql("SELECT id FROM contact") == [("c2",)]
    assert shop.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked'") == [(2,)]
    one.sql("UPDATE contact SET phone = '0', name = 'Ann', email = NULL, city = 'Rome' WHERE id = 'c1'")
    shop.settle()
    assert same(shop, one, "contact")[0] == ("c1", "0", "Ann", None, "Rome")


def test_b64_an_id_that_sqlite_gives_again_is_another_row(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO price_list VALUES (1, 'B1', 'all')")
    one.sql("INSERT INTO stock VALUES ('B1', 2, 5)")
    shop.settle()
    one.sql("DELETE FROM stock WHERE item_id = 2")
    one.sql("INSERT INTO stock VALUES ('B1', 2, 70)")
    shop.settle()
    assert same(shop, one, "stock") == [("B1", 2, 70)]
    one.sql("DELETE FROM stock")
    one.sync()
    one.sql("INSERT INTO stock VALUES ('B1', 2, 9)")
    shop.settle()
    assert same(shop, one, "stock") == [("B1", 2, 9)]


FAMILY = """
CREATE TABLE category (id int PRIMARY KEY, name text);
CREATE TABLE item (id int PRIMARY KEY, up int REFERENCES item, category_id int REFERENCES category, name text);
CREATE TABLE orders (id text PRIMARY KEY, note text);
CREATE TABLE line (order_id text REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE, no int, item_id int,
                   PRIMARY KEY (order_id, no));
"""
FAMILY_AT_TILL = """
CREATE TABLE category (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE item (id INTEGER PRIMARY KEY, up INTEGER REFERENCES item, category_id INTEGER REFERENCES category, name TEXT);
CREATE TABLE orders (id TEXT PRIMARY KEY, note TEXT);
CREATE TABLE line (order_id TEXT{cascade}, no INTEGER, item_id INTEGER, PRIMARY KEY (order_id, no));
"""
CASCADE = " REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE"


@pytest.fixture(params=["keys on, cascade", "keys off, cascade", "no cascade"])
def family(
    request: pytest.FixtureRequest, database: Callable[..., str], world: World, tmp_path: Path
) -> Iterator[tuple[Shop, Till]]:
    names = ["category", "item", "orders", "line"]
    channels = [{"name": "all", "direction": "both", "table": [{"name": n, "policy": "column_merge"} for n in names]}]
    tables = FAMILY_AT_TILL.format(cascade="" if request.param == "no cascade" else CASCADE)
    shop = Shop(database, world, tmp_path, central=FAMILY, till=tables, channels=channels)
    till = shop.till("T1", "B1")
    till.sql(f"PRAGMA foreign_keys = {'on' if request.param == 'keys on, cascade' else 'off'}")
    shop.settle()
    yield shop, till
    shop.close()


def agree(shop: Shop, till: Till) -> None:
    shop.settle()
    for name, order in (("category", "1"), ("item", "1"), ("orders", "1"), ("line", "1, 2")):
        same(shop, till, name, order)
    assert shop.sql("SELECT * FROM tillsync.parked WHERE state = 'parked'") == []
    assert till.sql("SELECT * FROM tillsync_problem") == []


def test_b15_parents_and_children_go_and_come_in_any_order(family: tuple[Shop, Till]) -> None:
    shop, till = family
    till.sql("INSERT INTO orders VALUES ('o1', 'a'), ('o2', 'b')")
    till.sql("INSERT INTO line VALUES ('o1', 1, 1), ('o1', 2, 2), ('o2', 1, 1)")
    till.sql("INSERT INTO category VALUES (3, 'old')")
    till.sql("INSERT INTO item VALUES (1, NULL, 3, 'x'), (2, 1, 3, 'y')")
    agree(shop, till)
    till.sql("DELETE FROM line WHERE order_id = 'o1'")
    till.sql("DELETE FROM orders WHERE id = 'o1'")
    till.sql("UPDATE item SET category_id = NULL WHERE category_id = 3")
    till.sql("DELETE FROM category WHERE id = 3")
    till.sql("INSERT INTO category VALUES (9, 'new')")
    till.sync()
    till.sql("UPDATE item SET category_id = 9 WHERE id = 1")
    agree(shop, till)
    assert shop.sql("SELECT id, category_id FROM item ORDER BY id") == [(1, 9), (2, None)]
    shop.sql("INSERT INTO category VALUES (10, 'newest')")
    shop.sql("UPDATE item SET category_id = 10")
    shop.sql("DELETE FROM category WHERE id = 9")
    agree(shop, till)
    assert till.sql("SELECT DISTINCT category_id FROM item") == [(10,)]


def test_b16_cascades_at_either_end(family: tuple[Shop, Till]) -> None:
    shop, till = family
    for order in ("o1", "o2", "o3", "o4"):
        shop.sql("INSERT INTO orders VALUES (%s, 'a')", order)
        shop.sql("INSERT INTO line SELECT %s, g, g FROM generate_series(1, 5) g", order)
    agree(shop, till)
    shop.sql("DELETE FROM orders WHERE id = 'o1'")
    shop.sql("UPDATE orders SET id = 'o20' WHERE id = 'o2'")
    agree(shop, till)
    if till.sql("PRAGMA foreign_keys") == [(1,)]:
        till.sql("DELETE FROM orders WHERE id = 'o3'")
        till.sql("UPDATE orders SET id = 'o40' WHERE id = 'o4'")
        agree(shop, till)
        assert shop.sql("SELECT order_id, count(*) FROM line GROUP BY 1 ORDER BY 1") == [("o20", 5), ("o40", 5)]


def test_b65_trees_of_any_depth(family: tuple[Shop, Till]) -> None:
    shop, till = family
    till.sql("PRAGMA foreign_keys = off")
    till.sql("INSERT INTO item VALUES (1, 2, NULL, 'leaf'), (2, 3, NULL, 'b'), (3, 4, NULL, 'c'), (4, 5, NULL, 'd')")
    till.sql("INSERT INTO item VALUES (5, NULL, NULL, 'root'), (6, NULL, NULL, 'other')")
    agree(shop, till)
    shop.sql("UPDATE item SET up = 6 WHERE id = 3")
    shop.sql("WITH x AS (DELETE FROM item WHERE id IN (4, 5)) SELECT 1")
    agree(shop, till)
    till.sql("DELETE FROM item WHERE id IN (3, 2, 1)")
    agree(shop, till)
    assert shop.sql("SELECT id FROM item") == [(6,)]
