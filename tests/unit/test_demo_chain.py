"""The month as it is read, and how it is dealt to a chain: nothing lost, nothing doubled, the same every time."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise

import pytest

from orchestrator.demo import chain, month, replay
from orchestrator.errors import UsageError


@pytest.fixture(scope="module")
def dealt() -> chain.Chain:
    return chain.build(month.load(), tills=5, stores=2)


def test_the_month_is_whole() -> None:
    """The figures are those of the data's source note."""
    whole = month.load()
    invoices = [invoice for day in whole.days for invoice in day.invoices]
    sold = sum(len(invoice.lines) for invoice in invoices)
    counted = sum(len(day.counts) for day in whole.days)
    assert (sold + counted, counted) == (58_991, 330 - 6)
    assert (len(whole.items), len(whole.contacts), len(whole.days)) == (2_881, 1_145, 31)
    assert sum(1 for invoice in invoices if invoice.number.startswith("C")) == 442
    assert (whole.days[0].date, whole.days[-1].date) == (date(2010, 12, 1), date(2011, 1, 16))


def test_every_item_has_a_code_a_name_and_a_price() -> None:
    items = month.load().items
    assert all(item.code == item.code.upper() and item.name and item.price > 0 for item in items)
    assert len({item.code for item in items}) == len(items)


def test_every_invoice_is_dealt_to_one_till(dealt: chain.Chain) -> None:
    for index, day in enumerate(dealt.month.days):
        numbers = Counter(invoice.number for invoices in dealt.dealt[index].values() for invoice in invoices)
        assert numbers == Counter(invoice.number for invoice in day.invoices)


def test_every_till_has_work(dealt: chain.Chain) -> None:
    totals: Counter[str] = Counter()
    for tills in dealt.dealt:
        totals.update({node: len(invoices) for node, invoices in tills.items()})
    assert min(totals.values()) > 0.5 * max(totals.values())


def test_a_store_carries_what_it_sells_and_knows_who_buys(dealt: chain.Chain) -> None:
    store_of = {till.node: till.store.id for till in dealt.tills}
    for index, tills in enumerate(dealt.dealt):
        for node, invoices in tills.items():
            items = {(line.item_id, store_of[node]) for invoice in invoices for line in invoice.lines}
            contacts = {(i.contact_id, store_of[node]) for i in invoices if i.contact_id is not None}
            assert items <= dealt.assortment[index]
            assert contacts <= dealt.shared[index]


def test_items_and_contacts_come_and_go(dealt: chain.Chain) -> None:
    """Without movement in both directions the demo would prove little."""
    for days in (dealt.assortment, dealt.shared):
        pairs = list(pairwise(days))
        assert sum(len(after - before) for before, after in pairs) > 50
        assert sum(len(before - after) for before, after in pairs) > 20


def test_the_same_size_is_the_same_chain(dealt: chain.Chain) -> None:
    again = chain.build(month.load(), tills=5, stores=2)
    assert again.dealt == dealt.dealt
    assert again.shared == dealt.shared


@pytest.mark.parametrize(("tills", "stores"), [(0, 0), (1, 2), (5, 0), (51, 2)])
def test_impossible_sizes_are_refused(tills: int, stores: int) -> None:
    with pytest.raises(UsageError, match="TS-710"):
        chain.build(month.load(), tills, stores)


@pytest.mark.parametrize(("tills", "stores", "days"), [(5, 2, 31), (2, 2, 4), (1, 1, 5), (3, 1, 1)])
def test_every_agent_is_killed_as_often_as_asked(tills: int, stores: int, days: int) -> None:
    plan = replay.plan(chain.build(month.load(), tills, stores), days, day_seconds=1, kills=7)
    assert len(plan.kills) == days
    asked: Counter[str] = Counter()
    for day in plan.kills:
        asked.update(day)
    assert min(asked.values()) >= 7
    for outage in plan.outages:
        assert 0 <= outage.first <= outage.last < days - 1, "an agent has a day to come back"
        assert all(plan.kills[day][outage.node] == 0 for day in range(outage.first, outage.last + 1))
