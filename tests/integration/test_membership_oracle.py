"""The oracle of membership: random schemas, filters and transactions, through capture, routing, ledger and relay.

After each tick what a branch would hold, out of every payload that the relay gives it, is what PostgreSQL says to the
author's own text of the filter; and no payload has ever had a key of a row that the branch did not hold at some tick. Filters
and parameters change on the way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import psycopg
import pytest

from orchestrator.central import branches, schema
from orchestrator.central.agent import CentralAgent
from orchestrator.core.world import World
from orchestrator.errors import ConfigError
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from orchestrator.relay.client import connect_branch, connect_central
from orchestrator.settings import CentralSettings
from tests.integration import filter_grammar as grammar
from tests.integration.central.chain import Mirror
from tests.integration.filter_grammar import PARAMETERS, RandomTable

TICKS = int(os.environ.get("TILLSYNC_TICKS", "240"))
WORLDS = 4
NODES = ("T1", "T2", "T3")
PLAN_EVERY, PARAMETERS_EVERY = 12, 9


class Chain:
    """A head office with a random schema, and branches that only listen."""

    def __init__(self, database: Callable[..., str], world: World, seed: int) -> None:
        self.rng, self.world = Random(seed), world
        self.made = grammar.tables(self.rng, "shop")
        self.central_dsn, self.relay_dsn = database("central"), database("relay")
        self.conn = connect(self.central_dsn, "head office")
        self.conn.execute(f"CREATE SCHEMA shop; {''.join(t.ddl() for t in self.made)}".encode())
        self.conn.execute("SET search_path = shop, public")
        for table in self.made:
            self.conn.execute(grammar.fill(self.rng, table).encode())
        relay_schema.install(self.relay_dsn, self.relay_dsn)
        self.relay = connect_central(self.relay_dsn)
        self.text = ""
        self.given: dict[str, dict[str, str]] = {}
        self.mirrors: dict[str, Mirror] = {}
        self.held: dict[str, set[tuple[Any, ...]]] = {node: set() for node in NODES}
        self.plan()
        for node in NODES:
            self.given[node] = self.parameters()
            dsn = branches.add(self.conn, self.relay, self.prepared, world, node, self.given[node], self.relay_dsn)
            self.mirrors[node] = Mirror(connect_branch(dsn))
            self.mirrors[node].follow(self.keys)
        self.agent = CentralAgent(self.settings, world)

    @property
    def filtered(self) -> RandomTable:
        return self.made[0]

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        return {self.filtered.full: self.filtered.key}

    def parameters(self) -> dict[str, str]:
        drawn = {name: grammar.value(self.rng, kind, null=False).strip("'") for name, kind in PARAMETERS.items()}
        return {name: value.replace("NULL", "1") for name, value in drawn.items()}

    def plan(self) -> None:
        """Another filter, until one is found that the checks let pass."""
        while True:
            text = grammar.Grammar(self.rng, self.made).filter()
            table = {"name": self.filtered.full, "filter": text}
            self.settings = CentralSettings(
                central={"dsn": self.central_dsn},
                relay={"dsn": self.relay_dsn},
                parameters=PARAMETERS,
                channel=[{"name": "only", "direction": "down", "table": [table]}],
            )
            try:
                self.prepared = schema.prepare(self.conn, self.settings)
            except ConfigError:
                continue
            schema.install(self.conn, self.prepared)
            self.text = text
            return

    def move(self) -> None:
        node = self.rng.choice(NODES)
        self.given[node] = self.parameters()
        branches.put(self.conn, self.prepared, node, self.given[node])

    def transact(self) -> None:
        """A random transaction; one that PostgreSQL refuses did not happen."""
        try:
            with self.conn.transaction():
                self.conn.execute(grammar.transaction(self.rng, self.made).encode())
        except (psycopg.DataError, psycopg.IntegrityError):
            pass

    def expected(self, node: str) -> dict[tuple[Any, ...], dict[str, Any]]:
        """What PostgreSQL says to the author's text, with the branch's values in it."""

        def literal(found: re.Match[str]) -> str:
            name = found[1]
            return f"('{self.given[node][name]}'::{PARAMETERS[name]})"

        names = list(self.filtered.columns)
        text = re.sub(r"(?<!:):([itlf])\b", literal, self.text)
        rows = self.conn.execute(
            f"SELECT {', '.join(names)} FROM {self.filtered.name} WHERE {text}".encode()
        ).fetchall()
        named = [dict(zip(names, row, strict=True)) for row in rows]
        return {tuple(row[k] for k in self.filtered.key): row for row in named}

    def check(self, what: str) -> None:
        for node, mirror in self.mirrors.items():
            mirror.follow(self.keys)
            expected = self.expected(node)
            self.held[node] |= expected.keys()
            got = mirror.rows.get(self.filtered.full, {})
            assert got == expected, f"{what}, {node} {self.given[node]}: {self.text}"
            strange = mirror.keys_seen.get(self.filtered.full, set()) - self.held[node]
            assert not strange, f"{what}, {node} was told of {strange}: {self.text}"

    def close(self) -> None:
        for mirror in self.mirrors.values():
            mirror.relay.close()
        self.agent.close()
        self.relay.close()
        self.conn.close()


@pytest.fixture
def build(database: Callable[..., str], world: World) -> Iterator[Callable[[int], Chain]]:
    made: list[Chain] = []

    def new(seed: int) -> Chain:
        made.append(Chain(database, world, seed))
        return made[-1]

    yield new
    for chain in made:
        chain.close()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(WORLDS))
def test_every_tick_gives_every_branch_what_its_filter_says(build: Callable[[int], Chain], seed: int) -> None:
    chain = build(seed)
    chain.agent.round()
    chain.check("loaded")
    sent = 0
    for number in range(TICKS // WORLDS):
        if number % PLAN_EVERY == PLAN_EVERY - 1:
            chain.plan()
        if number % PARAMETERS_EVERY == PARAMETERS_EVERY - 1:
            chain.move()
        chain.transact()
        sent += chain.agent.round().rows
        chain.check(f"seed {seed}, transaction {number}")
    assert sent > TICKS / WORLDS / 5, "it is about something"
