"""Edits that cannot stand: refused or beaten, put right at the till, and on record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from orchestrator.central import conflicts, parked
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from tests.integration.cases.shop import TILL, Shop


def test_an_edit_that_loses_is_put_right_although_nothing_changed_at_head_office(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', 'a@x', 'Rome')")
    shop.settle()
    one.sql("UPDATE contact SET city = 'Oslo', email = 'new@x'")
    shop.sql("UPDATE contact SET city = 'Bari'")
    shop.agent.round()
    one.sync()
    assert one.sql("SELECT city, email FROM contact") == [("Oslo", "new@x")], (
        "its own change stands until it is answered"
    )
    shop.settle()
    both = "SELECT city, email FROM contact"
    assert shop.sql(both) == one.sql(both) == [("Bari", "new@x")]
    assert shop.sql("SELECT winner, columns FROM tillsync.conflict") == [("central", ["city"])]


def test_b83_edits_of_what_only_goes_down_are_refused_and_put_right(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO item VALUES (1, 'a', 'apple', 2), (2, 'b', 'bean', 3)")
    shop.sql("INSERT INTO branch_item VALUES ('B1', 1), ('B1', 2)")
    shop.sql("INSERT INTO price_list VALUES (7, 'B1', 'spring')")
    shop.sql("INSERT INTO price VALUES (7, 1, 5)")
    shop.settle()
    one.sql("UPDATE item SET price = 1")
    one.sql("DELETE FROM price")
    one.sql("INSERT INTO item VALUES (999, 'z', 'zucchini', 9)")
    shop.settle()
    assert shop.sql("SELECT id, price FROM item ORDER BY id") == [(1, 2), (2, 3)]
    assert one.sql("SELECT id, price FROM item ORDER BY id") == [(1, 2), (2, 3)]
    assert one.sql("SELECT * FROM price") == [(7, 1, 5)]
    assert shop.sql("SELECT count(*) FROM tillsync.conflict WHERE policy = 'down' AND winner = 'central'") == [(4,)]


NOTICES = 'SELECT central, key, "column", old, new FROM tillsync_notice WHERE kind = ? ORDER BY id'


def test_b81_whoever_loses_is_told_once_and_all_of_it_is_on_record(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', 'a@x', 'Rome')")
    shop.settle()
    one.sql("UPDATE contact SET city = 'Oslo', email = 'new@x'")
    shop.sql("UPDATE contact SET city = 'Bari'")
    shop.settle()
    told = [("public.contact", '["c1"]', "city", "Oslo", "Bari")]
    assert one.sql(NOTICES, "conflict") == told
    one.restart()
    shop.restart()
    shop.settle()
    assert one.sql(NOTICES, "conflict") == told, "not once for each run"
    [(number, base, theirs, ours, outcome)] = shop.sql(
        "SELECT id, base->>'city', theirs->>'city', ours->>'city', outcome->>'city' FROM tillsync.conflict"
    )
    assert (base, theirs, ours, outcome) == ("Rome", "Oslo", "Bari", "Bari")
    rehearsed = conflicts.restore(shop.conn, shop.prepared.plan, number, dry=True)
    assert (rehearsed.side, rehearsed.image) == ("till", {"city": "Oslo"})
    assert shop.sql("SELECT city FROM contact") == [("Bari",)]
    conflicts.restore(shop.conn, shop.prepared.plan, number)
    shop.settle()
    assert (
        shop.sql("SELECT city, email FROM contact") == one.sql("SELECT city, email FROM contact") == [("Oslo", "new@x")]
    )
    with pytest.raises(TillsyncError, match="TS-743"):
        conflicts.restore(shop.conn, shop.prepared.plan, number)
    assert shop.sql("SELECT state FROM tillsync.conflict") == [("restored",)]


def test_a_conflict_about_a_deleted_row_is_restored_whole(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO stock VALUES ('B1', 1, 5), ('B1', 2, 5)")
    shop.settle()
    one.sql("UPDATE stock SET qty = 4 WHERE item_id = 1")
    one.sql("DELETE FROM stock WHERE item_id = 2")
    shop.sql("DELETE FROM stock WHERE item_id = 1; UPDATE stock SET qty = 9 WHERE item_id = 2")
    shop.settle()
    assert shop.sql("SELECT item_id, qty FROM stock") == one.sql("SELECT item_id, qty FROM stock") == [(2, 9)]
    for (number,) in shop.sql("SELECT id FROM tillsync.conflict ORDER BY id"):
        conflicts.restore(shop.conn, shop.prepared.plan, number)
    shop.settle()
    assert shop.sql("SELECT branch_id, item_id, qty FROM stock") == [("B1", 1, 4)]
    assert one.sql("SELECT branch_id, item_id, qty FROM stock") == [("B1", 1, 4)]


def test_b90_an_impatient_click_makes_three_contacts_and_loses_no_order(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    shop = Shop(database, world, tmp_path, till=TILL.replace("phone TEXT UNIQUE", "phone TEXT"))
    try:
        one = shop.till("T1", "B1")
        for i in (1, 2, 3):
            one.sql("INSERT INTO contact VALUES (?, '0555', 'Ann', NULL, NULL)", f"c{i}")
            one.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', ?, 10)", f"o{i}", str(i), f"c{i}")
        shop.settle()
        assert shop.sql("SELECT id FROM contact") == [("c1",)]
        assert shop.sql("SELECT id, note FROM sales_order ORDER BY 1") == [("o1", "c1"), ("o2", "c2"), ("o3", "c3")]
        assert shop.sql("SELECT key->>'id' FROM tillsync.parked ORDER BY id") == [("c2",), ("c3",)]
        assert one.sql("SELECT count(*) FROM contact") == [(3,)]
        due = 'SELECT kind, "column", old, new FROM tillsync_notice_due'
        assert one.sql(due) == [("parked", "waiting", None, 2)], "one notice for the operator"
        one.sql("DELETE FROM contact WHERE id = 'c3'")
        ids = [number for (number,) in shop.sql("SELECT id FROM tillsync.parked WHERE key->>'id' = 'c2'")]
        shop.settle()
        assert parked.drop(shop.conn, shop.prepared.plan, ids) == ids
        shop.settle()
        assert shop.sql("SELECT id FROM contact") == one.sql("SELECT id FROM contact") == [("c1",)]
        assert one.sql(due) == [], "and none when all is decided"
    finally:
        shop.close()


PROTECTED = [{"name": "items", "direction": "down", "table": [{"name": "item", "protect": "refuse"}]}]


def test_where_the_dba_wants_it_the_tills_statement_fails_instead(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    shop = Shop(database, world, tmp_path, channels=PROTECTED, till=TILL + "ALTER TABLE item ADD COLUMN shelf TEXT;")
    try:
        shop.sql("INSERT INTO item VALUES (1, 'a', 'apple', 2), (2, 'b', 'bean', 3)")
        one = shop.till("T1", "B1")
        shop.settle()
        for statement in (
            "UPDATE item SET price = 1",
            "UPDATE OR IGNORE item SET price = 1",
            "DELETE FROM item WHERE id = 1",
            "INSERT INTO item VALUES (999, 'z', 'zucchini', 9, NULL)",
            "INSERT OR REPLACE INTO item VALUES (1, 'a', 'apple', 9, NULL)",
            "INSERT OR IGNORE INTO item VALUES (3, 'c', 'corn', 9, NULL)",
        ):
            with pytest.raises(apsw.ConstraintError, match="item is head office's: change it there"):
                one.sql(statement)
        one.sql("UPDATE item SET shelf = 'A3', price = price WHERE id = 1")  # a column of the till's own
        shop.sql("UPDATE item SET price = 5 WHERE id = 1; DELETE FROM item WHERE id = 2")
        shop.settle()
        assert one.sql("SELECT id, price, shelf FROM item") == [(1, 5, "A3")], "and head office's own changes come"
        assert one.sql("SELECT count(*) FROM tillsync_changelog") == [(0,)]
    finally:
        shop.close()


def test_b18_the_same_phone_under_two_keys_parks_the_second_and_all_else_crosses(shop: Shop) -> None:
    one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.settle()
    for till, contact in ((one, "c1"), (two, "c2")):
        till.sql("INSERT INTO contact VALUES (?, '0555', 'Ann', NULL, NULL)", contact)
        till.sql("INSERT INTO sales_order VALUES (?, ?, 'n', 'paid', ?, 10)", f"{contact}-1", f"B{contact[1]}", contact)
    shop.settle()
    assert shop.sql("SELECT id FROM contact") == [("c1",)]
    assert shop.sql("SELECT id FROM sales_order ORDER BY 1") == [("c1-1",), ("c2-1",)]
    assert shop.sql("SELECT node, key->>'id', sqlstate FROM tillsync.parked WHERE state = 'parked'") == [
        ("T2", "c2", "23505")
    ]
    assert one.sql("SELECT id FROM contact") == [("c1",)]
    assert two.sql("SELECT id, phone FROM contact ORDER BY 1") == [("c2", "0555")], (
        "what is parked stays as it was written"
    )
    assert two.sql("SELECT key, kind FROM tillsync_problem") == [('["c1"]', "waiting")], (
        "and the other one is said to wait"
    )
    two.sql("UPDATE contact SET phone = '0556' WHERE id = 'c2'")  # the cashier puts it right
    shop.settle()
    assert shop.sql("SELECT id, phone FROM contact ORDER BY 1") == [("c1", "0555"), ("c2", "0556")]
    for till in (one, two):
        assert till.sql("SELECT id, phone FROM contact ORDER BY 1") == [("c1", "0555"), ("c2", "0556")]
    assert shop.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked'") == [(0,)]


SOLD_CENTRAL = """
CREATE TABLE item (id int PRIMARY KEY, name text);
CREATE TABLE sale (id text PRIMARY KEY, total numeric(12,2));
CREATE TABLE line (sale_id text REFERENCES sale, no int, item_id int REFERENCES item, qty numeric, PRIMARY KEY (sale_id, no));
"""
SOLD_TILL = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE sale (id TEXT PRIMARY KEY, total NUMERIC);
CREATE TABLE line (sale_id TEXT REFERENCES sale, no INTEGER, item_id INTEGER REFERENCES item, qty NUMERIC,
                   PRIMARY KEY (sale_id, no));
"""
SOLD = [
    {"name": "items", "direction": "down", "table": [{"name": "item"}]},
    {"name": "sales", "direction": "up", "table": [{"name": n, "policy": "append_only"} for n in ("sale", "line")]},
]


def test_b22_a_sale_of_an_item_that_head_office_has_deleted(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    shop = Shop(database, world, tmp_path, central=SOLD_CENTRAL, till=SOLD_TILL, channels=SOLD)
    try:
        shop.sql("INSERT INTO item VALUES (7, 'seven'), (8, 'eight')")
        one = shop.till("T1", "B1")
        one.sql("PRAGMA foreign_keys = ON")
        shop.settle()
        shop.sql("DELETE FROM item WHERE id = 8")
        for number, item in enumerate((7, 8), 1):
            one.sql("INSERT INTO sale VALUES (?, 5)", f"s{number}")
            one.sql("INSERT INTO line VALUES (?, 1, ?, 1)", f"s{number}", item)
        shop.settle()
        assert shop.sql("SELECT id FROM sale ORDER BY 1") == [("s1",)]
        assert shop.sql("SELECT sale_id FROM line") == [("s1",)]
        assert shop.sql("SELECT tab, sqlstate, tries < 5 FROM tillsync.parked WHERE state = 'parked' ORDER BY id") == [
            ("public.sale", "", True),
            ("public.line", "23503", True),
        ], "its document is parked with the reason, and not tried for ever"
        assert one.sql("SELECT id FROM item") == [(7,)], "the deletion arrives although a line refers to it"
        assert one.sql("SELECT central, key, kind FROM tillsync_problem") == [("public.line", '["s2",1]', "orphan")]
        one.sql("INSERT INTO sale VALUES ('s3', 5)")
        shop.settle()
        assert shop.sql("SELECT id FROM sale ORDER BY 1") == [("s1",), ("s3",)], "the till goes on"
        shop.sql("INSERT INTO item VALUES (8, 'eight, no longer sold')")
        assert parked.retry(shop.conn, shop.prepared.plan, force=True) == 2, "as it is by itself a few seconds later"
        shop.settle()
        assert shop.sql("SELECT sale_id FROM line ORDER BY 1") == [("s1",), ("s2",)]
        assert shop.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked'") == [(0,)]
    finally:
        shop.close()
