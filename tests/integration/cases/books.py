"""A shop whose books are checked: tills with receipts, closures and their lines, movements at head office."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.core.world import real_world
from tests.integration.cases.shop import Shop

CENTRAL = """
CREATE TABLE item (id int PRIMARY KEY, name text);
CREATE TABLE closure (till text, number int CHECK (number > 0), day date NOT NULL, total numeric(14,2) NOT NULL,
                      closed_at timestamptz NOT NULL, PRIMARY KEY (till, number));
CREATE TABLE closure_line (till text, number int, line int, item_id int, contact_id int, qty numeric(14,3),
                           amount numeric(14,2), PRIMARY KEY (till, number, line),
                           FOREIGN KEY (till, number) REFERENCES closure);
CREATE TABLE movement (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, till text, day date, item_id int, qty numeric);
CREATE TABLE receipt (till text, id int, day date, amount numeric(14,2) CHECK (id < 1000), PRIMARY KEY (till, id));
CREATE TABLE sales_order (id text PRIMARY KEY, branch_id text, status text);
CREATE FUNCTION post_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO movement (till, day, item_id, qty) SELECT NEW.till, c.day, NEW.item_id, -NEW.qty
      FROM closure c WHERE c.till = NEW.till AND c.number = NEW.number;
    RETURN NULL;
END $$;
CREATE TRIGGER post_line AFTER INSERT ON closure_line FOR EACH ROW EXECUTE FUNCTION post_line();
"""

TILL = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE closure (number INTEGER PRIMARY KEY, day TEXT NOT NULL, total TEXT NOT NULL, closed_at TEXT NOT NULL,
                      printed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE closure_line (number INTEGER, line INTEGER, item_id INTEGER, contact_id INTEGER, qty REAL, amount REAL,
                           PRIMARY KEY (number, line)) WITHOUT ROWID;
CREATE TABLE sale (id INTEGER PRIMARY KEY, sold_at TEXT, day TEXT, item_id INTEGER, contact_id INTEGER, qty REAL,
                   amount REAL, closure INTEGER);
CREATE TABLE receipt (id INTEGER PRIMARY KEY, day TEXT, amount REAL);
CREATE TABLE sales_order (id TEXT PRIMARY KEY COLLATE NOCASE, branch_id TEXT, status TEXT);
CREATE VIEW daily AS SELECT day, total FROM closure;
"""

CHANNELS: list[dict[str, Any]] = [
    {"name": "catalogue", "direction": "down", "table": [{"name": "item"}]},
    {
        "name": "orders",
        "direction": "both",
        "table": [{"name": "sales_order", "filter": "branch_id = :branch_id", "policy": "central_wins"}],
    },
    {
        "name": "sales",
        "direction": "up",
        "table": [{"name": name, "set": {"till": ":node"}} for name in ("closure", "closure_line", "receipt")],
    },
]

BOOKS: list[dict[str, Any]] = [
    {
        "name": "numbers",
        "message": "closures are numbered without holes, a day once",
        "central": "SELECT count(*) AS closures, coalesce(max(number), 0) AS last, coalesce(max(number), 0) - count(*)"
        " AS holes, count(*) - count(DISTINCT day) AS doubles FROM closure WHERE till = :node",
        "till": "SELECT count(*), coalesce(max(number), 0), 0, 0 FROM closure",
    },
    {
        "name": "turnover",
        "message": "what was sold is what head office has, per day, item and customer",
        "group": ["day", "item_id", "contact_id"],
        "central": "SELECT c.day, l.item_id, l.contact_id, sum(l.qty)::numeric(14,3) AS qty,"
        " sum(l.amount)::numeric(14,2) AS amount FROM closure c JOIN closure_line l USING (till, number)"
        " WHERE c.till = :node GROUP BY c.day, l.item_id, l.contact_id",
        "till": "SELECT c.day, s.item_id, s.contact_id, sum(s.qty), sum(s.amount)"
        " FROM sale s JOIN closure c ON c.number = s.closure GROUP BY c.day, s.item_id, s.contact_id",
    },
    {
        "name": "totals",
        "message": "a closure is the sum of its lines",
        "group": ["number"],
        "central": "SELECT c.number, c.day, c.total, sum(l.amount)::numeric(14,2) AS lines"
        " FROM closure c LEFT JOIN closure_line l USING (till, number) WHERE c.till = :node"
        " GROUP BY c.number, c.day, c.total",
        "till": "SELECT c.number, c.day, sum(s.amount), sum(s.amount)"
        " FROM closure c LEFT JOIN sale s ON s.closure = c.number GROUP BY c.number, c.day",
    },
    {
        "name": "movements",
        "message": "stock moved by what was sold",
        "group": ["day", "item_id"],
        "central": "SELECT day, item_id, -sum(qty) AS qty FROM movement WHERE till = :node GROUP BY day, item_id",
        "till": "SELECT c.day, l.item_id, sum(l.qty) FROM closure c JOIN closure_line l ON l.number = c.number"
        " GROUP BY c.day, l.item_id",
    },
    {
        "name": "receipts",
        "message": "the day's receipts are its closure",
        "group": ["day"],
        "central": "SELECT c.day, c.total, (SELECT sum(r.amount) FROM receipt r WHERE r.till = c.till AND r.day = c.day)"
        "::numeric(14,2) AS receipts FROM closure c WHERE c.till = :node",
        "till": "SELECT c.day, c.total, (SELECT sum(r.amount) FROM receipt r WHERE r.day = c.day) FROM closure c",
    },
    {
        "name": "orders",
        "message": "an order has one state",
        "group": ["id"],
        "central": "SELECT id, status FROM sales_order WHERE branch_id = :branch_id",
        "till": "SELECT id, status FROM sales_order",
    },
]


@contextmanager
def opened(database: Callable[..., str], directory: Path) -> Iterator[Shop]:
    """The shop, closed in the end."""
    made = Shop(database, real_world(), directory, central=CENTRAL, till=TILL, channels=CHANNELS, books=BOOKS)
    try:
        yield made
    finally:
        made.close()
