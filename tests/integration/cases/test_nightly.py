"""Field cases of the nightly comparison: made by itself, kept, laid down, and known in the morning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.central import branches, history, reconcile_report
from orchestrator.core.world import World, real_world
from orchestrator.service import nightly, running, standing
from orchestrator.service.nightly import Nightly
from orchestrator.settings import CentralSettings
from tests.integration.cases import books
from tests.integration.cases.shop import Shop


@dataclass
class Clock:
    """The real one, put forward."""

    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def world(self) -> World:
        real = real_world()
        return World(
            self.now, lambda: real.monotonic() + self.ahead.total_seconds(), real.random63, real.sleep, real.crash
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for the module: the second test goes on where the first one ended."""
    with books.opened(module_database, tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def settings(shop: Shop, clock: Clock, tmp_path: Path) -> CentralSettings:
    """The next night begins in an hour."""
    at = clock.now() + timedelta(hours=1)
    said = {"cron": f"{at.minute} {at.hour} * * *", "directory": tmp_path / "pages", "wait_seconds": 900}
    return CentralSettings(**{**shop.settings.model_dump(), "reconcile": said})


def until_moved(shop: Shop, night: Nightly, *, rounds: int = 30) -> bool:
    """Rounds of all until the night's comparison began or ended."""
    for _ in range(rounds):
        if night.round().moved:
            return True
        shop.sync()
    return False


def test_b87_a_night_is_compared_kept_and_known_in_the_morning(
    shop: Shop, settings: CentralSettings, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_report, "OFFLINE_SECONDS", 10**6)  # the relay's clock is not put forward
    one, _ = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.sql("INSERT INTO item VALUES (1, 'pen'), (2, 'ink')")
    shop.settle()
    night = Nightly(settings, clock.world())
    assert night.round().moved == 0, "it is not due"
    clock.ahead = timedelta(hours=1, minutes=1)
    assert until_moved(shop, night)
    night.close()
    night = Nightly(settings, clock.world())  # the service is started anew in between
    assert until_moved(shop, night)
    (kept,) = history.recent(shop.conn)
    assert kept.equal
    assert (kept.totals.branches, kept.totals.compared, kept.totals.books) == (2, 2, 12)
    assert not until_moved(shop, night, rounds=3), "once a night"

    one.sql("UPDATE tillsync_state SET applying = 1")
    one.sql("UPDATE item SET name = 'pencil' WHERE id = 1")
    one.sql("UPDATE tillsync_state SET applying = 0")
    clock.ahead += timedelta(days=1)
    assert until_moved(shop, night)
    assert until_moved(shop, night)
    night.close()
    assert [k.equal for k in history.recent(shop.conn)] == [False, True]
    (line,) = history.lasting(shop.conn)
    assert (line.node, line.what, line.rows) == ("T1", "public.item", 1)
    assert line.equal_at is not None
    assert line.said(line.since).startswith("T1 differs in item since ")
    pages = sorted((tmp_path / "pages").iterdir())
    assert [p.name for p in pages] == [
        f"reconcile-{k.made_at.date()}.html" for k in reversed(history.recent(shop.conn))
    ]
    assert "pen<mark>cil</mark>" in pages[-1].read_text(encoding="utf-8")
    troubles = [t for t in standing.of_central(shop.settings, clock.world())["troubles"] if t["cause"] == "differs"]
    assert [(t["subject"], t["what"].partition(" since")[0]) for t in troubles] == [("T1", "differs in item")]


def test_b87_a_till_that_is_away_does_not_hold_the_night_up(
    shop: Shop, settings: CentralSettings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = shop.till("T3", "B3"), shop.till("T4", "B4")
    for node in ("T1", "T2"):
        if node in shop.tills:
            branches.retire(shop.conn, shop.relay, shop.prepared, node)
            shop.tills.pop(node).close()
    shop.sql("DELETE FROM tillsync.night")
    shop.settle()
    night = Nightly(settings, clock.world())
    night.round()
    clock.ahead = timedelta(hours=1, minutes=1)
    assert night.round().moved == 1
    for _ in range(6):
        shop.sync(one)
    assert night.round().moved == 1, "by its clock the second till has been silent for an hour"
    night.close()
    kept = max(history.recent(shop.conn), key=lambda k: k.id)
    assert (kept.equal, kept.totals.compared, kept.totals.silent) == (True, 1, 1)
    for _ in range(6):
        shop.sync(two)
    monkeypatch.setattr(nightly, "LATE", timedelta(hours=1))
    clock.ahead += timedelta(hours=20)
    night = Nightly(settings, clock.world())
    assert night.round().moved == 0, "nothing is due in the afternoon"
    clock.ahead += timedelta(hours=7)
    assert night.round().moved == 0, "a night that was slept through, long ago"
    night.close()


def test_the_service_has_a_lane_for_it_unless_it_is_off() -> None:
    channel = [{"name": "c", "direction": "down", "table": [{"name": "item"}]}]
    dsn = {"dsn": "postgresql://nobody@nowhere.invalid/none"}

    def lanes(**said: Any) -> list[type]:
        settings = CentralSettings(central=dsn, relay=dsn, channel=channel, **said)
        return [type(lane.agent) for lane in running.central(settings).lanes]

    assert Nightly in lanes()
    assert Nightly not in lanes(reconcile={"cron": "off"})
    with pytest.raises(ValueError, match="reconcile"):
        lanes(reconcile={"cron": "every night"})
