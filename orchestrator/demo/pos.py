"""The point of sale in the demo: sells, closes its days and orders, in its own file through its own connection.

It knows nothing of replication and shares the file with the agent as any application would: a busy timeout, short
transactions, and no idea who else is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import apsw

from orchestrator import assets
from orchestrator.demo.chain import Till, choose
from orchestrator.demo.month import Invoice

BUSY_TIMEOUT_MS = 10_000
ORDER_EVERY_DAYS = 3
_OPENS = timedelta(hours=8)
_CLOSES = timedelta(hours=20)


@dataclass
class Pos:
    """One till's application. `waited_seconds` is the longest time that a write waited for somebody else's."""

    till: Till
    connection: apsw.Connection
    waited_seconds: float = field(default=0.0)

    def trade(self, day: date, index: int, invoices: tuple[Invoice, ...], pause: Callable[[], None]) -> None:
        """A whole trading day; `pause` is called between transactions."""
        self._receive(day)
        pause()
        for invoice in invoices:
            self._sell(invoice)
            pause()
        if (index + choose(ORDER_EVERY_DAYS, "orders", self.till.node)) % ORDER_EVERY_DAYS == 0 and invoices:
            self._order(day, index)
            pause()
        self._close(day)

    def close(self) -> None:
        """Ends the application."""
        self.connection.close()

    def _sell(self, invoice: Invoice) -> None:
        receipt = {
            "document": invoice.number,
            "sold_at": _text(invoice.at),
            "customer_id": invoice.contact_id,
            "amount": money(sum(line.amount for line in invoice.lines)),
        }
        with self._transaction():
            self.connection.execute(_sql("book_receipt"), receipt)
            number = self.connection.last_insert_rowid()
            lines = [
                (number, line_no, line.item_id, line.quantity, money(line.price), money(line.amount))
                for line_no, line in enumerate(invoice.lines, start=1)
            ]
            self.connection.executemany(_sql("book_receipt_line"), lines)

    def _close(self, day: date) -> None:
        """The day's closure. A till that did not sell closes too, with nothing on it."""
        with self._transaction():
            closed_at = _text(_at(day) + _CLOSES)
            self.connection.execute(_sql("close_day"), {"day": day.isoformat(), "closed_at": closed_at})
            number = {"number": self.connection.last_insert_rowid()}
            self.connection.execute(_sql("close_lines"), number)
            self.connection.execute(_sql("close_receipts"), number)

    def _order(self, day: date, index: int) -> None:
        """An order is written, looked over and sent: three transactions, so that head office may see the draft."""
        order = {"id": f"{self.till.node}-{index + 1:06}"}
        draft = {**order, "supplier": "Main warehouse", "ordered_at": _text(_at(day) + _OPENS)}
        with self._transaction():
            self.connection.execute(_sql("draft_order"), draft)
            self.connection.execute(_sql("draft_order_lines"), order)
        with self._transaction():
            self.connection.execute(_sql("round_up_order"), order)
            self.connection.execute(_sql("strike_order_line"), order)
        with self._transaction():
            self.connection.execute(_sql("send_orders"), self._mine)

    def _receive(self, day: date) -> None:
        """What head office shipped is received; what is still on its way is asked for, by some tills."""
        with self._transaction():
            self.connection.execute(_sql("receive_lines"), self._mine)
            self.connection.execute(_sql("receive_orders"), self._mine)
        if choose(4, "urges", self.till.node, day) == 0:
            with self._transaction():
                self.connection.execute(_sql("urge_orders"), {**self._mine, "day": day.isoformat()})

    @property
    def _mine(self) -> dict[str, str]:
        return {"mine": f"{self.till.node}-%"}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = time.monotonic()
        self.connection.execute("BEGIN IMMEDIATE")
        self.waited_seconds = max(self.waited_seconds, time.monotonic() - before)
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")


def create_file(path: Path, till: Till) -> None:
    """A new till's file, as the vendor's installer leaves it."""
    connection = connect(path)
    # Rows have to be read to the end: apsw stops at the first statement that returns one, here the journal mode.
    list(connection.execute(assets.text("sql/retail/till.sql")))
    settings = [("till", till.node), ("store_id", str(till.store.id))]
    connection.executemany("INSERT INTO setting (name, value) VALUES (?, ?)", settings)
    connection.close()


def connect(path: Path) -> apsw.Connection:
    """A connection with the settings of an ordinary application, which are not those of the agent."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # apsw is built with recursive triggers on; an application that uses SQLite as it comes has them off.
    connection.execute("PRAGMA recursive_triggers = OFF; PRAGMA foreign_keys = ON")
    return connection


def has_items(path: Path) -> bool:
    """Could this till sell? It has items to find."""
    connection = connect(path)
    try:
        (found,) = next(iter(connection.execute("SELECT EXISTS (SELECT 1 FROM item)")))
        return bool(found)
    finally:
        connection.close()


def money(pence: int) -> str:
    """Decimal text of an amount."""
    return f"{'-' if pence < 0 else ''}{abs(pence) // 100}.{abs(pence) % 100:02}"


def _at(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


def _text(at: datetime) -> str:
    return at.isoformat()


def _sql(block: str) -> str:
    return assets.query(f"retail.pos.{block}")
