"""A till that tidies up before it has sent: what it only adds to counts as sold, whenever the network was there."""

from __future__ import annotations

from typing import Any

from tests.integration.merge.conftest import Office

CLOSURE = {"number": 1, "day": "2024-03-30", "amount": "10.00"}
LINE = {"number": 1, "line_no": 1, "item_id": 7, "quantity": "2.000"}
TURNOVER = "SELECT till, number, amount::text FROM closure"
SOLD = [("T1", 1, "10.00")]


def test_a_closure_that_was_deleted_before_it_was_sent_was_sold(office: Office) -> None:
    till = office.till()
    till.insert("closure", **CLOSURE)
    till.delete("closure", **CLOSURE)
    till.push()
    assert office.collect().merged == 2
    assert office.rows(TURNOVER) == SOLD
    assert office.rows("SELECT FROM tillsync.conflict") == []


def test_one_that_is_written_anew_comes_as_it_was_last(office: Office) -> None:
    till = office.till()
    till.insert("closure", **CLOSURE)
    till.delete("closure", **CLOSURE)
    till.insert("closure", **(CLOSURE | {"amount": "12.00"}))
    till.push()
    office.collect()
    assert office.rows(TURNOVER) == [("T1", 1, "12.00")]


def test_one_that_was_deleted_while_it_was_parked_is_released_when_it_can_be(office: Office) -> None:
    till = office.till()
    till.insert("closure", **CLOSURE)
    till.insert("closure_line", **LINE)
    till.push()
    assert office.collect().parked >= 1
    till.delete("closure_line", **LINE)
    till.push()
    office.collect()
    office.run("INSERT INTO item (id, name) VALUES (7, 'Milk')")
    office.collect()
    lines: list[tuple[Any, ...]] = office.rows("SELECT till, item_id, quantity::text FROM closure_line")
    assert lines == [("T1", 7, "2.000")]
    assert office.rows("SELECT FROM tillsync.parked WHERE state = 'parked'") == []
