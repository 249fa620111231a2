"""Head office with a small shop's tables, a relay in memory, and tills that are no more than a changelog."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from orchestrator import postgres
from orchestrator.central import catalog, schema
from orchestrator.central.collect import Collected, collect
from orchestrator.core import values, wire
from orchestrator.core.changes import ORIGIN, Position, Shape, encode_upload
from orchestrator.core.plan import Channel, Column, Plan, PolicySpec, Table
from orchestrator.core.world import World
from orchestrator.relay.messages import FetchedUpload, UploadPart

SCHEMA = """
CREATE TABLE item (id integer PRIMARY KEY, name text NOT NULL, price numeric(12,2), purchase_price numeric(12,4) DEFAULT 1);
CREATE TABLE closure (till text, number integer, day date NOT NULL, amount numeric(14,2), PRIMARY KEY (till, number));
CREATE TABLE closure_line (till text, number integer, line_no integer, item_id integer NOT NULL REFERENCES item,
    quantity numeric(14,3), PRIMARY KEY (till, number, line_no), FOREIGN KEY (till, number) REFERENCES closure);
CREATE TABLE contact (id text PRIMARY KEY, name text NOT NULL CHECK (name <> 'bad'), email varchar(20) UNIQUE, city text,
    photo bytea, vip boolean, since timestamptz, weight double precision, notes json, credit numeric(12,2) NOT NULL DEFAULT 5);
CREATE TABLE supplier_order (id text PRIMARY KEY, status text, note text, document_no bigint);
CREATE TABLE supplier_order_line (order_id text REFERENCES supplier_order, line_no integer, item_id integer REFERENCES item,
    ordered integer, PRIMARY KEY (order_id, line_no));
CREATE TABLE stock (item_id integer PRIMARY KEY, qty numeric(14,3), place text);
CREATE TABLE box (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, label text);
"""

STATES = PolicySpec("state_machine", ("draft", "sent", "confirmed", "shipped", "received"))

_TYPES = {
    "item": {"id": "integer", "name": "text", "price": "numeric(12,2)"},
    "closure": {"number": "integer", "day": "date", "amount": "numeric(14,2)"},
    "closure_line": {"number": "integer", "line_no": "integer", "item_id": "integer", "quantity": "numeric(14,3)"},
    "contact": {
        "id": "text",
        "name": "text",
        "email": "character varying(20)",
        "city": "text",
        "photo": "bytea",
        "vip": "boolean",
        "since": "timestamp with time zone",
        "weight": "double precision",
        "notes": "json",
    },
    "supplier_order": {"id": "text", "status": "text", "note": "text", "document_no": "bigint"},
    "supplier_order_line": {"order_id": "text", "line_no": "integer", "item_id": "integer", "ordered": "integer"},
    "stock": {"item_id": "integer", "qty": "numeric(14,3)", "place": "text"},
    "box": {"id": "bigint", "label": "text"},
}
_KEYS = {
    "closure": ("till", "number"),
    "closure_line": ("till", "number", "line_no"),
    "supplier_order_line": ("order_id", "line_no"),
    "stock": ("item_id",),
}


def table(name: str, policy: str | PolicySpec = "central_wins", **more: Any) -> Table:
    """A table of the schema above as the plan describes it."""
    columns = tuple(Column(c, t, values.kind_of(t), c) for c, t in _TYPES[name].items())
    spec = PolicySpec(policy) if isinstance(policy, str) else policy
    if name.startswith("closure"):
        more.setdefault("set", {"till": ":node"})
    return Table(f"public.{name}", name, _KEYS.get(name, ("id",)), columns, spec, **more)


def make_plan(policy: str = "central_wins") -> Plan:
    """Every table of the schema, those that go both ways under one policy."""
    both = ("contact", "supplier_order_line", "box")
    return Plan(
        1,
        {"store_id": "integer"},
        (
            Channel("catalogue", "down", (table("item"),)),
            Channel("sales", "up", (table("closure_line", "append_only"), table("closure", "append_only"))),
            Channel(
                "orders",
                "both",
                (
                    table("supplier_order", policy, column_policy={"status": STATES}),
                    table("stock", policy, column_policy={"qty": PolicySpec("additive")}),
                    *(table(name, policy) for name in both),
                ),
            ),
        ),
    )


class MemoryRelay:
    """The relay's part in collecting, over a list."""

    def __init__(self) -> None:
        self.uploads: list[FetchedUpload] = []
        self.taken: list[tuple[str, int]] = []

    def fetch_uploads(self) -> Iterator[FetchedUpload]:
        waiting = [u for u in self.uploads if (u.node, u.part.uid) not in self.taken]
        return iter(sorted(waiting, key=lambda u: (u.node, u.id)))

    def mark_taken(self, node: str, uids: Sequence[int]) -> None:
        self.taken += [(node, uid) for uid in uids]


@dataclass
class Till:
    """A till's changelog: what its capture would have written. `shapes`, where given, are those of the next changes."""

    node: str
    relay: MemoryRelay
    plan: Plan
    seed: int = 0
    log: list[tuple[Position, str, str, dict[str, Any] | None, dict[str, Any] | None]] = field(default_factory=list)
    sent: int = 0
    shapes: list[Shape] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.node}{self.seed}")

    def insert(self, tab: str, **new: Any) -> None:
        self._note(tab, "I", None, new)

    def update(self, tab: str, old: dict[str, Any], **changed: Any) -> dict[str, Any]:
        new = {**old, **changed}
        self._note(tab, "U", old, new)
        return new

    def delete(self, tab: str, **old: Any) -> None:
        self._note(tab, "D", old, None)

    def push(self, *, since: int | None = None, upto: int | None = None, parts: int = 1) -> int:
        """Send the log's entries after index `since` (default: what was not sent yet) as one group; its id."""
        start, stop = self.sent if since is None else since, len(self.log) if upto is None else upto
        prev = self.log[start - 1][0] if start else ORIGIN
        entries = self.log[start:stop]
        end = entries[-1][0] if entries else prev
        uid = self.random.getrandbits(62)
        size = max(1, -(-len(entries) // parts))
        pieces = [entries[i : i + size] for i in range(0, len(entries), size)] or [[]]
        for place, piece in enumerate(pieces):
            part = UploadPart(uid, place, place == len(pieces) - 1, prev, end, wire.pack(self._encoded(piece)))
            self.relay.uploads.append(FetchedUpload(next(self.ids), self.node, part))
        self.sent = max(self.sent, stop)
        return uid

    def _note(self, tab: str, op: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        position = Position(len(self.log) + 1, self.random.getrandbits(62))
        self.log.append((position, tab, op, old, new))

    def _encoded(self, entries: list[Any]) -> bytes:
        shapes: list[Shape] = []
        changes = []
        for (seq, nonce), tab, op, old, new in entries:
            shape = self.shapes.pop(0) if self.shapes else self.shape(tab)
            if shape not in shapes:
                shapes.append(shape)
            images = [None if i is None else tuple(i.get(c) for c in shape.columns) for i in (old, new)]
            changes.append((seq, nonce, shapes.index(shape), op, images[0], images[1]))
        return encode_upload(shapes, changes)

    def shape(self, tab: str) -> Shape:
        found = self.plan.find(f"public.{tab}")
        if found is None:
            return Shape(f"public.{tab}", ("id", "name"), ("id",))
        return Shape(found[1].name, found[1].column_names, tuple(c.name for c in found[1].till_key))


@dataclass
class Office:
    """Head office and its relay."""

    dsn: str
    conn: psycopg.Connection
    relay: MemoryRelay
    plan: Plan
    world: World

    def till(self, node: str = "T1", seed: int = 0) -> Till:
        return Till(node, self.relay, self.plan, seed)

    def collect(self) -> Collected:
        return collect(self.conn, self.relay, self.plan, self.world)

    def rows(self, query: str, **given: Any) -> list[tuple[Any, ...]]:
        return self.conn.execute(query, given).fetchall()

    def run(self, statement: str) -> None:
        self.conn.execute(statement)

    def echoes(self, tab: str) -> list[tuple[Any, ...]]:
        """(node, key...) of the echoes that were asked for, and forgets them."""
        key = ", ".join(_KEYS.get(tab, ("id",)))
        asked = self.rows(
            f"SELECT DISTINCT origin, {key} FROM tillsync.log_{tab} WHERE origin IS NOT NULL ORDER BY 1, 2"
        )
        self.run(f"DELETE FROM tillsync.log_{tab} WHERE origin IS NOT NULL")
        return asked


@pytest.fixture
def open_office(database: Callable[..., str], world: World) -> Iterator[Callable[..., Office]]:
    """A function that sets up head office under a policy, with tills T1 and T2."""
    opened: list[psycopg.Connection] = []

    def make(policy: str = "central_wins", more: str = "") -> Office:
        dsn = database("central")
        conn = postgres.connect(dsn, "tillsync test")
        opened.append(conn)
        conn.execute(SCHEMA + more)
        plan = make_plan(policy)
        schema.install(conn, schema.derived(plan, catalog.read(conn)))
        for node in ("T1", "T2"):
            conn.execute("INSERT INTO tillsync.node (node, params) VALUES (%s, %s)", (node, Jsonb({"store_id": 1})))
        return Office(dsn, conn, MemoryRelay(), plan, world)

    yield make
    for conn in opened:
        conn.close()


@pytest.fixture
def office(open_office: Callable[..., Office]) -> Office:
    return open_office()
