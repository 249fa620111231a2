"""The demo's proofs can fail: over a small chain with both ends equal they hold, and one tampered value breaks one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw
import psycopg
import pytest

from orchestrator import assets
from orchestrator.demo import chain, office, pos, proofs
from orchestrator.demo.month import Contact, Day, Invoice, Item, Line, Month

COPIED_UP = {
    "closure": "SELECT :node, number, day, receipts, amount, closed_at FROM closure",
    "closure_line": "SELECT :node, number, line_no, item_id, customer_id, quantity, amount FROM closure_line",
    "supplier_order": "SELECT * FROM supplier_order",
    "supplier_order_line": "SELECT * FROM supplier_order_line",
}
TILL_COLUMNS = {"contact": "customer", "price_list": "price_list"}


@dataclass(frozen=True)
class State:
    """A chain whose two ends agree, made without any agent."""

    central_dsn: str
    chain: chain.Chain
    branches: tuple[proofs.Branch, ...]

    def central(self, statement: str) -> None:
        with psycopg.connect(self.central_dsn) as connection:
            assert connection.execute(statement.encode()).rowcount > 0, "the tampering did nothing"

    def till(self, statement: str) -> None:
        connection = apsw.Connection(str(self.branches[0].file))
        list(connection.execute(statement))
        assert connection.changes() > 0, "the tampering did nothing"
        connection.close()

    def broken(self) -> set[str]:
        found = [*proofs.prove(self.central_dsn, self.branches), self.replayed()]
        return {proof.name for proof in found if not proof.holds}

    def replayed(self) -> proofs.Proof:
        return proofs.prove_replayed(self.chain, len(self.chain.month.days), self.branches)


def small_month() -> Month:
    items = tuple(Item(n, f"1000{n}", f"MUG {n}", "Range 10", 250 + n) for n in range(1, 5))
    invoices = []
    for day in (1, 2):
        for n in range(12):
            lines = (Line(1 + n % 4, 1 + n, 250 + n % 4), Line(1 + (n + 1) % 4, 2, 199))
            back = Invoice(f"C{day}{n:02}", datetime(2010, 12, day, 9, n, tzinfo=UTC), 100 + n % 3, (Line(1, -1, 250),))
            sold = Invoice(
                f"5{day}{n:02}", datetime(2010, 12, day, 9, n, tzinfo=UTC), [None, 100, 101, 102][n % 4], lines
            )
            invoices += [sold] if n % 5 else [sold, back]
    days = tuple(
        Day(datetime(2010, 12, day, tzinfo=UTC).date(), tuple(i for i in invoices if i.at.day == day), counts, {}, {})
        for day, counts in ((1, (Line(1, 5, 0),)), (2, ()))
    )
    return Month(items, tuple(Contact(n, "EIRE") for n in (100, 101, 102)), days)


@pytest.fixture
def state(central_dsn: str, tmp_path: Path) -> State:
    small = chain.build(small_month(), tills=2, stores=2)
    with psycopg.connect(central_dsn, autocommit=True) as connection:
        office.open_books(connection, small)
        branches = []
        for till in small.tills:
            branches.append(proofs.Branch(till, tmp_path / f"{till.node}.db"))
            pos.create_file(branches[-1].file, till)
            application = pos.Pos(till, pos.connect(branches[-1].file))
            for index, day in enumerate(small.month.days):
                application.trade(day.date, index, small.dealt[index][till.node], lambda: None)
            up(connection, application)
        for branch in branches:
            down(connection, branch)
    return State(central_dsn, small, tuple(branches))


def up(connection: office.Connection, application: pos.Pos) -> None:
    """What a till wrote, put into central as it stands."""
    for table, query in COPIED_UP.items():
        names = {"node": application.till.node} if ":node" in query else None
        rows = list(application.connection.execute(query, names))
        assert rows
        marks = ", ".join(["%s"] * len(rows[0]))
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({marks})".encode(), rows)
    application.close()


def down(connection: office.Connection, branch: proofs.Branch) -> None:
    """What a till has to hold, put there as it is asked for."""
    till = apsw.Connection(str(branch.file))
    where = {"store_id": branch.till.store.id, "price_group": branch.till.store.price_group}
    for table in proofs.HELD:
        rows = connection.execute(assets.query(f"retail.proofs.office_{table}"), where).fetchall()
        marks = ", ".join("?" * len(rows[0]))
        till.executemany(f"INSERT OR REPLACE INTO {TILL_COLUMNS.get(table, table)} VALUES ({marks})", rows)
    till.close()


def test_equal_ends_hold(state: State) -> None:
    found = [*proofs.prove(state.central_dsn, state.branches), state.replayed()]
    assert {proof.name: proof.failures for proof in found if not proof.holds} == {}
    assert all(proof.checked > 0 for proof in found)


TAMPERED_AT_TILL = {
    "a price": ("UPDATE item SET price = '0.01' WHERE id = (SELECT min(id) FROM item)", {"held"}),
    "a price as a number": ("UPDATE price_list_item SET price = CAST(price AS BLOB)", {"held"}),
    "a missing barcode": ("DELETE FROM barcode WHERE ean = (SELECT min(ean) FROM barcode)", {"held"}),
    "an old VAT rate": ("UPDATE vat_rate SET percent = '17.5' WHERE code = 'S'", {"held"}),
    "an extra item": ("INSERT INTO item VALUES (99, 'X', 'X', 1, 'S', 'pc', '1.00', 1)", {"held"}),
    "a closed amount": ("UPDATE closure_line SET amount = '0.01' WHERE line_no = 1", {"turnover"}),
    "turnover of nobody": ("UPDATE closure_line SET customer_id = NULL WHERE customer_id IS NOT NULL", {"turnover"}),
    "a doubled receipt line": (
        "INSERT INTO receipt_line SELECT receipt_id, 99, item_id, quantity, price, amount FROM receipt_line LIMIT 1",
        {"turnover", "receipts"},
    ),
    "a closure's day": ("UPDATE closure SET day = '2010-12-09' WHERE number = 2", {"turnover", "closures"}),
    "a hole in the numbers": ("UPDATE closure SET number = 7 WHERE number = 2", {"turnover", "closures"}),
    "an order's state": ("UPDATE supplier_order SET status = 'received'", {"held", "orders"}),
    "an order of another store": (
        "INSERT INTO supplier_order (id, store_id, supplier, ordered_at) VALUES ('T9-1', 9, 'X', '')",
        {"held", "orders"},
    ),
    "a purchase price under another name": ("UPDATE item SET title = :secret WHERE id = 1", {"held", "secrecy"}),
    "a column for it": ("ALTER TABLE item ADD COLUMN purchase_price TEXT; UPDATE item SET unit = unit", {"secrecy"}),
    "a stale index": ("UPDATE item_search_data SET block = zeroblob(4) WHERE id > 10", {"search"}),
}


@pytest.mark.parametrize("what", TAMPERED_AT_TILL)
def test_tampering_at_a_till_is_seen(state: State, what: str) -> None:
    statement, broken = TAMPERED_AT_TILL[what]
    state.till(statement.replace(":secret", f"'{a_purchase_price(state)}'"))
    assert state.broken() == broken


TAMPERED_AT_CENTRAL = {
    "a name": ("UPDATE item SET name = name || '.' WHERE id = 1", {"held"}),
    "a contact taken away": ("DELETE FROM contact_store WHERE store_id = 1", {"held", "strangers"}),
    "an item that left": ("DELETE FROM item_store WHERE item_id = 2", {"held"}),
    "a sale posted again": ("UPDATE stock_movement SET quantity = quantity * 2 WHERE kind = 'sale'", {"stock"}),
    "a sale not posted": ("DELETE FROM stock_movement WHERE number = 1", {"stock"}),
    "stock by hand": ("UPDATE stock SET quantity = quantity + 1", {"stock"}),
    "a closure line's amount": ("UPDATE closure_line SET amount = amount + 0.01 WHERE number = 1", {"turnover"}),
    "a closure's amount": ("UPDATE closure SET amount = amount + 0.01 WHERE number = 1", {"closures"}),
    "an order confirmed": ("UPDATE supplier_order SET status = 'confirmed'", {"held", "orders"}),
    "a line shipped": ("UPDATE supplier_order_line SET shipped = 1", {"held"}),
}


@pytest.mark.parametrize("what", TAMPERED_AT_CENTRAL)
def test_tampering_at_central_is_seen(state: State, what: str) -> None:
    statement, broken = TAMPERED_AT_CENTRAL[what]
    state.central(statement)
    assert state.broken() == broken


def test_a_purchase_price_that_was_deleted_is_still_found(state: State) -> None:
    state.till(f"INSERT INTO setting VALUES ('note', '{a_purchase_price(state)}')")
    state.till("DELETE FROM setting WHERE name = 'note'")
    assert state.broken() == {"secrecy"}


def a_purchase_price(state: State) -> str:
    with psycopg.connect(state.central_dsn) as connection:
        row = connection.execute("SELECT purchase_price::text FROM item WHERE id = 1").fetchone()
    assert row is not None
    return str(row[0])
