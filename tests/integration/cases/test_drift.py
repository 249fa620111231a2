"""Triggers go and tables change at a till, under Tillsync: it is found, put right, and what was missed is sent."""

from __future__ import annotations

import pytest

from orchestrator.till import database, schema
from tests.integration.cases.shop import Shop, Till

ORDERS = "SELECT id, status, note FROM sales_order ORDER BY id"
TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tillsync_sales_order%'"


def with_orders(shop: Shop, count: int = 4) -> Till:
    """A till with orders that both ends have."""
    till = shop.till("T1", "B1")
    for number in range(1, count + 1):
        till.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'draft', 'n', 1)", f"O{number}", str(number))
    shop.settle()
    return till


def rebuild(till: Till, table: str, columns: str) -> None:
    """What an application's upgrade does where ALTER TABLE is not enough: the triggers go with the table."""
    till.sql(f"CREATE TABLE upgraded ({columns})")
    names = ", ".join(row[0] for row in till.sql(f"SELECT name FROM pragma_table_info('{table}')"))
    till.sql(f"INSERT INTO upgraded ({names}) SELECT {names} FROM {table}")
    till.sql(f"DROP TABLE {table}")
    till.sql(f"ALTER TABLE upgraded RENAME TO {table}")


ORDER_COLUMNS = "id TEXT PRIMARY KEY, branch_id TEXT, no TEXT, status TEXT, note TEXT, total NUMERIC, extra TEXT"


def test_b53_a_rebuilt_table_is_captured_again_and_what_was_missed_is_sent(shop: Shop) -> None:
    till = with_orders(shop)
    rebuild(till, "sales_order", ORDER_COLUMNS)
    assert till.sql(TRIGGERS) == []
    for number in (5, 6, 7):
        till.sql("INSERT INTO sales_order (id, branch_id, no, status) VALUES (?, 'B1', ?, 'draft')", f"O{number}", "n")
    till.sql("UPDATE sales_order SET note = 'changed' WHERE id = 'O1'")
    till.sql("DELETE FROM sales_order WHERE id = 'O2'")
    till.sql("UPDATE sales_order SET id = 'O9' WHERE id = 'O3'")
    shop.settle()
    assert len(till.sql(TRIGGERS)) == 5
    assert shop.sql(ORDERS) == till.sql(ORDERS)
    assert [r[0] for r in shop.sql(ORDERS)] == ["O1", "O4", "O5", "O6", "O7", "O9"]
    assert shop.sql("SELECT note FROM sales_order WHERE id = 'O1'") == [("changed",)]
    till.sql("UPDATE sales_order SET status = 'paid' WHERE id = 'O5'")
    shop.settle()
    assert shop.sql("SELECT status FROM sales_order WHERE id = 'O5'") == [("paid",)], "captured as ever"


def test_b53_what_head_office_wrote_meanwhile_is_merged_with_it(shop: Shop) -> None:
    till = with_orders(shop)
    shop.sql("UPDATE sales_order SET note = 'of head office' WHERE id IN ('O1', 'O2')")
    rebuild(till, "sales_order", ORDER_COLUMNS)
    till.sql("UPDATE sales_order SET total = 7 WHERE id = 'O1'")
    shop.settle()
    assert shop.sql("SELECT note, total FROM sales_order WHERE id = 'O1'") == [("of head office", 7)]
    assert till.sql("SELECT note, total FROM sales_order WHERE id = 'O1'") == [("of head office", 7)]
    assert shop.sql(ORDERS) == till.sql(ORDERS)
    assert shop.sql("SELECT count(*) FROM tillsync.conflict") == [(0,)], "the old values were known"


def test_b53_an_upgrade_that_puts_the_old_triggers_back_hides_nothing(shop: Shop) -> None:
    """SQLite's own instructions for a rebuild say so: what was written before that is missed all the same."""
    till = with_orders(shop)
    kept = till.sql("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'sales_order' ORDER BY rowid")
    for (name,) in till.sql(TRIGGERS):
        till.sql(f"DROP TRIGGER {name}")
    till.sql("UPDATE sales_order SET note = 'unseen' WHERE id = 'O3'")
    for (statement,) in kept:
        till.sql(statement)
    shop.settle()
    assert shop.sql("SELECT note FROM sales_order WHERE id = 'O3'") == [("unseen",)]


def test_b53_what_came_down_or_went_up_before_is_not_sent_again(shop: Shop) -> None:
    till = with_orders(shop)
    shop.sql("UPDATE sales_order SET note = 'first' WHERE id = 'O1'")
    shop.sql("INSERT INTO sales_order VALUES ('C1', 'B1', 'c', 'draft', 'of head office', 1)")
    shop.sql("DELETE FROM sales_order WHERE id = 'O2'")
    till.sql("UPDATE sales_order SET note = 'of the till' WHERE id = 'O3'")
    till.sql("DELETE FROM sales_order WHERE id = 'O4'")
    shop.settle()
    rebuild(till, "sales_order", ORDER_COLUMNS)
    assert till.agent.round().sent == 0
    till.restart()
    till.sql("VACUUM")
    assert till.agent.round().sent == 0


def test_b53_an_upgrade_that_moves_the_old_table_out_of_the_way(shop: Shop) -> None:
    """The triggers go with the old table, under its new name, and see it being emptied."""
    till = with_orders(shop)
    till.sql("ALTER TABLE sales_order RENAME TO old_order")
    till.sql(f"CREATE TABLE sales_order ({ORDER_COLUMNS})")
    till.sql("INSERT INTO sales_order SELECT *, '' FROM old_order")
    till.sql("UPDATE sales_order SET note = 'moved' WHERE id = 'O4'")
    till.sql("DELETE FROM old_order")
    shop.settle()
    assert len(shop.sql(ORDERS)) == 4
    assert shop.sql(ORDERS) == till.sql(ORDERS)
    assert shop.sql("SELECT note FROM sales_order WHERE id = 'O4'") == [("moved",)]
    assert len(till.sql(TRIGGERS)) == 5


def test_b53_a_column_that_the_application_renames(shop: Shop) -> None:
    till = with_orders(shop)
    till.sql("ALTER TABLE sales_order RENAME COLUMN note TO remark")
    till.sql("UPDATE sales_order SET remark = 'stays here', status = 'paid' WHERE id = 'O1'")
    shop.settle()
    assert shop.sql("SELECT note, status FROM sales_order WHERE id = 'O1'") == [("stays here", "paid")], (
        "captured before"
    )
    till.sql("UPDATE sales_order SET remark = 'unknown now', status = 'shipped' WHERE id = 'O1'")
    shop.settle()
    assert shop.sql("SELECT note, status FROM sales_order WHERE id = 'O1'") == [("stays here", "shipped")], (
        "not blanked"
    )
    till.sql("ALTER TABLE sales_order RENAME COLUMN remark TO note")
    shop.settle()
    assert shop.sql(ORDERS) == till.sql(ORDERS)


def test_b53_sales_are_never_sent_twice_by_a_comparison(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    for number in range(1, 31):
        till.sql("INSERT INTO closure VALUES (?, '2024-03-01', 10)", number)
    shop.settle()
    shop.sql("DELETE FROM closure WHERE number <= 20")  # archived
    rebuild(till, "closure", "number INTEGER PRIMARY KEY, day TEXT, total NUMERIC, extra TEXT")
    till.sql("INSERT INTO closure VALUES (31, '2024-03-02', 5, '')")
    shop.settle()
    assert shop.sql("SELECT count(*), min(number), max(number) FROM closure") == [(11, 21, 31)]
    assert shop.sql("SELECT total FROM turnover") == [(305,)]


def test_b53_a_table_that_an_upgrade_emptied_is_filled_again_and_not_deleted_elsewhere(shop: Shop) -> None:
    till = with_orders(shop, 30)
    till.sql("DROP TABLE sales_order")
    till.sql(f"CREATE TABLE sales_order ({ORDER_COLUMNS})")
    till.sql("INSERT INTO sales_order (id, branch_id, status) VALUES ('O99', 'B1', 'draft')")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM sales_order") == [(31,)]
    assert till.sql(ORDERS) == shop.sql(ORDERS)


@pytest.mark.parametrize(
    "harm",
    [
        "DROP TRIGGER tillsync_sales_order_after_update",
        "DROP TRIGGER tillsync_sales_order_before_insert; DROP TRIGGER tillsync_sales_order_after_update",
        "CREATE TRIGGER own AFTER UPDATE OF status ON sales_order"
        " BEGIN UPDATE sales_order SET note = 'status' WHERE id = NEW.id; END",
        "ALTER TABLE sales_order ADD COLUMN extra TEXT",
        "VACUUM",
    ],
)
def test_b52_triggers_at_a_till_are_put_right_with_the_next_round(shop: Shop, harm: str) -> None:
    till = with_orders(shop)
    till.sql(harm)
    till.sql("UPDATE sales_order SET note = 'after' WHERE id = 'O1'")
    shop.settle()
    assert shop.sql(ORDERS) == till.sql(ORDERS)
    till.sql("UPDATE sales_order SET note = 'later' WHERE id = 'O1'")
    shop.settle()
    assert shop.sql(ORDERS) == till.sql(ORDERS)


def test_b52_an_edited_trigger_is_found(shop: Shop) -> None:
    till = with_orders(shop)
    name, text = till.sql("SELECT name, sql FROM sqlite_master WHERE name = 'tillsync_sales_order_after_update'")[0]
    till.sql(f"DROP TRIGGER {name}")
    till.sql(text.replace("IS NOT 1", "IS 1"))
    till.sql("UPDATE sales_order SET note = 'unseen' WHERE id = 'O1'")
    shop.settle()
    assert shop.sql("SELECT note FROM sales_order WHERE id = 'O1'") == [("unseen",)]


def test_b52_a_file_without_our_tables_is_told_and_nothing_is_done(shop: Shop) -> None:
    till = with_orders(shop)
    schema.uninstall(database.connect(till.file))
    till.restart()
    with pytest.raises(Exception, match="TS-520"):
        till.sync()


def test_b80_a_row_that_was_lost_at_the_till_comes_back_with_its_next_change(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO item SELECT g, 'c' || g, 'n', 1 FROM generate_series(1, 3) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 3) g")
    shop.settle()
    till.sql("UPDATE tillsync_state SET applying = 1")
    till.sql("DELETE FROM item WHERE id IN (1, 2)")
    till.sql("UPDATE tillsync_state SET applying = 0")
    shop.sql("UPDATE item SET name = 'new' WHERE id = 1")
    shop.settle()
    assert till.sql("SELECT id, name FROM item ORDER BY id") == [(1, "new"), (3, "n")], "a put, not an update"


def test_b80_rows_of_head_office_that_went_with_their_triggers_are_loaded_anew(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO item SELECT g, 'c' || g, 'n', 1 FROM generate_series(1, 3) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 3) g")
    shop.settle()
    till.sql("DROP TABLE item")
    till.sql("CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT, price NUMERIC)")
    till.sql("INSERT INTO item VALUES (7, 'x', 'not of head office', 1)")
    shop.settle()
    assert till.sql("SELECT id FROM item ORDER BY id") == [(1,), (2,), (3,)]
