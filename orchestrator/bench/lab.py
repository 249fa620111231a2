"""A chain for measuring: head office, relay and one till on a durable PostgreSQL of its own, loaded and idle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from time import perf_counter

import apsw
import psycopg

from orchestrator import assets
from orchestrator.central import branches, schema
from orchestrator.central.agent import CentralAgent
from orchestrator.core.world import real_world
from orchestrator.demo.binaries import open_place
from orchestrator.demo.databases import GivenServer, Server, create_database, drop_database
from orchestrator.demo.server import Cluster
from orchestrator.errors import TillsyncError
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from orchestrator.relay.client import connect_central
from orchestrator.service import office
from orchestrator.settings import CentralSettings, TillSettings
from orchestrator.till.agent import TillAgent
from orchestrator.till.setup import install_till

ROUNDS_MAX = 20
CENTRAL_FILE, TILL_FILE = "tillsync.toml", "till.toml"


@dataclass
class Lab:
    """`head` is head office's application, `pos` the till's."""

    directory: Path
    settings: CentralSettings
    till_settings: TillSettings
    head: psycopg.Connection
    pos: apsw.Connection
    central: CentralAgent
    till: TillAgent

    def settle(self) -> None:
        """Rounds until nothing moves."""
        for _ in range(ROUNDS_MAX):
            if not self.till.round().moved + self.central.round().moved + self.till.round().moved:
                return
        raise TillsyncError("TS-730", f"the lab is not idle after {ROUNDS_MAX} rounds", hint="report it")

    def tidy(self) -> None:
        """What autovacuum would do between two measurements, at a moment of our choosing."""
        self.head.execute("VACUUM ANALYZE")
        self.head.execute("CHECKPOINT")
        self.pos.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextmanager
def lab() -> Iterator[Lab]:
    """A lab in a directory of its own, which goes with it. TILLSYNC_TEST_DSN names a server to use instead."""
    given = os.environ.get("TILLSYNC_TEST_DSN")
    with tempfile.TemporaryDirectory(prefix="tillsync-bench-", dir=open_place()) as place:
        directory = Path(place)
        directory.chmod(0o755)
        if given:
            with _built(GivenServer(given), directory) as made:
                yield made
            return
        with Cluster(directory / "server", durable=True) as server, _built(server, directory) as made:
            yield made


@contextmanager
def _built(server: Server, directory: Path) -> Iterator[Lab]:
    names = [f"tillsync_bench_{side}_{os.getpid()}" for side in ("central", "relay")]
    central_dsn, relay_dsn = (create_database(server, name) for name in names)
    world = real_world()
    central_file, till_file = directory / CENTRAL_FILE, directory / TILL_FILE
    template = Template(assets.text("sql/bench/tillsync.toml.template"))
    central_file.write_text(template.substitute(central_dsn=central_dsn, relay_dsn=relay_dsn), encoding="utf-8")
    settings = CentralSettings.load(central_file)
    head = connect(central_dsn, "head office")
    head.execute(assets.text("sql/bench/central.sql"))
    prepared = schema.prepare(head, settings)
    schema.install(head, prepared)
    relay_schema.install(relay_dsn, relay_dsn)
    relay = connect_central(relay_dsn)
    dsn = branches.add(head, relay, prepared, world, "T1", {"store_id": "1"}, relay_dsn)
    pos = apsw.Connection(str(directory / "pos.db"))
    pos.set_busy_timeout(10_000)
    pos.execute("PRAGMA journal_mode = wal").fetchall()
    pos.execute(assets.text("sql/bench/till.sql"))
    till_file.write_text(office.till_settings(settings, "T1", dsn, "pos.db"), encoding="utf-8")
    till_settings = TillSettings.load(till_file)
    install_till(till_settings, world)
    made = Lab(
        directory, settings, till_settings, head, pos, CentralAgent(settings, world), TillAgent(till_settings, world)
    )
    try:
        made.settle()
        made.tidy()
        yield made
    finally:
        made.central.close()
        made.till.close()
        relay.drop_account("T1")
        relay.close()
        head.close()
        pos.close()
        for name in names:
            drop_database(server, name)


class Stopwatch:
    """Seconds of named stretches."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.seconds[name] = perf_counter() - started
