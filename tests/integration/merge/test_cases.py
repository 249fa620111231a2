"""Field cases, as far as they are decided where uploads are merged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.merge.conftest import Office, Till

Open = Callable[..., Office]

CONTACT = {"id": "c1", "name": "Ann", "city": "Rome"}
ORDER = {"id": "o1", "status": "draft", "note": None, "document_no": None}


def sent(office: Office, till: Till, **push: int) -> None:
    till.push(**push)
    office.collect()


def test_b09_movements_of_two_tills_and_of_head_office_add_up(office: Office) -> None:
    office.run("INSERT INTO stock VALUES (1, 10, 'A')")
    base = {"item_id": 1, "qty": "10.000", "place": "A"}
    one, two = office.till("T1"), office.till("T2")
    one.update("stock", base, qty="7.000")
    two.update("stock", base, qty="6.000")
    office.run("UPDATE stock SET qty = qty + 5")
    one.push()
    two.push()
    assert office.collect().conflicts == 0
    one.push(since=0)  # the ack was lost: all is sent again
    office.collect()
    assert office.rows("SELECT qty::text FROM stock") == [("8.000",)]


def test_b09_what_others_moved_between_two_changes_that_are_sent_again_is_not_the_tills(office: Office) -> None:
    """Head office came back from a backup, and the till sends all again: it had taken head office's row in between."""
    office.run("INSERT INTO stock VALUES (1, 10, 'A'), (2, 10, 'A'), (3, 10, 'A')")
    till = office.till()
    base = {"item_id": 1, "qty": "10.000", "place": "A"}
    till.update("stock", base, qty="9.000")
    till.update("stock", {**base, "item_id": 2}, qty="8.000")
    till.update("stock", {**base, "qty": "29.000"}, qty="28.000")  # others brought twenty
    till.update("stock", {**base, "item_id": 2, "qty": "8.000"}, place="B")
    till.update("stock", {**base, "qty": "128.000", "place": "C"}, qty="127.000")  # and a hundred
    till.insert("stock", item_id=4, qty="1.000", place="A")
    till.delete("stock", item_id=3, qty="10.000", place="A")
    sent(office, till)
    assert office.rows("SELECT item_id, qty::text, place FROM stock ORDER BY 1") == [
        (1, "7.000", "A"),
        (2, "8.000", "B"),
        (4, "1.000", "A"),
    ]
    assert office.rows("SELECT count(*) FROM tillsync.parked") == [(0,)]


def test_what_waits_behind_a_parked_change_waits_also_where_changes_are_merged_by_turns(office: Office) -> None:
    till = office.till()
    office.run("INSERT INTO stock VALUES (1, 10, 'A')")
    base = {"item_id": 1, "qty": "10.000", "place": "A"}
    till.insert("contact", **{**CONTACT, "name": "bad"})
    till.update("stock", base, qty="9.000")
    till.update("stock", {**base, "qty": "29.000"}, qty="28.000")
    till.update("contact", {**CONTACT, "name": "bad"}, city="Bari")
    sent(office, till)
    assert office.rows("SELECT qty::text FROM stock") == [("8.000",)]
    assert office.rows("SELECT seq, op FROM tillsync.parked ORDER BY seq") == [(1, "I"), (4, "U")]
    assert office.rows("SELECT count(*) FROM contact") == [(0,)]


@pytest.mark.parametrize("policy", ["additive", "central_wins"])
def test_b09_two_tills_that_sold_as_much_sold_it_twice(open_office: Open, policy: str) -> None:
    office = open_office(policy)
    office.run("INSERT INTO stock VALUES (1, 10, 'A')")
    for node in ("T1", "T2"):
        till = office.till(node)
        till.update("stock", {"item_id": 1, "qty": "10.000", "place": "A"}, qty="7.000", place="B")
        till.insert("stock", item_id=2, qty="5.000", place="C")
        till.push()
    assert office.collect().conflicts == 0
    assert office.rows("SELECT item_id, qty::text, place FROM stock ORDER BY 1") == [
        (1, "4.000", "B"),
        (2, "10.000", "C"),
    ]


def test_b09_a_sum_may_fall_below_zero_and_a_recount_is_a_movement(office: Office) -> None:
    office.run("INSERT INTO stock VALUES (1, 1, 'A'), (2, 10, 'A')")
    till = office.till()
    till.update("stock", {"item_id": 1, "qty": "1", "place": "A"}, qty="0")
    till.update("stock", {"item_id": 2, "qty": "10", "place": "A"}, qty="50")
    office.run("UPDATE stock SET qty = qty - 2 WHERE item_id = 1; UPDATE stock SET qty = qty + 5 WHERE item_id = 2")
    sent(office, till)
    assert office.rows("SELECT item_id, qty::text FROM stock ORDER BY 1") == [(1, "-2.000"), (2, "55.000")]


@pytest.mark.parametrize("policy", ["append_only", "central_wins", "branch_wins", "column_merge"])
def test_b10_an_update_after_a_lost_marker_arrives_though_the_row_is_there(open_office: Open, policy: str) -> None:
    office = open_office(policy)
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    till.update("contact", CONTACT, city="Oslo")
    sent(office, till, since=0)  # the till does not know that its insert arrived, and sends both
    expected = "Rome" if policy == "append_only" else "Oslo"
    assert office.rows("SELECT id, city FROM contact") == [("c1", expected)]


def test_b13_delete_and_insert_of_a_key_in_one_run(office: Office) -> None:
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    till.delete("contact", **CONTACT)
    till.insert("contact", id="c1", name="Bea", city=None)
    sent(office, till)
    assert office.rows("SELECT id, name, city FROM contact") == [("c1", "Bea", None)]
    assert office.rows("SELECT * FROM tillsync.conflict") == []


def test_b13_delete_and_insert_of_a_key_in_two_runs(office: Office) -> None:
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    till.delete("contact", **CONTACT)
    sent(office, till)
    till.insert("contact", id="c1", name="Bea", city=None)
    sent(office, till)
    assert office.rows("SELECT id, name, city FROM contact") == [("c1", "Bea", None)]


def test_b13_deleted_at_the_till_and_made_anew_at_head_office(office: Office) -> None:
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    till.delete("contact", **CONTACT)
    office.run("DELETE FROM contact; INSERT INTO contact (id, name) VALUES ('c1', 'Cid')")
    sent(office, till)
    assert office.rows("SELECT id, name FROM contact") == [("c1", "Cid")]
    assert office.rows("SELECT winner FROM tillsync.conflict") == [("central",)]
    assert office.echoes("contact") == [("T1", "c1")]


@pytest.mark.parametrize(
    ("policy", "central_deletes", "till_deletes"),
    [
        ("central_wins", [], [("c1", "Ann", "Lima")]),
        ("branch_wins", [("c1", "Ann", "Oslo")], []),
        ("column_merge", [("c1", "Ann", "Oslo")], [("c1", "Ann", "Lima")]),
        ("append_only", [], [("c1", "Ann", "Lima")]),
        ("additive", [], [("c1", "Ann", "Lima")]),
    ],
)
def test_b21_update_against_delete(
    open_office: Open, policy: str, central_deletes: list[object], till_deletes: list[object]
) -> None:
    office = open_office(policy)
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    till.update("contact", CONTACT, city="Oslo")
    office.run("DELETE FROM contact")
    sent(office, till)
    assert office.rows("SELECT id, name, city FROM contact") == central_deletes
    office.run("DELETE FROM contact; INSERT INTO contact (id, name, city) VALUES ('c1', 'Ann', 'Lima')")
    till.delete("contact", **CONTACT)
    sent(office, till)
    assert office.rows("SELECT id, name, city FROM contact") == till_deletes
    assert len(office.rows("SELECT FROM tillsync.conflict")) == (1 if policy == "append_only" else 2)


def test_b39_a_paid_order_is_not_opened_again(open_office: Open) -> None:
    office = open_office("column_merge")
    till = office.till()
    till.insert("supplier_order", **ORDER)
    sent(office, till)
    shipped = till.update("supplier_order", ORDER, status="shipped")
    office.run("UPDATE supplier_order SET note = 'call first'")
    till.push()
    till.push(since=1)  # the line was cut midway: sent twice
    office.collect()
    assert office.rows("SELECT status, note FROM supplier_order") == [("shipped", "call first")]
    till.update("supplier_order", shipped, status="draft")
    sent(office, till)
    assert office.rows("SELECT status FROM supplier_order") == [("shipped",)]


def test_b39_head_office_is_further_on_than_the_till(open_office: Open) -> None:
    office = open_office("branch_wins")
    till = office.till()
    till.insert("supplier_order", **ORDER)
    sent(office, till)
    office.run("UPDATE supplier_order SET status = 'received'")
    till.update("supplier_order", ORDER, status="shipped", note="late")
    sent(office, till)
    assert office.rows("SELECT status, note FROM supplier_order") == [("received", "late")]
    assert office.rows(
        "SELECT columns, policy, winner, base->>'status', theirs->>'status', ours->>'status' FROM tillsync.conflict"
    ) == [(["status"], "state_machine", "central", "draft", "shipped", "received")]
    assert office.echoes("supplier_order") == [("T1", "o1")]


@pytest.mark.parametrize("policy", ["central_wins", "branch_wins", "column_merge"])
def test_b40_two_columns_changed_on_two_sides_are_both_kept(open_office: Open, policy: str) -> None:
    office = open_office(policy)
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    row = till.update("contact", CONTACT, email="a@x")
    office.run("UPDATE contact SET city = 'Oslo'")
    sent(office, till)
    assert office.rows("SELECT email, city FROM contact") == [("a@x", "Oslo")]
    row = till.update("contact", {**row, "city": "Oslo"}, city="X")
    office.run("UPDATE contact SET city = 'X'")
    sent(office, till)
    row = till.update("contact", row, email=None)
    sent(office, till)
    assert office.rows("SELECT email, city FROM contact") == [(None, "X")]
    row = till.update("contact", row, city="B")
    row = till.update("contact", row, city="X")
    office.run("UPDATE contact SET city = 'C'")
    sent(office, till)
    assert office.rows("SELECT email, city FROM contact") == [(None, "C")]
    assert office.rows("SELECT * FROM tillsync.conflict") == []


@pytest.mark.parametrize(
    ("policy", "city", "winner"), [("central_wins", "Lima", "central"), ("branch_wins", "Oslo", "till")]
)
def test_both_sides_changed_a_column_and_the_loser_is_on_record(
    open_office: Open, policy: str, city: str, winner: str
) -> None:
    office = open_office(policy)
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    till.update("contact", CONTACT, city="Oslo")
    office.run("UPDATE contact SET city = 'Lima'")
    sent(office, till)
    assert office.rows("SELECT city FROM contact") == [(city,)]
    found = office.rows(
        "SELECT node, tab, key, columns, policy, base->>'city', theirs->>'city', ours->>'city', outcome->>'city', winner FROM tillsync.conflict"
    )
    assert found == [("T1", "public.contact", {"id": "c1"}, ["city"], policy, "Rome", "Oslo", "Lima", city, winner)]


def test_b41_what_head_offices_trigger_makes_of_a_row_is_echoed(office: Office) -> None:
    office.run(
        """CREATE SEQUENCE document_no START 100;
        CREATE FUNCTION number_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.status <> 'draft' AND NEW.document_no IS NULL THEN NEW.document_no := nextval('public.document_no'); END IF;
            RETURN NEW; END $$;
        CREATE TRIGGER number_it BEFORE INSERT OR UPDATE ON supplier_order FOR EACH ROW EXECUTE FUNCTION number_it()"""
    )
    till = office.till()
    row = {**ORDER, "status": "sent"}
    till.insert("supplier_order", **row)
    sent(office, till)
    assert office.rows("SELECT document_no FROM supplier_order") == [(100,)]
    assert office.echoes("supplier_order") == [("T1", "o1")]
    till.update("supplier_order", row, note="hurry")  # the till has not heard of the number yet
    sent(office, till)
    assert office.rows("SELECT document_no, note FROM supplier_order") == [(100, "hurry")]
    assert office.rows("SELECT * FROM tillsync.conflict") == []
    assert office.echoes("supplier_order") == [("T1", "o1")]


def test_b43_a_merged_row_is_captured_for_the_other_tills(office: Office) -> None:
    till = office.till()
    till.insert("contact", **CONTACT)
    sent(office, till)
    assert office.rows("SELECT id FROM tillsync.log_contact WHERE origin IS NULL") == [("c1",)]


@pytest.mark.parametrize("policy", ["append_only", "central_wins", "branch_wins", "column_merge"])
def test_append_only_closure_with_the_same_key_and_other_content_is_kept_in_the_conflict(
    open_office: Open, policy: str
) -> None:
    office = open_office(policy)
    one = office.till()
    one.insert("closure", number=1, day="2011-12-01", amount="5.00")
    sent(office, one)
    other = office.till(seed=1)  # the same till, set up anew
    other.insert("closure", number=1, day="2011-12-01", amount="7.00")
    other.insert("closure", number=2, day="2011-12-02", amount="1.00")
    sent(office, other)
    assert office.rows("SELECT number, amount::text FROM closure ORDER BY 1") == [(1, "5.00"), (2, "1.00")]
    assert office.rows("SELECT key, theirs->>'amount', ours->>'amount', winner, policy FROM tillsync.conflict") == [
        ({"till": "T1", "number": "1"}, "7.00", "5.00", "central", "append_only")
    ]


def test_append_only_refuses_updates_and_leaves_deletes_to_the_till(office: Office) -> None:
    till = office.till()
    row = {"number": 1, "day": "2011-12-01", "amount": "5.00"}
    till.insert("closure", **row)
    sent(office, till)
    row = till.update("closure", row, amount="9.00")
    sent(office, till)
    till.delete("closure", **row)
    sent(office, till)
    assert office.rows("SELECT number, amount::text FROM closure") == [(1, "5.00")]
    assert office.rows("SELECT theirs->>'amount', winner FROM tillsync.conflict") == [("9.00", "central")]
