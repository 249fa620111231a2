"""Deals the month out to a chain of stores and tills: who sells what, who knows which item and which customer.

All of it is decided by hashes of names, never by a random generator: a demo of the same size is the same every time,
whatever the agents do meanwhile. Days are counted from 0.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from orchestrator.demo.month import Invoice, Month
from orchestrator.errors import UsageError

TILLS_MAX = 50
"""More tills than this are a matter of machines, not of a demo on one."""


@dataclass(frozen=True, slots=True)
class Store:
    """A store with a warehouse of its own (the same number); stores of one price group share promotions."""

    id: int
    price_group: str


@dataclass(frozen=True, slots=True)
class Till:
    """A till; `node` is its name at head office, at the relay and in the ids of its orders."""

    node: str
    store: Store


@dataclass(frozen=True)
class Chain:
    """The stores, the tills and the month that they live through."""

    month: Month
    stores: tuple[Store, ...]
    tills: tuple[Till, ...]

    @cached_property
    def dealt(self) -> tuple[dict[str, tuple[Invoice, ...]], ...]:
        """For each day: the invoices of each till, in the order in which they were written."""
        days = []
        for index, day in enumerate(self.month.days):
            tills: defaultdict[str, list[Invoice]] = defaultdict(list)
            for invoice in day.invoices:
                tills[self._till_of(invoice, index).node].append(invoice)
            days.append({till.node: tuple(tills[till.node]) for till in self.tills})
        return tuple(days)

    @cached_property
    def assortment(self) -> tuple[frozenset[tuple[int, int]], ...]:
        """For each day: (item, store) of the items that the stores carry.

        An item comes the day before its first sale in the store and goes three days after its last one.
        """
        store_of = {till.node: till.store.id for till in self.tills}
        sold: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for index, tills in enumerate(self.dealt):
            for node, invoices in tills.items():
                for item in {line.item_id for invoice in invoices for line in invoice.lines}:
                    sold[item, store_of[node]].append(index)
        last_day = len(self.month.days) - 1
        days: list[set[tuple[int, int]]] = [set() for _ in self.month.days]
        for pair, on in sold.items():
            for index in range(max(on[0] - 1, 0), min(on[-1] + 3, last_day) + 1):
                days[index].add(pair)
        return tuple(frozenset(pairs) for pairs in days)

    @cached_property
    def known(self) -> tuple[frozenset[int], ...]:
        """For each day: the contacts that head office has, each from the day before its first invoice."""
        firsts: dict[int, int] = {}
        for index, day in enumerate(self.month.days):
            for invoice in day.invoices:
                if invoice.contact_id is not None:
                    firsts.setdefault(invoice.contact_id, index)
        return tuple(
            frozenset(contact for contact, first in firsts.items() if index >= first - 1)
            for index in range(len(self.month.days))
        )

    @cached_property
    def shared(self) -> tuple[frozenset[tuple[int, int]], ...]:
        """For each day: (contact, store) of the contacts that are shared with the stores."""
        return tuple(
            frozenset((contact, store) for contact in known for store in self.stores_of(contact, index))
            for index, known in enumerate(self.known)
        )

    def stores_of(self, contact: int, day: int) -> tuple[int, ...]:
        """The stores where a contact buys: one for most, a second one for a tenth, another one after a move."""
        count = len(self.stores)
        home = choose(count, "home", contact)
        if choose(20, "moves", contact) == 0 and day >= 5 + choose(20, "moves on", contact):
            home = (home + 1) % count
        homes = {home, choose(count, "second", contact)} if choose(10, "has second", contact) == 0 else {home}
        return tuple(self.stores[index].id for index in sorted(homes))

    def _till_of(self, invoice: Invoice, day: int) -> Till:
        contact = invoice.contact_id
        stores = self.stores_of(contact, day) if contact is not None else tuple(store.id for store in self.stores)
        store = stores[choose(len(stores), "store", invoice.number)]
        tills = [till for till in self.tills if till.store.id == store]
        return tills[choose(len(tills), "till", invoice.number)]


def build(month: Month, tills: int, stores: int) -> Chain:
    """A chain with so many tills, dealt out to the stores in turn. Raises UsageError TS-710 for impossible sizes."""
    if not 1 <= stores <= tills <= TILLS_MAX:
        raise UsageError(
            "TS-710", f"{tills} tills in {stores} stores", hint=f"every store needs a till; at most {TILLS_MAX} tills"
        )
    shops = tuple(Store(number, "AB"[number % 2]) for number in range(1, stores + 1))
    return Chain(month, shops, tuple(Till(f"T{n + 1}", shops[n % stores]) for n in range(tills)))


def choose(count: int, *name: object) -> int:
    """A number below `count` that depends on the name alone."""
    digest = blake2b("/".join(map(str, name)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count
