"""Field cases of order and membership, from head office's table to the till's and back."""

from __future__ import annotations

from orchestrator.relay.client import CentralRelay
from tests.integration.cases.shop import Shop


def test_b01_a_slow_transaction_is_not_passed_over(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql(
        "INSERT INTO item VALUES (1, 'A', 'one', 1), (2, 'B', 'two', 2); INSERT INTO branch_item VALUES ('B1', 1), ('B1', 2)"
    )
    shop.settle()
    import psycopg

    with psycopg.connect(shop.settings.central.dsn) as slow:
        slow.execute("UPDATE item SET name = 'slow' WHERE id = 1")
        for run in range(20):
            shop.sql(f"UPDATE item SET name = 'fast {run}' WHERE id = 2")
            shop.sync()
        assert one.sql("SELECT name FROM item ORDER BY id") == [("one",), ("fast 19",)]
        slow.commit()
        shop.settle()
        assert one.sql("SELECT name FROM item ORDER BY id") == [("slow",), ("fast 19",)]
        slow.execute("UPDATE item SET name = 'never' WHERE id = 1")
        slow.rollback()
    assert shop.settle() == 0


def test_b02_what_is_written_during_a_run_comes_with_the_next(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO item VALUES (3, 'C', 'three', 3); INSERT INTO branch_item VALUES ('B1', 3)")
    shop.settle()
    hand_over = CentralRelay.put_tick

    def interrupted(self: CentralRelay, *args: object, **kwargs: object) -> None:
        # Central has been read, the mark is not stored yet: both sides write now.
        CentralRelay.put_tick = hand_over  # type: ignore[method-assign]
        shop.sql("UPDATE item SET price = 9.99 WHERE id = 3")
        one.sql("INSERT INTO sales_order VALUES ('B1-1', 'B1', '1', 'draft', NULL, 10)")
        hand_over(self, *args, **kwargs)  # type: ignore[arg-type]

    CentralRelay.put_tick = interrupted  # type: ignore[method-assign]
    shop.sql("UPDATE item SET name = 'changed' WHERE id = 3")
    shop.sync()
    assert one.sql("SELECT name, price FROM item") == [("changed", 3)]
    shop.sync()
    assert one.sql("SELECT price FROM item") == [(9.99,)]
    assert shop.sql("SELECT id FROM sales_order") == [("B1-1",)]


def test_b05_a_list_moved_to_another_branch_leaves_with_its_prices(shop: Shop) -> None:
    one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.sql(
        "INSERT INTO price_list VALUES (7, 'B1', 'Spring'); INSERT INTO price VALUES (7, 1, 1), (7, 2, 2), (7, 3, 3)"
    )
    shop.settle()
    assert one.sql("SELECT count(*) FROM price") == [(3,)]
    one.sql("UPDATE price SET amount = 99 WHERE item_id = 1")  # the till, offline, changes what is not its own
    shop.sql("UPDATE price_list SET branch_id = 'B2' WHERE id = 7")
    shop.settle()
    assert one.sql("SELECT (SELECT count(*) FROM price_list), (SELECT count(*) FROM price)") == [(0, 0)]
    assert two.sql("SELECT item_id, amount FROM price ORDER BY 1") == [(1, 1), (2, 2), (3, 3)]
    assert shop.sql("SELECT amount FROM price WHERE item_id = 1") == [(1,)]
    assert shop.sql("SELECT node, tab, winner FROM tillsync.conflict") == [("T1", "public.price", "central")]


def test_b06_a_row_enters_that_did_not_change_itself(shop: Shop) -> None:
    one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.sql("INSERT INTO item VALUES (5, 'E', 'five', 5)")
    shop.settle()
    assert two.sql("SELECT * FROM item") == []
    shop.sql("INSERT INTO branch_item VALUES ('B2', 5)")
    shop.settle()
    assert two.sql("SELECT id FROM item") == [(5,)]
    shop.sql("DELETE FROM branch_item")
    shop.settle()
    assert two.sql("SELECT * FROM item") == one.sql("SELECT * FROM item") == []


def test_b07_a_delete_passes_the_filter_and_spares_a_private_row_of_the_same_number(shop: Shop) -> None:
    one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.sql("INSERT INTO price_list VALUES (7, 'B1', 'Spring')")
    shop.settle()
    two.agent.close()
    two.sql("CREATE TABLE private (id INTEGER PRIMARY KEY)")
    two.sql("INSERT INTO private VALUES (7)")
    shop.sql("DELETE FROM price_list WHERE id = 7")
    shop.settle()
    assert one.sql("SELECT * FROM price_list") == []
    assert two.sql("SELECT * FROM private") == [(7,)]


def test_b13_delete_then_insert_of_the_same_key(shop: Shop) -> None:
    one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, 'Nitra')")
    shop.settle()
    one.sql("DELETE FROM contact WHERE id = 'c1'")
    one.sql("INSERT INTO contact VALUES ('c1', '2', 'Bea', NULL, NULL)")  # in one run
    shop.settle()
    expected = [("c1", "2", "Bea", None, None)]
    assert (
        shop.sql("SELECT * FROM contact")
        == one.sql("SELECT * FROM contact")
        == two.sql("SELECT * FROM contact")
        == expected
    )
    one.sql("DELETE FROM contact WHERE id = 'c1'")
    shop.settle()
    one.sql("INSERT INTO contact VALUES ('c1', '3', 'Cid', NULL, NULL)")  # across two runs
    shop.settle()
    expected = [("c1", "3", "Cid", None, None)]
    assert shop.sql("SELECT * FROM contact") == two.sql("SELECT * FROM contact") == expected
    one.sql("DELETE FROM contact WHERE id = 'c1'")
    shop.settle()
    shop.sql(
        "INSERT INTO contact VALUES ('c1', '4', 'Dan', NULL, NULL)"
    )  # deleted at the till, made again at head office
    shop.settle()
    expected = [("c1", "4", "Dan", None, None)]
    assert one.sql("SELECT * FROM contact") == two.sql("SELECT * FROM contact") == expected


def test_b14_update_then_delete_and_insert_delete_insert_in_one_run(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO item VALUES (5, 'E', 'five', 5); INSERT INTO branch_item VALUES ('B1', 5), ('B1', 6)")
    shop.settle()
    shop.sql("BEGIN; UPDATE item SET name = 'x' WHERE id = 5; DELETE FROM item WHERE id = 5; COMMIT")
    shop.sql("INSERT INTO item VALUES (6, 'F', 'f', 6)")
    shop.sql("DELETE FROM item WHERE id = 6")
    shop.sql("INSERT INTO item VALUES (6, 'F', 'f', 6)")
    shop.sql("UPDATE item SET name = 'six' WHERE id = 6")
    fresh = shop.till("T2", "B1")  # and for a till in its first load
    shop.settle()
    assert one.sql("SELECT id, name FROM item") == fresh.sql("SELECT id, name FROM item") == [(6, "six")]


def test_b17_unique_values_swapped_turned_round_and_handed_on(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO item SELECT g, 'C' || g, 'n' || g, g FROM generate_series(1, 6) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 9) g")
    shop.settle()
    shop.sql(
        "BEGIN; UPDATE item SET code = 'tmp' WHERE id = 1; UPDATE item SET code = 'C1' WHERE id = 2;"
        " UPDATE item SET code = 'C2' WHERE id = 1; COMMIT"
    )
    shop.sql(  # three in a ring
        "BEGIN; UPDATE item SET code = 'tmp' WHERE id = 3; UPDATE item SET code = 'C3' WHERE id = 4;"
        " UPDATE item SET code = 'C4' WHERE id = 5; UPDATE item SET code = 'C5' WHERE id = 3; COMMIT"
    )
    shop.sql("BEGIN; DELETE FROM item WHERE id = 6; INSERT INTO item VALUES (7, 'C6', 'heir', 7); COMMIT")
    shop.settle()
    assert one.sql("SELECT id, code FROM item ORDER BY id") == shop.sql("SELECT id, code FROM item ORDER BY id")
    assert one.sql("SELECT * FROM tillsync_problem") == []


def test_b42_applied_rows_do_not_bounce_and_capture_goes_on_after_a_killed_apply(shop: Shop) -> None:
    from tests.integration.cases.shop import Died, dying_at

    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO item SELECT g, 'C' || g, 'n', 1 FROM generate_series(1, 10000) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 10000) g")
    shop.settle()
    assert one.sql("SELECT count(*) FROM item") == [(10000,)]
    assert one.sql("SELECT count(*) FROM tillsync_changelog") == [(0,)]
    shop.sql("UPDATE item SET name = 'm'")
    shop.agent.round()
    one.restart(dying_at(shop.world, "apply.rows"))
    try:
        one.sync()
    except Died:
        one.restart()
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, NULL)")  # the application, right after the kill
    assert one.sql("SELECT count(*) FROM tillsync_changelog") == [(1,)]
    shop.settle()
    assert shop.sql("SELECT id FROM contact") == [("c1",)]
    assert one.sql("SELECT count(*) FROM item WHERE name = 'm'") == [(10000,)]


def test_b43_what_one_branch_sent_reaches_the_others_and_does_not_come_back(shop: Shop) -> None:
    one, two, three = shop.till("T1", "B1"), shop.till("T2", "B2"), shop.till("T3", "B1")
    everybody = "SELECT id, name FROM contact"
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, NULL)")
    shop.settle()
    assert shop.sql(everybody) == two.sql(everybody) == three.sql(everybody) == [("c1", "Ann")]
    one.sql("UPDATE contact SET name = 'Anna'")
    shop.settle()
    assert shop.sql(everybody) == two.sql(everybody) == three.sql(everybody) == [("c1", "Anna")]
    one.sql("DELETE FROM contact")
    shop.settle()
    assert shop.sql(everybody) == two.sql(everybody) == three.sql(everybody) == []
    assert one.sql("SELECT count(*) FROM tillsync_changelog") == [(3,)]
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    shop.settle()
    assert shop.sql("SELECT total FROM turnover") == [(100,)]  # head office's own trigger ran exactly once
