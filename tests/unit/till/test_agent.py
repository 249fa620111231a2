"""The agent beside a till: what it says of itself, and when."""

from __future__ import annotations

from dataclasses import replace

import apsw

from orchestrator.core.world import World
from orchestrator.settings import TillSettings
from orchestrator.till.agent import REPORT_SECONDS, TillAgent
from tests.unit.till.conftest import PLAN
from tests.unit.till.listed_relay import ListedRelay


def test_an_idle_till_reports_when_something_changed_and_once_a_minute(
    db: apsw.Connection, settings: TillSettings, world: World
) -> None:
    now = 0.0
    relay = ListedRelay(PLAN)
    agent = TillAgent(settings, replace(world, monotonic=lambda: now), relay)
    try:
        agent.round()
        agent.round()
        assert len(relay.reports) == 1
        now = REPORT_SECONDS - 1
        agent.round()
        assert len(relay.reports) == 1
        now = REPORT_SECONDS
        agent.round()
        assert len(relay.reports) == 2
        now += 1
        db.execute("INSERT INTO sale VALUES (1, 1, 5)")
        agent.round()
        assert len(relay.reports) == 3
        assert relay.reports[-1]["pending"] == 1
    finally:
        agent.close()
