"""Head office's agent: its two halves do not hold each other up, and it opens again what broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestrator.central import collect, schema
from orchestrator.central.agent import CentralAgent
from orchestrator.central.publish import Publisher
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError, Unreachable
from orchestrator.settings import CentralSettings
from tests.integration.central.chain import CHANNELS, Chain, build


@pytest.fixture
def chain(database: Callable[..., str], world: World) -> Iterator[Chain]:
    made = build(database, world)
    yield made
    made.close()


@pytest.fixture
def agent(chain: Chain, world: World) -> Iterator[CentralAgent]:
    settings = CentralSettings(
        central={"dsn": chain.central_dsn},
        relay={"dsn": chain.relay_dsn},
        parameters={"store_id": "integer"},
        channel=CHANNELS,
    )
    made = CentralAgent(settings, world)
    yield made
    made.close()


def test_a_round_publishes_and_the_next_has_nothing_to_do(chain: Chain, agent: CentralAgent) -> None:
    chain.branch("T1", 1)
    first, second = agent.round(), agent.round()
    assert first.moved == 1
    assert first.tick == 1
    assert (second.moved, second.tick) == (0, None)


def test_publishing_goes_on_while_collecting_fails(
    chain: Chain, agent: CentralAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.round()
    before = chain.relay.head().n

    def fails(*_: object, **__: object) -> None:
        raise TillsyncError("TS-399", "no room for merging")

    monkeypatch.setattr(collect, "collect", fails)
    chain.conn.execute("INSERT INTO item VALUES (1, 'a', 'apple', 1, 1)")
    with pytest.raises(TillsyncError, match="TS-399"):
        agent.round()
    assert chain.relay.head().n == before + 1


def test_collecting_goes_on_while_publishing_fails(
    chain: Chain, agent: CentralAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected = []

    def fails(_: Publisher, due: object) -> None:
        raise TillsyncError("TS-398", "no room for publishing")

    monkeypatch.setattr(Publisher, "publish", fails)
    whole = collect.collect

    def noted(*given: Any, **options: Any) -> object:
        collected.append(whole(*given, **options))
        return collected[-1]

    monkeypatch.setattr(collect, "collect", noted)
    with pytest.raises(TillsyncError, match="TS-398"):
        agent.round()
    assert len(collected) == 1


@pytest.mark.parametrize("which", ["tillsync collect", "tillsync publish"])
def test_a_lost_connection_is_opened_again(chain: Chain, agent: CentralAgent, which: str) -> None:
    agent.round()
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
    assert chain.conn.execute(query, [which]).fetchone() == (True,)
    with pytest.raises(Unreachable, match="TS-400"):
        agent.round()
    chain.conn.execute("INSERT INTO item VALUES (1, 'a', 'apple', 1, 1)")
    assert agent.round().tick is not None


def test_a_plan_installed_by_script_brings_its_streams(chain: Chain, agent: CentralAgent) -> None:
    """A script only writes the plan; the agent makes the streams and tells the relay."""
    branch = chain.branch("T1", 1)
    agent.round()
    assert {channel for _, channel in branch.hello().streams} == {"catalogue", "prices", "orders"}
    with psycopg.connect(chain.central_dsn) as dba:
        dba.execute(
            "INSERT INTO tillsync.plan (version, body) SELECT 2, replace(replace(body, '\"version\":1', '\"version\":2'),"
            ' \'"name":"prices"\', \'"name":"pricing"\') FROM tillsync.plan'
        )
    agent.round()
    hello = branch.hello()
    assert hello.plan_version == 2
    assert {channel for _, channel in hello.streams} == {"catalogue", "pricing", "orders"}


def test_what_the_agent_commits_is_durable_whatever_the_database_says(chain: Chain, agent: CentralAgent) -> None:
    """An acked upload or a tick that tills have seen must survive a crash of the server."""
    name = chain.conn.execute("SELECT current_database()").fetchone()
    assert name is not None
    chain.conn.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name[0])))
    chain.conn.execute("CREATE TABLE seen (setting text)")
    chain.conn.execute(
        """
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER see AFTER INSERT ON tillsync.intent EXECUTE FUNCTION see()
        """
    )
    agent.round()
    assert chain.conn.execute("SELECT DISTINCT setting FROM seen").fetchall() == [("on",)]


def test_tables_that_an_earlier_version_made_are_named_and_an_installation_brings_them_on(
    chain: Chain, agent: CentralAgent
) -> None:
    chain.branch("T1", 1)
    chain.conn.execute("UPDATE tillsync.state SET version = 1; ALTER TABLE tillsync.parked DROP COLUMN document")
    with pytest.raises(TillsyncError, match=r"TS-304 .* of version 1"):
        agent.round()
    schema.install(chain.conn, chain.prepared)
    assert agent.round().tick == 1
