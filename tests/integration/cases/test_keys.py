"""Keys of every kind: composite, in texts, with NULLs, with rules that differ between the ends, with odd names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from orchestrator.core.world import World
from orchestrator.errors import ConfigError
from tests.integration.cases.shop import Shop, Till


class Build(Protocol):
    """Makes a shop with one table at both ends, and a till in it."""

    def __call__(self, central: str, till: str, **table: Any) -> tuple[Shop, Till]: ...


@pytest.fixture
def build(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Build]:
    made: list[Shop] = []

    def make(central: str, till: str, **table: Any) -> tuple[Shop, Till]:
        given = {"name": "t", "policy": "column_merge", **table}
        channels = [{"name": "all", "direction": "both", "table": [given]}]
        shop = Shop(database, world, tmp_path, central=central, till=till, channels=channels)
        made.append(shop)
        return shop, shop.till("T1", "B1")

    yield make
    for shop in made:
        shop.close()


def parked(shop: Shop) -> int:
    return int(shop.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked'")[0][0])


def test_b57_a_null_in_a_key_is_parked_and_the_rest_flows(build: Build) -> None:
    central = "CREATE TABLE t (a int, b text, v text, PRIMARY KEY (a, b))"
    shop, till = build(central, "CREATE TABLE t (a INTEGER, b TEXT, v TEXT, PRIMARY KEY (a, b))")
    till.sql("INSERT INTO t VALUES (1, NULL, 'x'), (1, NULL, 'x'), (1, 'b', 'y')")
    shop.settle()
    assert shop.sql("SELECT * FROM t") == [(1, "b", "y")]
    assert parked(shop) == 2
    assert till.sql("SELECT count(*) FROM t") == [(3,)]
    till.sql("DELETE FROM t WHERE b IS NULL")
    shop.settle()
    assert parked(shop) == 0, "a row that came and went is nothing to decide"


def test_b58_composite_and_text_keys_touch_exactly_their_rows(build: Build) -> None:
    central = "CREATE TABLE t (order_id text, line_no int, qty int, PRIMARY KEY (order_id, line_no))"
    shop, till = build(
        central, "CREATE TABLE t (order_id TEXT, line_no INTEGER, qty INTEGER, PRIMARY KEY (order_id, line_no))"
    )
    orders = ["a", "A", "ä", "Ä", "a-1", "a 1", " a", "a ", "a%", "a'\""]
    for order in orders:
        till.sql("INSERT INTO t VALUES (?, 1, 1), (?, 2, 1)", order, order)
    shop.settle()
    till.sql("UPDATE t SET qty = 5 WHERE order_id = 'A' AND line_no = 2")
    shop.sql("UPDATE t SET qty = 7 WHERE order_id = 'ä' AND line_no = 1")
    till.sql("DELETE FROM t WHERE order_id = 'a ' AND line_no = 1")
    shop.sql("DELETE FROM t WHERE order_id = ' a' AND line_no = 2")
    shop.settle()
    expected = {(o, n): 1 for o in orders for n in (1, 2)} | {("A", 2): 5, ("ä", 1): 7}
    del expected["a ", 1], expected[" a", 2]
    assert {(o, n): q for o, n, q in shop.sql("SELECT * FROM t")} == expected
    assert {(o, n): q for o, n, q in till.sql("SELECT * FROM t")} == expected


def test_b59_a_rule_that_is_stricter_at_the_till_makes_rows_wait(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE, fixed char(5))"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE UNIQUE, fixed TEXT)")
    shop.sql("INSERT INTO t VALUES (1, 'ab1', 'x'), (2, 'AB1', 'y'), (3, 'ab1 ', 'z'), (4, 'other', 'w ')")
    shop.settle()
    assert till.sql("SELECT id, fixed FROM t ORDER BY id") in (
        [(1, "x"), (3, "z"), (4, "w")],
        [(2, "y"), (3, "z"), (4, "w")],
    )
    assert [kind for (kind,) in till.sql("SELECT kind FROM tillsync_problem")] == ["waiting"]
    shop.sql("UPDATE t SET code = 'AB' WHERE id = 4")
    shop.settle()
    shop.sql("UPDATE t SET code = 'ab' WHERE id = 4")
    shop.settle()
    assert till.sql("SELECT code FROM t WHERE id = 4") == [("ab",)]
    till.sql("UPDATE t SET code = 'Ab' WHERE id = 4")
    shop.settle()
    assert shop.sql("SELECT code FROM t WHERE id = 4") == [("Ab",)]
    shop.sql("DELETE FROM t WHERE id = 1")
    shop.settle()
    assert till.sql("SELECT id FROM t ORDER BY id") == [(2,), (3,), (4,)]
    assert till.sql("SELECT * FROM tillsync_problem") == []


@pytest.mark.parametrize(
    "central",
    [
        "CREATE TABLE t (id int, v text)",
        "CREATE TABLE t (id int, v text); CREATE UNIQUE INDEX ON t (id)",
        "CREATE TABLE x (id int PRIMARY KEY, v text); CREATE VIEW t AS SELECT * FROM x",
        "CREATE TABLE t (id int NOT NULL, v text); CREATE UNIQUE INDEX ON t (id) WHERE v IS NOT NULL",
    ],
    ids=["no key", "a key that may be null", "a view", "a partial key"],
)
def test_b60_a_table_without_a_key_is_refused_by_name(build: Build, central: str) -> None:
    with pytest.raises(ConfigError, match=r"TS-13[15].*\bt\b"):
        build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")


def test_b60_a_unique_rule_over_columns_that_are_not_null_is_a_key(build: Build) -> None:
    central = "CREATE TABLE t (id int NOT NULL UNIQUE, v text)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER NOT NULL UNIQUE, v TEXT)")
    shop.sql("INSERT INTO t VALUES (1, 'a')")
    till.sql("INSERT INTO t VALUES (2, 'b')")
    shop.settle()
    assert shop.sql("SELECT * FROM t ORDER BY 1") == till.sql("SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b")]


LONG = "a_name_that_is_as_long_as_postgresql_allows_and_differs_at_the_"
CENTRAL_ODD = f"""
CREATE TABLE "Order" ("group" int PRIMARY KEY, "Fiyat Listesi" text, "İsim" text, "a""b" text, "new" text, "old" text,
                      "applied%%" text, "100%%" int, "{LONG[:62]}1" text, "{LONG[:62]}2" text, "rowid" text);
CREATE TABLE "{LONG}" (id int PRIMARY KEY, v text);
CREATE TABLE "{LONG[:62]}X" (id int PRIMARY KEY, v text);
"""
TILL_ODD = f"""
CREATE TABLE "Order" ("group" INTEGER PRIMARY KEY, "Fiyat Listesi" TEXT, "İsim" TEXT, "a""b" TEXT, "new" TEXT, "old" TEXT,
                      "applied%" TEXT, "100%" INTEGER, "{LONG[:62]}1" TEXT, "{LONG[:62]}2" TEXT, "rowid" TEXT);
CREATE TABLE "{LONG}" (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE "{LONG[:62]}X" (id INTEGER PRIMARY KEY, v TEXT);
"""


def test_b61_reserved_words_and_odd_names_work_end_to_end(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    names = ["Order", LONG, f"{LONG[:62]}X"]
    tables = [{"name": n, "policy": "column_merge"} for n in names]
    tables[0]["notice"] = {"kind": "label", "columns": ["İsim", 'a"b']}  # type: ignore[assignment]
    channels = [{"name": "all", "direction": "both", "table": tables}]
    shop = Shop(database, world, tmp_path, central=CENTRAL_ODD.replace("%%", "%"), till=TILL_ODD, channels=channels)
    try:
        till = shop.till("T1", "B1")
        shop.sql("""INSERT INTO "Order" VALUES (1, 'a', 'b', 'c', 'd', 'e', 'f', 7, 'h', 'i', 'j')""")
        till.sql("""INSERT INTO "Order" VALUES (2, 'A', 'B', 'C', 'D', 'E', 'F', 8, 'H', 'I', 'J')""")
        for name in names[1:]:
            shop.sql(f"""INSERT INTO "{name}" VALUES (1, 'here')""")
            till.sql(f"""INSERT INTO "{name}" VALUES (2, 'there')""")
        shop.settle()
        till.sql("""UPDATE "Order" SET "a""b" = 'changed', "new" = 'n', "rowid" = 'r' WHERE "group" = 1""")
        shop.sql("""UPDATE "Order" SET "İsim" = 'changed', "old" = 'o' WHERE "group" = 1""")
        till.sql("""REPLACE INTO "Order" ("group", "100%") VALUES (2, 9)""")
        shop.settle()
        for name in names:
            query = f'SELECT * FROM "{name}" ORDER BY 1'
            assert shop.sql(query) == till.sql(query)
            assert len(shop.sql(query)) == 2
        assert shop.sql("""SELECT "a""b", "İsim", "new", "old", "rowid" FROM "Order" WHERE "group" = 1""") == [
            ("changed", "changed", "n", "o", "r")
        ]
        assert ("İsim", "b", "changed") in till.sql('SELECT "column", old, new FROM tillsync_notice')
    finally:
        shop.close()
