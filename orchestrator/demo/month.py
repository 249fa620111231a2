"""The real month of retail in `sql/retail/data/`, read into what a chain works with: items, contacts, invoices by day.

Every line of the file is kept. A line without a price and without a customer is head office counting its stock; every
other line was sold, or taken back, and ends on a receipt. Codes are upper-cased: the file spells some both ways.
Money is in whole pence, so that sums are exact.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import groupby

from orchestrator import assets

DATA = "sql/retail/data/online_retail.csv.gz"
_PRODUCT = re.compile(r"\d{5}[A-Z]{0,2}")
_OPENING_PRICE = 100  # pence; for the few items that were only ever counted


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice or of a count; `price` in pence."""

    item_id: int
    quantity: int
    price: int

    @property
    def amount(self) -> int:
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Invoice:
    """What one customer, or nobody known, bought or gave back at once."""

    number: str
    at: datetime
    contact_id: int | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A stock card at the beginning of the month."""

    id: int
    code: str
    name: str
    group: str
    price: int


@dataclass(frozen=True, slots=True)
class Contact:
    """A customer, with the country of the first invoice."""

    id: int
    country: str


@dataclass(frozen=True, slots=True)
class Day:
    """A trading day: `prices` are the items whose usual price is another than before, `countries` likewise."""

    date: date
    invoices: tuple[Invoice, ...]
    counts: tuple[Line, ...]
    prices: dict[int, int]
    countries: dict[int, str]


@dataclass(frozen=True, slots=True)
class Month:
    """The whole file."""

    items: tuple[Item, ...]
    contacts: tuple[Contact, ...]
    days: tuple[Day, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    number: str
    code: str
    name: str
    quantity: int
    at: datetime
    price: int
    contact_id: int | None
    country: str


@cache
def load() -> Month:
    """Reads the data set (about half a second) and checks what the demo relies on."""
    rows = tuple(_rows())
    items = _items(rows)
    ids = {item.code: item.id for item in items}
    countries = {r.contact_id: r.country for r in reversed(rows) if r.contact_id is not None}
    contacts = tuple(Contact(number, country) for number, country in sorted(countries.items()))
    prices = {item.id: item.price for item in items}
    days = tuple(
        _day(day, tuple(of_day), ids, prices, countries) for day, of_day in groupby(rows, key=lambda r: r.at.date())
    )
    numbers = [invoice.number for day in days for invoice in day.invoices]
    assert len(set(numbers)) == len(numbers), "an invoice spans two days"
    return Month(items, contacts, days)


def _rows() -> Iterator[_Row]:
    with gzip.open(assets.path(DATA), "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield _Row(
                number=row["InvoiceNo"],
                code=row["StockCode"].upper(),
                name=" ".join(row["Description"].split()),
                quantity=int(row["Quantity"]),
                at=datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC),
                price=int(Decimal(row["UnitPrice"]) * 100),
                contact_id=int(row["CustomerID"]) if row["CustomerID"] else None,
                country=row["Country"],
            )


def _items(rows: Iterable[_Row]) -> tuple[Item, ...]:
    names: defaultdict[str, Counter[str]] = defaultdict(Counter)
    first_price: dict[str, int] = {}
    for row in rows:
        # Rows without a price carry the notes of a stock count as their description.
        names[row.code][row.name if row.price else ""] += 1
        if row.price:
            first_price.setdefault(row.code, row.price)
    return tuple(
        Item(number, code, _usual(names[code]) or code, _group(code), first_price.get(code, _OPENING_PRICE))
        for number, code in enumerate(sorted(names), start=1)
    )


def _usual(seen: Counter[str]) -> str:
    return max(seen, key=lambda name: (name != "", seen[name], name))


def _group(code: str) -> str:
    return f"Range {code[:2]}" if _PRODUCT.fullmatch(code) else "Services and vouchers"


def _day(
    day: date, rows: tuple[_Row, ...], ids: dict[str, int], prices: dict[int, int], countries: dict[int, str]
) -> Day:
    """One day; `prices` and `countries` are what held until now and are brought forward."""
    invoices: dict[str, list[_Row]] = {}
    counts: list[Line] = []
    for row in rows:
        if row.price == 0 and row.contact_id is None:
            counts.append(_line(row, ids))
        else:
            invoices.setdefault(row.number, []).append(row)
    usual = _usual_prices(rows, ids)
    new_prices = {item: price for item, price in usual.items() if prices[item] != price}
    prices.update(new_prices)
    new_countries = {r.contact_id: r.country for r in rows if r.contact_id and countries[r.contact_id] != r.country}
    countries.update(new_countries)
    whole = tuple(_invoice(lines, ids) for lines in invoices.values())
    return Day(day, whole, tuple(counts), new_prices, new_countries)


def _usual_prices(rows: Iterable[_Row], ids: dict[str, int]) -> dict[int, int]:
    seen: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for row in rows:
        if row.price:
            seen[ids[row.code]][row.price] += 1
    return {item: min(prices, key=lambda p: (-prices[p], p)) for item, prices in seen.items()}


def _line(row: _Row, ids: dict[str, int]) -> Line:
    return Line(ids[row.code], row.quantity, row.price)


def _invoice(rows: list[_Row], ids: dict[str, int]) -> Invoice:
    return Invoice(rows[0].number, rows[0].at, rows[0].contact_id, tuple(_line(row, ids) for row in rows))
