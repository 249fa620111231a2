"""Printed numbers that two tills give at the same time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.checks import numbers
from orchestrator.core.world import World
from tests.integration.cases.shop import CHANNELS, Shop, Till


def numbered() -> list[dict[str, object]]:
    channels = copy.deepcopy(CHANNELS)
    tables = {t["name"]: t for c in channels for t in c["table"]}
    tables["sales_order"]["number"] = ["no"]
    tables["closure"]["number"] = ["till", "number"]
    return channels


@pytest.fixture
def chain(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(database, world, tmp_path, channels=numbered())
    yield made
    made.close()


def order(till: Till, key: str, number: str, total: int) -> None:
    till.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', NULL, ?)", key, number, total)


def said(chain: Shop) -> list[str]:
    return [f.what for f in numbers.findings(chain.conn, chain.prepared, chain.settings)]


def test_b20_two_tills_print_one_number_and_both_orders_stay(chain: Shop) -> None:
    one, two = chain.till("T1a", "B1"), chain.till("T1b", "B1")
    chain.settle()
    order(one, "T1a-1", "B1-000100", 5)
    order(one, "T1a-2", "B1-000101", 10)
    order(two, "T1b-1", "B1-000101", 20)
    for till in (one, two):
        till.sql("INSERT INTO closure VALUES (1, '2026-03-01', 100)")
    chain.settle()
    everywhere = [("T1a-1", "B1-000100", 5), ("T1a-2", "B1-000101", 10), ("T1b-1", "B1-000101", 20)]
    for place in (chain, one, two):
        assert place.sql("SELECT id, no, total FROM sales_order ORDER BY id") == everywhere, "neither is lost or merged"
    assert chain.sql("SELECT sum(total) FROM sales_order WHERE no = 'B1-000101'") == [(30,)]
    assert said(chain) == ["public.sales_order: no B1-000101 was given 2 times: T1a-2 from T1a; T1b-1 from T1b"], (
        "a closure's number is each till's own"
    )
    two.sql("UPDATE sales_order SET no = 'B1-000102' WHERE id = 'T1b-1'")
    chain.settle()
    assert said(chain) == []
    many_are_counted(chain)


def many_are_counted(chain: Shop) -> None:
    chain.sql(
        "INSERT INTO sales_order SELECT 'K' || i, 'B1', 'N' || i % 2, 'paid', NULL, 1 FROM generate_series(1, 13) i"
    )
    chain.sql("INSERT INTO sales_order VALUES ('L1', 'B1', NULL, 'paid', NULL, 1), ('L2', 'B1', NULL, 'paid', NULL, 1)")
    found = said(chain)
    assert [text.split(":")[1].strip()[:24] for text in found] == ["no N0 was given 6 times", "no N1 was given 7 times"]
    assert found[1].endswith("and 2 more"), "no number is no double one"
    channels = [
        c.model_copy(update={"table": tuple(t.model_copy(update={"number": ("none",)}) for t in c.table)})
        for c in chain.settings.channel
        if c.name == "orders"
    ]
    strange = chain.settings.model_copy(update={"channel": tuple(channels)})
    (first, *_) = numbers.findings(chain.conn, chain.prepared, strange)
    assert "has no column none" in first.what


def test_b20_a_number_that_head_office_lets_stand_once_is_parked_until_it_is_another(chain: Shop) -> None:
    chain.sql("CREATE UNIQUE INDEX one_number ON sales_order (no)")
    one, two = chain.till("T1a", "B1"), chain.till("T1b", "B1")
    chain.settle()
    order(one, "T1a-1", "B1-000101", 10)
    chain.settle()
    order(two, "T1b-1", "B1-000101", 20)
    order(two, "T1b-2", "B1-000102", 40)
    chain.settle()
    assert chain.sql("SELECT id FROM sales_order ORDER BY 1") == [("T1a-1",), ("T1b-2",)], "the rest flows"
    ((node, key, reason),) = chain.sql("SELECT node, key ->> 'id', reason FROM tillsync.parked WHERE state = 'parked'")
    assert (node, key) == ("T1b", "T1b-1")
    assert "one_number" in reason
    assert "B1-000101" in reason
    assert two.sql("SELECT count(*) FROM sales_order WHERE id = 'T1b-1'") == [(1,)], "the till keeps what it sold"
    two.sql("UPDATE sales_order SET no = 'B1-000103' WHERE id = 'T1b-1'")
    chain.settle()
    assert chain.sql("SELECT no, total FROM sales_order ORDER BY id") == [
        ("B1-000101", 10),
        ("B1-000103", 20),
        ("B1-000102", 40),
    ]
    assert chain.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked'") == [(0,)]
