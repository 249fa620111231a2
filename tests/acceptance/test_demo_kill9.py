"""kill -9 of every agent at random moments while the month goes by: the proofs still hold."""

from __future__ import annotations

import os

import psycopg
import pytest

from orchestrator.demo.databases import Server
from tests.acceptance.test_demo import demo

KILLS = int(os.environ.get("TILLSYNC_KILLS", "5"))
KILLS_LONG = int(os.environ.get("TILLSYNC_KILLS_LONG", "50"))


def kill_every_agent(times: int, days: int, server: str | None = None) -> None:
    arguments = ("--tills", "3", "--days", str(days), "--day-seconds", "0.5", "--kill", str(times))
    outcome = demo(*arguments, server=server)
    assert outcome["ok"]
    kills = [outcome["central_kills"], *(till["kills"] for till in outcome["tills"])]
    assert min(kills) >= times


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("demo")
def test_agents_may_be_killed_at_any_moment(pg: Server) -> None:
    """On a server that somebody else runs, from which the demo takes away what it brought."""
    before = names(pg)
    kill_every_agent(KILLS, days=6, server=pg.dsn())
    groups = {"tillsync_relay", "tillsync_central", "tillsync_branch"}
    assert names(pg) - before <= groups, "those may be another relay's, and stay"


def names(server: Server) -> set[str]:
    """Databases and roles."""
    with psycopg.connect(server.dsn()) as connection:
        query = "SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles"
        return {name for (name,) in connection.execute(query)}


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.xdist_group("demo")
def test_agents_may_be_killed_at_any_moment_again_and_again() -> None:
    kill_every_agent(KILLS_LONG, days=31)
