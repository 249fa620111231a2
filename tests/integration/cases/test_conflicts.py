"""Edits that cannot stand: refused or beaten, put right at the till, and on record."""

from __future__ import annotations

from tests.integration.cases.shop import Shop


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
