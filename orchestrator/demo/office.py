"""Head office in the demo: opens the books and does each day's work at central, as an ERP would.

It writes the ERP's own tables and knows nothing of replication. Every step is a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import psycopg

from orchestrator import assets
from orchestrator.demo.chain import Chain, choose
from orchestrator.demo.month import Item

STEPS_A_DAY = 6
VAT_RISES = date(2011, 1, 4)
PROMOTION_EVERY_DAYS = 5

Connection = psycopg.Connection[tuple[Any, ...]]


def open_books(connection: Connection, chain: Chain) -> None:
    """The sample schema with the master data of the first morning, in one transaction."""
    month = chain.month
    with connection.transaction():
        connection.execute(assets.text("sql/retail/central.sql"))
        stores = {"stores": [s.id for s in chain.stores], "price_groups": [s.price_group for s in chain.stores]}
        _run(connection, "open_warehouses", **stores)
        _run(connection, "open_stores", **stores)
        tills = {"nodes": [t.node for t in chain.tills], "stores": [t.store.id for t in chain.tills]}
        _run(connection, "register_tills", **tills)
        _run(connection, "open_vat_rates")
        _run(connection, "open_item_groups", names=sorted({item.group for item in month.items}))
        _run(connection, "open_items", **_item_columns(month.items))
        _run(connection, "open_barcodes")
        _carry(connection, chain, 0)
        _contacts(connection, chain, 0)
        _promotions(connection, chain, 0)


def work(connection: Connection, chain: Chain, day: int, pause: Callable[[], None]) -> None:
    """Head office's day, while the tills sell; `pause` is called between transactions.

    The first day's masters are there already.
    """
    today = chain.month.days[day]
    if day > 0:
        for step in (_carry, _contacts, _promotions):
            with connection.transaction():
                step(connection, chain, day)
            pause()
    if today.date >= VAT_RISES:
        _run(connection, "raise_vat")
    _run(connection, "change_prices", items=list(today.prices), pence=list(today.prices.values()))
    pause()
    counted = {"items": [c.item_id for c in today.counts], "quantities": [c.quantity for c in today.counts]}
    _run(connection, "count_stock", date=today.date, **counted)
    pause()
    with connection.transaction():
        _run(connection, "ship_lines")
        _run(connection, "ship_orders")
    _run(connection, "confirm_orders", date=today.date)


def closed_through(connection: Connection, number: int) -> set[str]:
    """The tills whose closures have arrived up to this number; for the first numbers all of them."""
    rows = connection.execute(assets.query("retail.closed_through"), {"number": number}).fetchall()
    return {str(node) for (node,) in rows}


def _carry(connection: Connection, chain: Chain, day: int) -> None:
    """Items enter and leave the stores' assortments."""
    before = chain.assortment[day - 1] if day else frozenset()
    come, gone = sorted(chain.assortment[day] - before), sorted(before - chain.assortment[day])
    _run(connection, "carry_items", items=[i for i, _ in come], stores=[s for _, s in come])
    _run(connection, "revive_items", items=[i for i, _ in come])
    _run(connection, "drop_items", items=[i for i, _ in gone], stores=[s for _, s in gone])
    _run(connection, "retire_items", items=[i for i, _ in gone])


def _contacts(connection: Connection, chain: Chain, day: int) -> None:
    """New customers, what they change, and the stores that they are shared with."""
    known = chain.known[day - 1] if day else frozenset()
    shared = chain.shared[day - 1] if day else frozenset()
    new = sorted(chain.known[day] - known)
    countries = {contact.id: contact.country for contact in chain.month.contacts}
    today = chain.month.days[day]
    _run(connection, "add_contacts", ids=new, countries=[countries[contact] for contact in new])
    moved = today.countries
    _run(connection, "change_countries", contacts=list(moved), countries=list(moved.values()))
    calling = [c for c in sorted(known) if choose(40, "phone", c, day) == 0]
    _run(connection, "change_phones", contacts=calling, day=day)
    come, gone = sorted(chain.shared[day] - shared), sorted(shared - chain.shared[day])
    _run(connection, "share_contacts", contacts=[c for c, _ in come], stores=[s for _, s in come])
    _run(connection, "unshare_contacts", contacts=[c for c, _ in gone], stores=[s for _, s in gone])
    agreed = [contact for contact in new if choose(12, "customer list", contact) == 0]
    _run(connection, "add_customer_lists", contacts=agreed, date=today.date)
    _run(connection, "fill_customer_lists", contacts=agreed)


def _promotions(connection: Connection, chain: Chain, day: int) -> None:
    """Old promotions end each day, new ones start every week, and customers' prices are talked over."""
    today = chain.month.days[day].date
    _run(connection, "end_promotions", date=today)
    if day % PROMOTION_EVERY_DAYS == 0:
        _run(connection, "start_promotions", day=day + 1, date=today)
        _run(connection, "fill_promotions", date=today)
    _run(connection, "renegotiate", day=day)


def _item_columns(items: Iterable[Item]) -> dict[str, list[Any]]:
    listed = list(items)
    return {
        "ids": [i.id for i in listed],
        "codes": [i.code for i in listed],
        "names": [i.name for i in listed],
        "groups": [i.group for i in listed],
        "pence": [i.price for i in listed],
    }


def _run(connection: Connection, block: str, **parameters: Any) -> None:
    connection.execute(assets.query(f"retail.{block}"), parameters)
