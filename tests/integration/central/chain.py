"""A small chain for tests of central and relay: two tables, a selection, and the streams of two stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg

from orchestrator.central import branches, schema
from orchestrator.central.publish import Publisher
from orchestrator.core import wire
from orchestrator.core.world import World
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from orchestrator.relay.client import BranchRelay, CentralRelay, connect_branch, connect_central
from orchestrator.relay.messages import Part, TickHead
from orchestrator.settings import CentralSettings

TABLES = """
CREATE TABLE item (id int PRIMARY KEY, code text UNIQUE, name text, price numeric(12,4), purchase_price numeric(12,4),
                   active bool NOT NULL DEFAULT true);
CREATE TABLE item_store (item_id int, store_id int, PRIMARY KEY (item_id, store_id));
CREATE TABLE price_list (id int PRIMARY KEY, store_id int, name text);
CREATE TABLE price (list_id int REFERENCES price_list ON DELETE CASCADE, item_id int, amount numeric(12,4),
                    PRIMARY KEY (list_id, item_id));
CREATE TABLE customer_order (id text PRIMARY KEY, store_id int, status text, note text, total numeric(12,2));
CREATE TABLE sale (till text, id int, total numeric(12,2), PRIMARY KEY (till, id));
"""

CHANNELS: list[dict[str, Any]] = [
    {
        "name": "catalogue",
        "direction": "down",
        "table": [
            {
                "name": "item",
                "exclude": ["purchase_price"],
                "filter": "active AND EXISTS (SELECT 1 FROM item_store s"
                " WHERE s.item_id = item.id AND s.store_id = :store_id)",
            }
        ],
    },
    {
        "name": "prices",
        "direction": "down",
        "table": [
            {"name": "price_list", "filter": "store_id = :store_id"},
            {"name": "price", "filter": "list_id IN (SELECT id FROM price_list WHERE store_id = :store_id)"},
        ],
    },
    {
        "name": "orders",
        "direction": "both",
        "table": [{"name": "customer_order", "filter": "store_id = :store_id", "policy": "column_merge"}],
    },
    {"name": "sales", "direction": "up", "table": [{"name": "sale", "set": {"till": ":node"}}]},
]


@dataclass
class Chain:
    """Central and relay, installed, with what tests do to them."""

    conn: psycopg.Connection
    publisher: Publisher
    relay: CentralRelay
    prepared: schema.Prepared
    world: World
    central_dsn: str
    relay_dsn: str
    branches: list[BranchRelay] = field(default_factory=list)

    def branch(self, node: str, store: int) -> BranchRelay:
        """Register a till of a store; its own connection to the relay."""
        given = {"store_id": str(store)}
        dsn = branches.add(self.conn, self.relay, self.prepared, self.world, node, given, self.relay_dsn)
        self.branches.append(connect_branch(dsn))
        return self.branches[-1]

    def close(self) -> None:
        self.conn.close()
        self.publisher.close()
        for relay in (self.relay, *self.branches):
            relay.close()


def build(
    database: Callable[..., str],
    world: World,
    channels: list[dict[str, Any]] = CHANNELS,
    tables: str = TABLES,
    part_rows_max: int = 3,
) -> Chain:
    """Install central and relay into fresh databases."""
    central_dsn, relay_dsn = database("central"), database("relay")
    settings = CentralSettings(
        central={"dsn": central_dsn}, relay={"dsn": relay_dsn}, parameters={"store_id": "integer"}, channel=channels
    )
    conn = connect(central_dsn, "test")
    conn.execute(tables.encode())
    prepared = schema.prepare(conn, settings)
    schema.install(conn, prepared)
    relay_schema.install(relay_dsn, relay_dsn)
    relay = connect_central(relay_dsn)
    publisher = Publisher(connect(central_dsn, "test publisher"), relay, world, prepared, part_rows_max)
    return Chain(conn, publisher, relay, prepared, world, central_dsn, relay_dsn)


def ticks(relay: BranchRelay, after: int, streams: Sequence[int]) -> Iterator[tuple[TickHead, list[Part]]]:
    """Every tick after a number, with all its parts, whether they come with it or are asked for."""
    while found := relay.pull(after, streams, 100):
        for head, parts in found:
            whole = [p for p in parts if p.frame]
            while len(whole) < len(parts):
                whole += relay.parts(head.n, parts[len(whole)])
            yield head, whole
        after = found[-1][0].n


class Mirror:
    """What a till that only listens would hold: the parts of the relay laid over each other."""

    def __init__(self, relay: BranchRelay) -> None:
        self.relay = relay
        self.after = 0
        self.rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
        self.keys_seen: dict[str, set[tuple[Any, ...]]] = {}
        self.asked = False

    def follow(self, keys: dict[str, tuple[str, ...]]) -> None:
        """Take every tick there is."""
        streams = [s for s, _ in self.relay.hello().streams]
        if not self.asked:
            self.relay.want_snapshot(streams)
            self.asked = True
        for head, parts in ticks(self.relay, self.after, streams):
            self.after = head.n
            for part in parts:
                doc = msgspec.json.decode(wire.unpack(part.frame))
                if not doc["t"]:  # of no table: a word to the branch
                    continue
                key = keys[doc["t"]]
                table = self.rows.setdefault(doc["t"], {})
                seen = self.keys_seen.setdefault(doc["t"], set())
                for row in doc.get("put", []):
                    named = dict(zip(doc["c"], row, strict=True))
                    table[tuple(named[k] for k in key)] = named
                    seen.add(tuple(named[k] for k in key))
                for gone in doc.get("cut", []):
                    table.pop(tuple(gone), None)
                    seen.add(tuple(gone))
