"""The proofs at the end of the demo: what central and the tills hold, compared set by set.

They ask their own questions (`sql/retail/proofs/queries.sql`) and use nothing of the product: not its filters, not its
bookkeeping. A proof names what it compared, how much of it, and the first few things that are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import psycopg

from orchestrator import assets
from orchestrator.demo.chain import Chain, Till

FAILURES_SHOWN_MAX = 10
SESSION = "-c TimeZone=UTC -c DateStyle=ISO"
HELD = {
    "vat_rate": 1,
    "item_group": 1,
    "item": 1,
    "barcode": 1,
    "contact": 1,
    "price_list": 1,
    "price_list_item": 2,
    "supplier_order": 1,
    "supplier_order_line": 2,
}
"""Tables that come down to a till, and how many of the first columns are the key."""

Row = tuple[Any, ...]
Office = psycopg.Connection[Row]


@dataclass(frozen=True, slots=True)
class Branch:
    """A till and its file."""

    till: Till
    file: Path


@dataclass(frozen=True, slots=True)
class Proof:
    """What was claimed, over how many facts, and what speaks against it; with `failures` empty it holds."""

    name: str
    claim: str
    checked: int
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.failures


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends, opened for the proofs: central in one snapshot, every till read only."""

    office: Office
    tills: tuple[tuple[Till, apsw.Connection, Path], ...]


Check = Callable[[Ends], Iterator[tuple[int, Iterable[str]]]]


def prove(central_dsn: str, branches: Iterable[Branch]) -> list[Proof]:
    """All proofs that need nothing but the databases. Nobody may be writing meanwhile."""
    with psycopg.connect(central_dsn, options=SESSION) as office:
        office.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        tills = tuple((b.till, apsw.Connection(str(b.file)), b.file) for b in branches)
        try:
            return [_prove(check, Ends(office, tills)) for check in CHECKS]
        finally:
            for _, connection, _ in tills:
                connection.close()


def prove_replayed(chain: Chain, days: int, branches: Iterable[Branch]) -> Proof:
    """The receipts of each till are the invoices of the month that were dealt to it."""
    failures: list[str] = []
    checked = 0
    for branch in branches:
        connection = apsw.Connection(str(branch.file))
        found = next(iter(connection.execute(_sql("till_lines_sold"))))
        connection.close()
        lines = [line for tills in chain.dealt[:days] for invoice in tills[branch.till.node] for line in invoice.lines]
        dealt = (len(lines), sum(line.quantity for line in lines), sum(line.amount for line in lines))
        checked += len(lines)
        if found != dealt:
            failures.append(f"{branch.till.node}: lines, pieces, pence sold {found}, dealt {dealt}")
    return Proof("receipts", "every line of the month dealt to a till is on its receipts", checked, tuple(failures))


def held(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """every till holds exactly what its filters give on central, value by value"""
    for till, connection, _ in ends.tills:
        parameters = {"store_id": till.store.id, "price_group": till.store.price_group}
        for table, width in HELD.items():
            central = _keyed(ends.office.execute(_sql(f"office_{table}"), parameters), width)
            local = _keyed(connection.execute(_sql(f"till_{table}")), width)
            yield len(central), differences(f"{till.node} {table}", central, local)


def turnover(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """closures at central = closures at the tills = receipts, per till, day, item, anonymous and per customer"""
    for till, connection, _ in ends.tills:
        node = {"node": till.node}
        central = _keyed(ends.office.execute(_sql("office_turnover"), node), 3)
        closed = _keyed(connection.execute(_sql("till_turnover")), 3)
        sold = _keyed(connection.execute(_sql("till_receipts")), 3)
        yield len(central), differences(f"{till.node} central and closures", central, closed)
        yield len(sold), differences(f"{till.node} closures and receipts", closed, sold)


def closures(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """closures are numbered without holes, with the same days, receipts and amounts at both ends"""
    for till, connection, _ in ends.tills:
        central = _keyed(ends.office.execute(_sql("office_closures"), {"node": till.node}), 1)
        local = _keyed(connection.execute(_sql("till_closures")), 1)
        totals = _keyed(connection.execute(_sql("till_receipt_totals")), 1)
        yield len(central), differences(f"{till.node} closure", central, local)
        yield len(totals), differences(f"{till.node} closure and its receipts", local, totals)
        numbers = sorted(key[0] for key in central)
        if numbers != list(range(1, len(numbers) + 1)):
            yield 0, [f"{till.node}: closure numbers at central are not 1 to {len(numbers)}"]


def stock(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """stock movements = closure lines, each once, and stock is the sum of its movements"""
    counted = ends.office.execute(_sql("office_movement_count")).fetchone()
    assert counted is not None
    for block, what in (("office_movements_wrong", "closure line"), ("office_stock_wrong", "stock of")):
        rows = ends.office.execute(_sql(block)).fetchall()
        yield counted[0], (f"{what} {row[0]}: {row[1:]}" for row in rows)


def secrecy(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """no purchase price is on any till, neither as a column nor as a value, nor anywhere in the file"""
    secrets = {str(row[0]) for row in ends.office.execute(_sql("office_purchase_prices"))}
    for till, connection, file in ends.tills:
        yield len(secrets), (f"{till.node}: {found}" for found in _purchase_prices(connection, secrets))
        # Checkpointed and freed pages count too: whoever takes the disk reads them.
        raw = b"".join(part.read_bytes() for part in _files(file))
        leaked = {number.decode() for number in re.findall(rb"\d+\.\d{6}(?![\d.])", raw)} & secrets
        yield len(raw), (f"{till.node}: {value} stands in the file" for value in sorted(leaked))


def strangers(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """nobody else's contacts, and none of their price lists, are on a till"""
    for till, connection, _ in ends.tills:
        others = ends.office.execute(_sql("office_contacts_of_others"), {"store_id": till.store.id}).fetchall()
        local = {
            table: {row[0] for row in connection.execute(f"SELECT id FROM {table}")}
            for table in ("customer", "price_list")
        }
        yield len(others), (f"{till.node}: {what} is there" for what, key, table in others if key in local[table])


def orders(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """every order has the same state at both ends, and no till holds another store's"""
    for till, connection, _ in ends.tills:
        central = _keyed(ends.office.execute(_sql("office_order_states"), {"store_id": till.store.id}), 1)
        local = _keyed(connection.execute(_sql("till_order_states")), 1)
        yield len(central), differences(f"{till.node} order", central, local)


def search(ends: Ends) -> Iterator[tuple[int, Iterable[str]]]:
    """the vendor's full-text index at each till says what its items say"""
    for till, connection, _ in ends.tills:
        try:
            connection.execute(_sql("till_search_index"))
            yield 1, []
        except apsw.CorruptError as e:
            yield 1, [f"{till.node}: item_search does not match item: {e}"]


CHECKS: tuple[Check, ...] = (held, turnover, closures, stock, secrecy, strangers, orders, search)


def differences(where: str, left: Mapping[Row, Row], right: Mapping[Row, Row]) -> Iterator[str]:
    """What two keyed sets disagree about, one line each. 1 and 1.0 are two values: SQLite stores them differently."""
    for key in left.keys() - right.keys():
        yield f"{where} {key} is missing, expected {left[key]}"
    for key in right.keys() - left.keys():
        yield f"{where} {key} is too much: {right[key]}"
    for key in left.keys() & right.keys():
        if left[key] != right[key] or list(map(type, left[key])) != list(map(type, right[key])):
            yield f"{where} {key} is {right[key]}, expected {left[key]}"


def _prove(check: Check, ends: Ends) -> Proof:
    checked = 0
    failures: list[str] = []
    for count, found in check(ends):
        checked += count
        failures += islice(found, FAILURES_SHOWN_MAX - len(failures))
    assert check.__doc__ is not None
    return Proof(check.__name__, check.__doc__, checked, tuple(failures))


def _keyed(rows: Iterable[Row], width: int) -> dict[Row, Row]:
    listed = list(rows)
    keyed = {row[:width]: row[width:] for row in listed}
    assert len(keyed) == len(listed), "a key stands twice"
    return keyed


def _purchase_prices(connection: apsw.Connection, secrets: set[str]) -> Iterator[str]:
    numbers = {float(secret) for secret in secrets}
    for (table,) in list(connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")):
        names = [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        yield from (f"{table} has a column {name}" for name in names if "purchase" in name)
        for row in connection.execute(f'SELECT * FROM "{table}"'):
            if any(value in secrets or (isinstance(value, float) and value in numbers) for value in row):
                yield f"{table} holds a purchase price: {row}"


def _files(file: Path) -> list[Path]:
    return [part for part in (file, Path(f"{file}-wal")) if part.exists()]


def _sql(block: str) -> Any:
    return assets.query(f"retail.proofs.{block}")
