"""Head office and tills as the field cases describe them, in one process and on real databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from orchestrator.central import branches, schema
from orchestrator.central.agent import CentralAgent
from orchestrator.core.world import World
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from orchestrator.relay.client import BranchRelay, connect_branch, connect_central
from orchestrator.settings import CentralSettings, TillSettings
from orchestrator.till.agent import TillAgent
from orchestrator.till.setup import install_till

CENTRAL = """
CREATE TABLE item (id int PRIMARY KEY, code text UNIQUE, name text, price numeric(12,4));
CREATE TABLE price_list (id int PRIMARY KEY, branch_id text, name text);
CREATE TABLE price (list_id int REFERENCES price_list ON DELETE CASCADE, item_id int, amount numeric(12,4),
                    PRIMARY KEY (list_id, item_id));
CREATE TABLE branch_item (branch_id text, item_id int, PRIMARY KEY (branch_id, item_id));
CREATE TABLE contact (id text PRIMARY KEY, phone text UNIQUE, name text, email text, city text);
CREATE TABLE sales_order (id text PRIMARY KEY, branch_id text, no text, status text, note text, total numeric(12,2));
CREATE TABLE stock (branch_id text, item_id int, qty numeric, PRIMARY KEY (branch_id, item_id));
CREATE TABLE closure (till text, number int, day date, total numeric(12,2), PRIMARY KEY (till, number));
CREATE TABLE turnover (till text PRIMARY KEY, total numeric(12,2) NOT NULL);
CREATE FUNCTION post_closure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO turnover VALUES (NEW.till, NEW.total)
        ON CONFLICT (till) DO UPDATE SET total = turnover.total + NEW.total;
    RETURN NULL;
END $$;
CREATE TRIGGER post_closure AFTER INSERT ON closure FOR EACH ROW EXECUTE FUNCTION post_closure();
"""

TILL = """
CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT, price NUMERIC);
CREATE TABLE price_list (id INTEGER PRIMARY KEY, branch_id TEXT, name TEXT);
CREATE TABLE price (list_id INTEGER, item_id INTEGER, amount NUMERIC, PRIMARY KEY (list_id, item_id));
CREATE TABLE contact (id TEXT PRIMARY KEY, phone TEXT UNIQUE, name TEXT, email TEXT, city TEXT);
CREATE TABLE sales_order (id TEXT PRIMARY KEY, branch_id TEXT, no TEXT, status TEXT, note TEXT, total NUMERIC);
CREATE TABLE stock (branch_id TEXT, item_id INTEGER, qty NUMERIC, PRIMARY KEY (branch_id, item_id));
CREATE TABLE closure (number INTEGER PRIMARY KEY, day TEXT, total NUMERIC);
"""

STATES = ["draft", "paid", "shipped", "closed"]

CHANNELS: list[dict[str, Any]] = [
    {
        "name": "catalogue",
        "direction": "down",
        "table": [
            {"name": "item", "filter": "id IN (SELECT item_id FROM branch_item b WHERE b.branch_id = :branch_id)"},
            {"name": "price_list", "filter": "branch_id = :branch_id"},
            {
                "name": "price",
                "filter": "EXISTS (SELECT 1 FROM price_list l WHERE l.id = price.list_id AND l.branch_id = :branch_id)",
            },
        ],
    },
    {"name": "contacts", "direction": "both", "table": [{"name": "contact", "policy": "column_merge"}]},
    {
        "name": "orders",
        "direction": "both",
        "table": [
            {
                "name": "sales_order",
                "filter": "branch_id = :branch_id",
                "policy": "column_merge",
                "column_policy": {"status": {"policy": "state_machine", "states": STATES}},
            },
            {
                "name": "stock",
                "filter": "branch_id = :branch_id",
                "policy": "central_wins",
                "column_policy": {"qty": "additive"},
            },
        ],
    },
    {"name": "sales", "direction": "up", "table": [{"name": "closure", "set": {"till": ":node"}}]},
]


class Till:
    """One till: the application's own connection, and its agent."""

    def __init__(self, node: str, dsn: str, file: Path, world: World, tables: str | None = TILL) -> None:
        self.node, self.file, self.dsn, self.world = node, file, dsn, world
        self.app = open_app(file)
        self.settings = TillSettings(node=node, relay={"dsn": dsn}, till={"database": file})
        if tables is not None:
            self.app.execute(tables)
            install_till(self.settings, world)
        self.agent = TillAgent(self.settings, world)

    @classmethod
    def of_file(cls, node: str, dsn: str, file: Path, world: World) -> Till:
        """A till whose file is there already, with everything in it."""
        return cls(node, dsn, file, world, tables=None)

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """A statement of the application's."""
        return list(self.app.execute(statement, values))

    def sync(self) -> None:
        self.agent.round()

    def relay(self) -> BranchRelay:
        """Another connection with this till's account; the caller closes it."""
        return connect_branch(self.dsn)

    def restart(self, world: World | None = None) -> None:
        """The agent ends, as a process does, and comes again."""
        self.agent.close()
        self.agent = TillAgent(self.settings, world or self.world)

    def reopen(self) -> None:
        """After the file was replaced: the application and the agent open what is there now."""
        self.app = open_app(self.file)
        self.restart()

    def close(self) -> None:
        self.agent.close()
        self.app.close()


class Shop:
    """Central, relay and tills, with the tables of the cases' fixture or others."""

    def __init__(
        self,
        database: Callable[..., str],
        world: World,
        directory: Path,
        *,
        central: str = CENTRAL,
        till: str = TILL,
        channels: list[dict[str, Any]] = CHANNELS,
        books: Sequence[dict[str, Any]] = (),
    ) -> None:
        central_dsn, self.relay_dsn = database("central"), database("relay")
        self.world, self.directory, self.till_tables = world, directory, till
        self.settings = CentralSettings(
            central={"dsn": central_dsn},
            relay={"dsn": self.relay_dsn},
            parameters={"branch_id": "text"},
            channel=channels,
            book=books,
        )
        self.conn = connect(central_dsn, "head office")
        try:
            self.conn.execute(central.encode())
            self.prepared = schema.prepare(self.conn, self.settings)
        except BaseException:
            self.conn.close()
            raise
        schema.install(self.conn, self.prepared)
        relay_schema.install(self.relay_dsn, self.relay_dsn)
        self.relay = connect_central(self.relay_dsn)
        self.agent = CentralAgent(self.settings, world)
        self.tills: dict[str, Till] = {}

    def till(self, node: str, branch: str) -> Till:
        """Register and install a till of a branch."""
        given = {"branch_id": branch}
        dsn = branches.add(self.conn, self.relay, self.prepared, self.world, node, given, self.relay_dsn)
        self.tills[node] = Till(node, dsn, self.directory / f"{node}.db", self.world, self.till_tables)
        return self.tills[node]

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """A statement of head office's."""
        cursor = self.conn.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def restart(self, world: World | None = None) -> None:
        """Central's agent ends, as a process does, and comes again."""
        self.agent.close()
        self.agent = CentralAgent(self.settings, world or self.world)

    def sync(self, *tills: Till) -> None:
        """One synchronisation both ways: up, merged and published, down."""
        chosen = tills or tuple(self.tills.values())
        for till in chosen:
            till.sync()
        self.agent.round()
        for till in chosen:
            till.sync()

    def settle(self, *tills: Till, rounds: int = 20) -> int:
        """Synchronise until nothing moves; how many rounds moved something. Fails where it never ends."""
        chosen = tills or tuple(self.tills.values())
        quiet = 0
        for number in range(rounds):
            moved = sum(till.agent.round().moved for till in chosen)
            moved += self.agent.round().moved
            moved += sum(till.agent.round().moved for till in chosen)
            quiet = 0 if moved else quiet + 1
            if quiet == 2:  # the first may have ended with a till that has just asked for something
                return number - 1
        raise AssertionError(f"still something to do after {rounds} rounds")

    def close(self) -> None:
        for till in self.tills.values():
            till.close()
        self.agent.close()
        self.relay.close()
        self.conn.close()


def open_app(file: Path) -> apsw.Connection:
    """The till application's own connection, as it would open it."""
    app = apsw.Connection(str(file))
    app.set_busy_timeout(5000)
    app.execute("PRAGMA journal_mode = wal").fetchall()
    return app


class Died(Exception):
    """Stands for a kill -9 at a named point."""


def dying_at(world: World, point: str, *, after: int = 0) -> World:
    """A world in which the agent dies at a named crash point, having passed it `after` times."""
    left = after

    def crash(at: str) -> None:
        nonlocal left
        if at == point:
            if left == 0:
                raise Died(point)
            left -= 1

    return World(world.now, world.monotonic, world.random63, world.sleep, crash)
