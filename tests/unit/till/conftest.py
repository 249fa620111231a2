"""A till's file with a small vendor schema, and the plan for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from orchestrator.core.plan import Channel, Column, Notice, Plan, Table
from orchestrator.core.world import World
from orchestrator.settings import TillSettings
from orchestrator.till import database, schema

SCHEMA = """
CREATE TABLE contact (id TEXT PRIMARY KEY, phone TEXT UNIQUE, name TEXT NOT NULL DEFAULT 'none', seen INTEGER);
CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, name TEXT, price TEXT, shelf TEXT DEFAULT 'A');
CREATE TABLE sale (id INTEGER PRIMARY KEY AUTOINCREMENT, item_id INTEGER, amount);
"""


def columns(*names: str, **kinds: str) -> tuple[Column, ...]:
    types = {"int": "bigint", "text": "text", "float": "double precision", "bool": "boolean", "bytes": "bytea"}
    return tuple(Column(n, types[kinds.get(n, "text")], kinds.get(n, "text"), n) for n in names)


CONTACT = Table("public.contact", "contact", ("id",), columns("id", "phone", "name"))
ITEM = Table(
    "public.item",
    "item",
    ("id",),
    columns("id", "code", "name", "price", id="int"),
    notice=Notice("label", ("name", "price")),
)
SALE = Table("public.sale", "sale", ("id",), columns("id", "item_id", "amount", id="int", item_id="int"))
PLAN = Plan(
    1,
    {},
    (Channel("catalogue", "down", (ITEM,)), Channel("shared", "both", (CONTACT,)), Channel("sales", "up", (SALE,))),
)

App = apsw.Connection


@pytest.fixture(params=["wal", "delete"])
def journal(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(till_file: Path, journal: str) -> Iterator[App]:
    """The vendor's own connection, as a POS opens it."""
    connection = apsw.Connection(str(till_file))
    connection.pragma("journal_mode", journal)
    connection.pragma("synchronous", "OFF")
    connection.set_busy_timeout(5000)
    connection.execute(SCHEMA)
    yield connection
    connection.close()


@pytest.fixture
def db(app: App, till_file: Path, world: World) -> Iterator[apsw.Connection]:
    """The agent's connection to a file in which everything is installed."""
    connection = database.connect(till_file)
    schema.install(connection, PLAN, world, node="T1")
    yield connection
    connection.close()


@pytest.fixture
def settings(till_file: Path) -> TillSettings:
    return TillSettings(
        node="T1",
        relay={"dsn": "postgresql://till@nowhere.invalid/relay"},
        till={"database": till_file},
        part_rows_max=3,
    )


@pytest.fixture
def table_of(app: App) -> Callable[[str], list[tuple[Any, ...]]]:
    return lambda name: app.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
