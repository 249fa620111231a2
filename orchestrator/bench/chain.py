"""`tillsync bench chain`: what a chain of many tills costs head office and the relay, by the number of its tills."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from time import perf_counter
from typing import Any

import psycopg

from orchestrator import assets
from orchestrator.central import schema, streams
from orchestrator.central.publish import Publisher
from orchestrator.central.schema import Prepared
from orchestrator.core.world import real_world
from orchestrator.demo.binaries import open_place
from orchestrator.demo.databases import GivenServer, Server, create_database, drop_database
from orchestrator.demo.server import Cluster
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from orchestrator.relay.client import CentralRelay, connect_central
from orchestrator.settings import CentralSettings

TILLS = (100, 1_000, 10_000)
PRICES = 10_000
STORE, GROUP, OTHER_GROUP = 7, "A", "B"


@dataclass
class _Chain:
    head: psycopg.Connection
    at_relay: psycopg.Connection
    relay: CentralRelay
    prepared: Prepared
    publisher: Publisher


def run(rows: int = PRICES, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Seconds of head office and megabytes at the relay for three events in a chain of 100 000 items, 50 stores and 4
    price groups: the first load of all tills, a change of `rows` prices, a store's tills moved to another group.

    `ratio`: seconds of the price change with 10 000 tills by those with 1 000, which take the same 250 streams (100
    tills take 150). `till_kb`: what one till gets of each.
    """
    figures: dict[str, Any] = {}
    for tills in TILLS:
        with _chain() as chain:
            figures[f"{tills} tills"] = _figures(chain, tills, rows)
        seen(f"{tills} tills: {figures[f'{tills} tills']}")
    few, many = (figures[f"{tills} tills"]["change_seconds"] for tills in TILLS[-2:])
    return {"ratio": round(many / few, 2), "rows": rows, **figures}


def _figures(chain: _Chain, tills: int, rows: int) -> dict[str, Any]:
    """One size of a chain."""
    chain.head.execute("SELECT bench_tills(%s)", [tills])
    with _timed() as registering:
        _refresh(chain)
    chain.at_relay.execute("INSERT INTO relay.want SELECT DISTINCT stream FROM relay.subscription")
    found: dict[str, float] = {"streams": _count(chain.head, "SELECT count(*) FROM tillsync.stream")}
    found |= {"register_seconds": registering()}
    for name, make in (
        ("load", _nothing),
        ("change", lambda: _change(chain, rows)),
        ("move", lambda: _move(chain)),
    ):
        make()
        before = chain.relay.head().n
        with _timed() as publishing:
            chain.publisher.publish()
        found[f"{name}_seconds"] = publishing()
        found |= {f"{name}_{k}": v for k, v in _bytes(chain, before).items()}
    return found


def _nothing() -> None:
    """The first load is what is asked for already."""


def _change(chain: _Chain, rows: int) -> None:
    chain.head.execute(
        "UPDATE price SET amount = amount + 1 WHERE (store_id, price_group, item_id) IN"
        " (SELECT store_id, price_group, item_id FROM price ORDER BY item_id, store_id, price_group LIMIT %s)",
        [rows],
    )


def _move(chain: _Chain) -> None:
    chain.head.execute(
        "UPDATE tillsync.node SET params = params || jsonb_build_object('price_group', %s::text)"
        " WHERE params ->> 'store_id' = %s AND params ->> 'price_group' = %s",
        [OTHER_GROUP, str(STORE), GROUP],
    )
    _refresh(chain)


def _refresh(chain: _Chain) -> None:
    with chain.head.transaction():
        streams.refresh(chain.head, chain.prepared.plan, chain.prepared.filters)
    streams.announce(chain.head, chain.relay, chain.prepared.plan, chain.relay.head().plan_version)


def _bytes(chain: _Chain, after: int) -> dict[str, float]:
    """Megabytes at the relay after a tick, and the most kilobytes that one till gets of them."""
    row = chain.at_relay.execute(assets.query("bench.relay_bytes"), {"n": after}).fetchone()
    assert row is not None
    return {"relay_mb": round(float(row[0]) / 1e6, 3), "till_kb": round(float(row[1] or 0) / 1e3, 1)}


def _count(conn: psycopg.Connection, query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    started, ended = perf_counter(), 0.0
    yield lambda: round(ended - started, 3)
    ended = perf_counter()


@contextmanager
def _chain() -> Iterator[_Chain]:
    given = os.environ.get("TILLSYNC_TEST_DSN")
    if given:
        with _built(GivenServer(given)) as made:
            yield made
        return
    with (
        tempfile.TemporaryDirectory(prefix="tillsync-bench-", dir=open_place()) as place,
        Cluster(Path(place) / "server", durable=True) as server,
        _built(server) as made,
    ):
        yield made


@contextmanager
def _built(server: Server) -> Iterator[_Chain]:
    names = [f"tillsync_bench_{side}_{os.getpid()}" for side in ("central", "relay")]
    central_dsn, relay_dsn = (create_database(server, name) for name in names)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "tillsync.toml"
        template = Template(assets.text("sql/bench/chain.toml.template"))
        file.write_text(template.substitute(central_dsn=central_dsn, relay_dsn=relay_dsn), encoding="utf-8")
        settings = CentralSettings.load(file)
    relay = connect_central(relay_dsn)
    with connect(central_dsn, "head office") as head, connect(central_dsn, "tillsync publish") as own:
        prepared = _installed(head, settings)
        relay_schema.install(relay_dsn, relay_dsn)
        publisher = Publisher(own, relay, real_world(), prepared, settings.part_rows_max)
        with connect(relay_dsn, "figures") as at_relay:
            yield _Chain(head, at_relay, relay, prepared, publisher)
        relay.close()
    for name in names:
        drop_database(server, name)


def _installed(head: psycopg.Connection, settings: CentralSettings) -> Prepared:
    head.execute(assets.text("sql/bench/chain.sql").partition("-- tills:")[0].encode())
    prepared = schema.prepare(head, settings)
    schema.install(head, prepared)
    head.execute(assets.text("sql/bench/chain.sql").partition("-- tills:")[2].partition("\n")[2].encode())
    return prepared
