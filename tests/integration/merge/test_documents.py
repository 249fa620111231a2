"""A header and its lines come whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.central import parked
from orchestrator.core.plan import Channel, DocumentPart
from tests.integration.merge.conftest import Office, Till, table

ORDERS = "SELECT id FROM supplier_order ORDER BY 1"
LINES = "SELECT order_id, line_no, ordered FROM supplier_order_line ORDER BY 1, 2"
OPEN = "SELECT key->>'order_id', key->>'id', op, sqlstate FROM tillsync.parked WHERE state = 'parked' ORDER BY id"


def order(till: Till, number: str, *items: int) -> None:
    till.insert("supplier_order", id=number, status="draft")
    for line, item in enumerate(items, 1):
        till.insert("supplier_order_line", order_id=number, line_no=line, item_id=item, ordered=1)


def test_a_line_that_cannot_come_keeps_its_document_away_and_nothing_else(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    order(till, "good", 1, 1)
    order(till, "bad", 1, 9, 1)
    till.insert("closure", number=1, day="2011-12-01", amount="5.00")
    till.push(parts=3)
    done = office.collect()
    assert (done.merged, done.parked) == (4, 4)
    assert office.rows(ORDERS) == [("good",)]
    assert office.rows("SELECT reason FROM tillsync.parked WHERE sqlstate = ''") == [("waits with its document",)] * 3
    office.run("INSERT INTO item VALUES (9, 'pot', 3)")
    assert office.collect().moved == 4
    assert office.rows(ORDERS) == [("bad",), ("good",)]
    assert len(office.rows(LINES)) == 5


def test_a_value_that_cannot_be_read_keeps_its_document_away_too(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    order(till, "o1", 1)
    till.insert("supplier_order_line", order_id="o1", line_no=2, item_id=1, ordered="a dozen")
    till.push()
    assert office.collect().parked == 3
    assert office.rows(ORDERS) == []
    till.update("supplier_order_line", {"order_id": "o1", "line_no": 2, "item_id": 1, "ordered": "a dozen"}, ordered=12)
    till.push()
    office.collect()
    assert office.rows(LINES) == [("o1", 1, 1), ("o1", 2, 12)], "the till's own fix reaches the parked row"


def test_what_is_sent_later_of_a_parked_document_waits_behind_it(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    order(till, "o1", 9)
    till.push()
    office.collect()
    till.insert("supplier_order_line", order_id="o1", line_no=2, item_id=1, ordered=5)
    till.update("supplier_order", {"id": "o1", "status": "draft"}, status="sent")
    order(till, "o2", 1)
    till.push()
    office.collect()
    assert office.rows(ORDERS) == [("o2",)]
    till.delete("supplier_order_line", order_id="o1", line_no=1, item_id=9, ordered=1)
    till.push()
    office.collect()
    assert office.rows("SELECT id, status FROM supplier_order ORDER BY 1") == [("o1", "sent"), ("o2", "draft")]
    assert office.rows(LINES) == [("o1", 2, 5), ("o2", 1, 1)]
    assert office.rows(OPEN) == []


def test_a_retry_by_hand_takes_the_whole_document(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2)")
    till = office.till()
    order(till, "o1", 9, 1)
    till.push()
    office.collect()
    header = next(r["id"] for r in parked.listed(office.conn) if r["tab"] == "public.supplier_order")
    assert parked.retry(office.conn, office.plan, ids=[header], force=True) == 0
    assert office.rows(ORDERS) == []
    office.run("INSERT INTO item VALUES (9, 'pot', 2)")
    assert parked.retry(office.conn, office.plan, ids=[header], force=True) == 3
    assert len(office.rows(LINES)) == 2


def test_what_depends_on_a_parked_document_is_parked_behind_it_and_comes_with_it(
    open_office: Callable[..., Office],
) -> None:
    office = open_office(more="ALTER TABLE stock ADD FOREIGN KEY (place) REFERENCES supplier_order;")
    till = office.till()
    order(till, "o1", 9)
    till.insert("stock", item_id=1, qty=1, place="o1")
    till.insert("stock", item_id=2, qty=1, place=None)
    till.push()
    office.collect()
    assert office.rows("SELECT item_id FROM stock") == [(2,)]
    office.run("INSERT INTO item VALUES (9, 'pot', 3)")
    office.collect()
    assert office.rows("SELECT item_id, place FROM stock ORDER BY 1") == [(1, "o1"), (2, None)]


@pytest.mark.parametrize("declared", [True, False])
def test_a_document_without_foreign_keys_is_told_by_the_plan(office: Office, declared: bool) -> None:
    parts = (DocumentPart("public.stock", ("place",)),) if declared else ()
    tables = (table("contact", "append_only", document=parts), table("stock", "append_only"))
    office.plan = replace(office.plan, channels=(Channel("sales", "up", tables),))
    till = office.till()
    till.insert("contact", id="c1", name="Ann")
    till.insert("stock", item_id=1, qty=1, place="c1")
    till.insert("stock", item_id=2, qty="1e50", place="c1")
    till.insert("stock", item_id=3, qty=1, place="c2")
    till.push()
    office.collect()
    there: list[Any] = [*office.rows("SELECT id FROM contact"), *office.rows("SELECT item_id FROM stock ORDER BY 1")]
    assert there == ([(3,)] if declared else [("c1",), (1,), (3,)])


def test_lines_that_are_deleted_and_changed_are_of_their_document(office: Office) -> None:
    office.run("INSERT INTO item VALUES (1, 'tea', 2); INSERT INTO supplier_order VALUES ('o1', 'draft')")
    office.run("INSERT INTO supplier_order_line VALUES ('o1', 1, 1, 1), ('o1', 2, 1, 1)")
    till = office.till()
    till.delete("supplier_order_line", order_id="o1", line_no=1, item_id=1, ordered=1)
    till.update("supplier_order_line", {"order_id": "o1", "line_no": 2, "item_id": 1, "ordered": 1}, item_id=9)
    till.push()
    office.collect()
    assert office.rows(LINES) == [("o1", 1, 1), ("o1", 2, 1)], "neither, since one of them cannot"
    assert len(office.rows(OPEN)) == 2
