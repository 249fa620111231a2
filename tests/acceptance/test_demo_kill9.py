"""kill -9 of every agent at random moments while the month goes by: the proofs still hold."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.test_demo import demo

KILLS = int(os.environ.get("TILLSYNC_KILLS", "5"))
KILLS_LONG = int(os.environ.get("TILLSYNC_KILLS_LONG", "50"))


def kill_every_agent(times: int, days: int) -> None:
    outcome = demo("--tills", "3", "--days", str(days), "--day-seconds", "0.5", "--kill", str(times))
    assert outcome["ok"]
    kills = [outcome["central_kills"], *(till["kills"] for till in outcome["tills"])]
    assert min(kills) >= times


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("demo")
def test_agents_may_be_killed_at_any_moment() -> None:
    kill_every_agent(KILLS, days=6)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.xdist_group("demo")
def test_agents_may_be_killed_at_any_moment_again_and_again() -> None:
    kill_every_agent(KILLS_LONG, days=31)
