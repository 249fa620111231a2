"""What central cannot take is parked with its reason; the rest flows; it goes in when it can."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from orchestrator import postgres
from orchestrator.central import parked
from orchestrator.core.changes import Shape
from orchestrator.core.plan import Channel
from orchestrator.errors import PersonMustDecide, TillsyncError, Unreachable
from tests.integration.merge.conftest import MemoryRelay, Office


def open_rows(office: Office) -> list[tuple[Any, ...]]:
    return office.rows("SELECT tab, key, op, sqlstate FROM tillsync.parked WHERE state = 'parked' ORDER BY id")


def test_b11_one_bad_row_does_not_hold_back_what_is_behind_it(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    till.insert("supplier_order", id="bad", status="draft")
    till.insert("supplier_order_line", order_id="bad", line_no=1, item_id=2, ordered=1)
    for i in range(50):
        till.insert("supplier_order", id=f"o{i}", status="draft")
        till.insert("supplier_order_line", order_id=f"o{i}", line_no=1, item_id=1, ordered=1)
    till.insert("closure", number=1, day="2011-12-01", amount="5.00")
    till.push(parts=4)
    done = office.collect()
    assert (done.merged, done.parked) == (101, 2)
    assert open_rows(office) == [
        ("public.supplier_order", {"id": "bad"}, "I", ""),
        ("public.supplier_order_line", {"order_id": "bad", "line_no": "1"}, "I", "23503"),
    ]
    assert ("T1", "bad", 1) in office.echoes("supplier_order_line")
    assert office.collect().moved == 0
    office.run("INSERT INTO item VALUES (2, 'pot', 3)")
    assert office.collect().moved == 2
    assert office.echoes("supplier_order_line") == [("T1", "bad", 1)]
    assert office.rows("SELECT count(*) FROM supplier_order_line") == [(51,)]
    assert office.rows("SELECT state, tries FROM tillsync.parked") == [("released", 4)] * 2


def test_b18_the_same_phone_at_two_tills_parks_the_second_and_nothing_else(office: Office) -> None:
    for node, contact in (("T1", "c1"), ("T2", "c2")):
        till = office.till(node)
        till.insert("contact", id=contact, name="Ann", email="a@x")
        till.insert("supplier_order", id=f"{node}-1", note=contact)
        till.push()
    done = office.collect()
    assert (done.merged, done.parked) == (3, 1)
    assert open_rows(office) == [("public.contact", {"id": "c2"}, "I", "23505")]
    assert office.rows("SELECT id FROM supplier_order ORDER BY 1") == [("T1-1",), ("T2-1",)]


@pytest.mark.parametrize(
    ("column", "value", "sqlstate", "stored"),
    [
        ("since", "yesterday at noon", "22000", {"text": "yesterday at noon"}),
        ("since", "2024-02-30", "22008", "2024-02-30"),
        ("weight", "heavy", "22P02", "heavy"),
        ("vip", "perhaps", "22P02", "perhaps"),
        ("notes", "{", "22P02", "{"),
        ("city", "a\0b", "22000", {"hex": "610062"}),
        ("city", b"\xff\xfe", "22000", {"hex": "fffe"}),
        ("email", "x" * 21, "22001", "x" * 21),
        ("name", None, "23502", None),
        ("name", "bad", "23514", "bad"),
    ],
)
def test_a_value_that_central_cannot_hold_is_parked_as_it_was(
    office: Office, column: str, value: object, sqlstate: str, stored: object
) -> None:
    till = office.till()
    till.insert("contact", id="c0", name="Eve", city="Rome")
    till.insert("contact", **{"id": "c1", "name": "Ann", column: value})
    till.insert("contact", id="c2", name="Bea", photo=b"\1", vip=0, weight=float("inf"))
    till.push()
    done = office.collect()
    assert (done.merged, done.parked) == (2, 1)
    assert open_rows(office) == [("public.contact", {"id": "c1"}, "I", sqlstate)]
    assert office.rows("SELECT new->%(c)s FROM tillsync.parked", c=column) == [(stored,)]
    assert office.rows("SELECT id FROM contact ORDER BY 1") == [("c0",), ("c2",)]
    assert {("T1", "c0"), ("T1", "c2")} <= set(office.echoes("contact"))
    office.collect()
    assert open_rows(office) == [("public.contact", {"id": "c1"}, "I", sqlstate)]


def test_later_changes_of_a_parked_row_wait_behind_it_and_heal_it(office: Office) -> None:
    till = office.till()
    row = {"id": "c1", "name": "bad", "city": "Rome"}
    till.insert("contact", **row)
    till.push()
    office.collect()
    till.update("contact", row, city="Oslo")
    till.push()
    office.collect()
    assert [op for _, _, op, _ in open_rows(office)] == ["I", "U"]
    till.update("contact", {**row, "city": "Oslo"}, name="good")
    till.push()
    done = office.collect()
    assert (done.parked, done.moved) == (1, 1 + 3)
    assert open_rows(office) == []
    assert office.rows("SELECT id, name, city FROM contact") == [("c1", "good", "Oslo")]


def test_an_unreadable_old_image_leaves_the_row_to_its_policy(open_office: Callable[..., Office]) -> None:
    office = open_office("branch_wins")
    office.run("INSERT INTO contact (id, name) VALUES ('c1', 'Ann')")
    till = office.till()
    till.update("contact", {"id": "c1", "name": "Ann", "since": "noon"}, since=None, city="Rome")
    till.push()
    done = office.collect()
    assert (done.parked, done.conflicts) == (0, 0)
    assert office.rows("SELECT name, city, since FROM contact") == [("Ann", "Rome", None)]
    till.update("contact", {"id": "c1", "name": "Ann", "since": "noon"}, city="Oslo", since="2011-12-01 00:00:00+00:00")
    till.push()
    assert office.collect().conflicts == 1
    assert office.rows("SELECT name, city FROM contact") == [("Ann", "Oslo")]


def test_a_table_that_is_in_no_plan_is_parked_and_comes_in_with_a_later_plan(office: Office) -> None:
    till = office.till()
    till.insert("voucher", id=1, name="gift")
    till.push()
    assert office.collect().parked == 1
    assert office.rows("SELECT tab, new, reason FROM tillsync.parked") == [
        ("public.voucher", {"id": "1", "name": "gift"}, "public.voucher is not in the plan")
    ]


def test_a_constraint_that_is_checked_at_the_end_parks_its_document_only(open_office: Callable[..., Office]) -> None:
    office = open_office(
        more="ALTER TABLE supplier_order_line ALTER CONSTRAINT supplier_order_line_item_id_fkey DEFERRABLE INITIALLY DEFERRED;"
    )
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    till.insert("supplier_order", id="o1")
    for line, item in ((1, 1), (2, 99), (3, 1)):
        till.insert("supplier_order_line", order_id="o1", line_no=line, item_id=item, ordered=1)
    till.insert("supplier_order", id="o2")
    till.insert("supplier_order_line", order_id="o2", line_no=1, item_id=1, ordered=1)
    till.push()
    done = office.collect()
    assert (done.merged, done.parked) == (2, 4)
    assert office.rows("SELECT order_id, line_no FROM supplier_order_line ORDER BY 1") == [("o2", 1)]


def test_an_application_trigger_that_says_no_parks_its_row(open_office: Callable[..., Office]) -> None:
    office = open_office(
        more="""CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.city = 'Atlantis' THEN RAISE EXCEPTION 'no such city' USING ERRCODE = 'ZA001'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER no BEFORE INSERT ON contact FOR EACH ROW EXECUTE FUNCTION no();"""
    )
    till = office.till()
    till.insert("contact", id="c1", name="Ann", city="Atlantis")
    till.insert("contact", id="c2", name="Bea", city="Rome")
    till.push()
    assert office.collect().parked == 1
    assert office.rows("SELECT reason, sqlstate FROM tillsync.parked") == [("no such city", "ZA001")]


def test_a_sum_that_the_column_cannot_hold_is_parked_without_a_conflict(office: Office) -> None:
    office.run("INSERT INTO stock VALUES (1, 99999999999, 'A'), (2, 1, 'A')")
    till = office.till()
    till.update("stock", {"item_id": 1, "qty": "1", "place": "A"}, qty="99999999999", place="B")
    till.update("stock", {"item_id": 2, "qty": "2", "place": "A"}, qty="3")
    till.push()
    done = office.collect()
    assert (done.parked, done.conflicts) == (1, 0)
    assert office.rows("SELECT item_id, qty::text, place FROM stock ORDER BY 1") == [
        (1, "99999999999.000", "A"),
        (2, "2.000", "A"),
    ]


def test_a_judged_row_that_is_parked_after_all_is_no_conflict_until_it_comes_in(
    open_office: Callable[..., Office],
) -> None:
    office = open_office("branch_wins")
    office.run("INSERT INTO contact (id, name, city) VALUES ('c1', 'Ann', 'Lima')")
    till = office.till()
    till.update("contact", {"id": "c1", "name": "Ann", "city": "Rome"}, name="bad", city="Oslo")
    till.push()
    done = office.collect()
    assert (done.parked, done.conflicts) == (1, 0)
    assert office.rows("SELECT FROM tillsync.conflict") == []
    office.run("ALTER TABLE contact DROP CONSTRAINT contact_name_check")
    office.collect()
    assert office.rows("SELECT name, city FROM contact") == [("bad", "Oslo")]
    assert office.rows("SELECT columns, winner FROM tillsync.conflict") == [(["city"], "till")]


def test_unique_values_handed_on_within_an_upload_go_in(office: Office) -> None:
    till = office.till()
    till.insert("contact", id="c1", name="Ann", email="a@x")
    till.push()
    office.collect()
    till.delete("contact", id="c1", name="Ann", email="a@x")
    till.insert("contact", id="c2", name="Bea", email="a@x")
    till.push()
    done = office.collect()
    assert (done.parked, done.conflicts) == (0, 0)
    assert office.rows("SELECT id, email FROM contact") == [("c2", "a@x")]


def test_unique_values_that_two_rows_exchange_go_in(office: Office) -> None:
    office.plan = replace(office.plan, channels=tuple(_with_rules(c) for c in office.plan.channels))
    office.run(
        "INSERT INTO contact (id, name, email) VALUES ('c1', 'Ann', 'a@x'), ('c2', 'Bea', 'b@x'), ('c3', 'Eve', 'c@x')"
    )
    till = office.till()
    one, two = ({"id": f"c{i}", "name": n, "email": f"{e}@x"} for i, n, e in ((1, "Ann", "a"), (2, "Bea", "b")))
    one = till.update("contact", one, email=None)
    till.update("contact", two, email="a@x")
    till.update("contact", one, email="b@x", city="Rome")
    till.update("contact", {"id": "c3", "name": "Eve", "email": "c@x"}, city="Oslo")
    till.push()
    done = office.collect()
    assert (done.parked, done.conflicts) == (0, 0)
    assert office.rows("SELECT id, email, city FROM contact ORDER BY 1") == [
        ("c1", "b@x", "Rome"),
        ("c2", "a@x", None),
        ("c3", "c@x", "Oslo"),
    ]


def _with_rules(channel: Channel) -> Channel:
    """The channel with the unique rules that planning reads from the catalog."""
    rules = {"public.contact": (("email",),)}
    return replace(channel, tables=tuple(replace(t, unique=rules.get(t.name, ())) for t in channel.tables))


def test_many_bad_rows_among_many_good_ones(office: Office) -> None:
    office.run("INSERT INTO item SELECT i, 'x', 1 FROM generate_series(1, 1000) i WHERE i % 100 <> 0")
    till = office.till()
    for i in range(1, 1001):
        till.insert("supplier_order", id=f"o{i}")
        till.insert("supplier_order_line", order_id=f"o{i}", line_no=1, item_id=i, ordered=1)
    till.push()
    done = office.collect()
    assert (done.merged, done.parked) == (1980, 20)
    assert office.rows("SELECT count(*) FROM supplier_order") == [(990,)]


@pytest.mark.parametrize(
    ("statement", "options", "error", "code"),
    [
        ("REVOKE INSERT ON contact FROM sync", "-c role=sync", PersonMustDecide, "TS-402"),
        ("ALTER TABLE contact RENAME TO moved", "", TillsyncError, "TS-311"),
        ("ALTER TABLE contact DROP COLUMN city", "", TillsyncError, "TS-311"),
        ("SELECT 1", "-c default_transaction_read_only=on", Unreachable, "TS-404"),
    ],
)
def test_a_fault_that_is_no_rows_stops_the_run_and_parks_nothing(
    office: Office, statement: str, options: str, error: type[TillsyncError], code: str
) -> None:
    office.run(
        """CREATE ROLE sync; GRANT ALL ON SCHEMA tillsync TO sync; GRANT ALL ON ALL TABLES IN SCHEMA tillsync TO sync;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO sync"""
    )
    office.run(statement)
    till = office.till()
    till.insert("contact", id="c1", name="Ann")
    till.push()
    office.conn.close()
    place = psycopg.conninfo.make_conninfo(office.dsn, options=options)
    with closing(postgres.connect(place, "tillsync test")) as conn, pytest.raises(error) as stopped:
        Office(place, conn, office.relay, office.plan, office.world).collect()
    assert stopped.value.code == code
    with psycopg.connect(office.dsn) as conn:
        assert conn.execute("SELECT count(*) FROM tillsync.parked").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM tillsync.taken").fetchone() == (0,)
    assert office.relay.taken == []


def test_a_person_lists_retries_and_drops(office: Office) -> None:
    till = office.till()
    till.insert("supplier_order_line", order_id="o1", line_no=1, ordered=1)
    till.insert("supplier_order_line", order_id="o2", line_no=1, ordered=1)
    till.push()
    office.collect()
    first, second = (row["id"] for row in parked.listed(office.conn))
    office.run("INSERT INTO supplier_order (id) VALUES ('o1')")
    assert parked.retry(office.conn, office.plan, ids=[second], force=True) == 0
    assert parked.retry(office.conn, office.plan, ids=[first], force=True) == 1
    assert parked.drop(office.conn, office.plan, [first, second]) == [second]
    assert [row["state"] for row in parked.listed(office.conn, every=True)] == ["released", "dropped"]
    assert parked.listed(office.conn, "T1") == []


def test_what_is_wrong_with_one_node_does_not_hold_up_the_others(office: Office) -> None:
    stranger, bad, good = office.till("T0"), office.till("T1"), office.till("T2")
    for till in (stranger, bad, good):
        till.insert("contact", id=till.node, name="Ann")
        till.push()
    relay: MemoryRelay = office.relay
    broken = next(u for u in relay.uploads if u.node == "T1")
    frame = broken.part.frame[:-1] + bytes([broken.part.frame[-1] ^ 1])
    relay.uploads.remove(broken)
    relay.uploads.append(replace(broken, part=replace(broken.part, frame=frame)))
    done = office.collect()
    assert office.rows("SELECT id FROM contact") == [("T2",)]
    assert {node: said.split()[0] for node, said in done.refused.items()} == {"T0": "TS-312", "T1": "TS-602"}


def test_a_name_that_no_database_has_is_refused_with_its_upload(office: Office) -> None:
    bad, good = office.till("T1"), office.till("T2")
    bad.shapes = [Shape("public.voucher", ("a\0",), ("a\0",))]
    bad.insert("voucher", **{"a\0": 1})
    good.insert("contact", id="c1", name="Ann")
    for till in (bad, good):
        till.push()
    assert {node: said.split()[0] for node, said in office.collect().refused.items()} == {"T1": "TS-310"}
    assert office.rows("SELECT id FROM contact") == [("c1",)]


def test_a_table_whose_columns_change_within_an_upload(office: Office) -> None:
    till = office.till()
    shape = till.shape("contact")
    till.shapes = [Shape(shape.table, ("id", "name"), ("id",))] * 2 + [shape] * 2
    till.insert("contact", id="c1", name="Ann")
    till.insert("contact", id="c2", name="Bea")
    till.update("contact", {"id": "c1", "name": "Ann", "city": None}, city="Rome")
    till.delete("contact", id="c2", name="Bea")
    till.push()
    office.collect()
    assert office.rows("SELECT id, name, city FROM contact") == [("c1", "Ann", "Rome")]


def test_an_upload_without_the_key_is_parked_and_the_rest_flows(office: Office) -> None:
    till = office.till()
    till.shapes = [Shape("public.contact", ("name",), ("id",))]
    till.insert("contact", name="Ann")
    till.push()
    done = office.collect()
    assert (done.parked, done.refused) == (1, {})
    assert office.rows("SELECT reason FROM tillsync.parked") == [("T1 sends public.contact without its key",)]
