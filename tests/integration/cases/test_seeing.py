"""What a chain's status shows, measured and not supposed: clocks, lags, versions, closures, and what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator import __version__
from orchestrator.core.world import World
from orchestrator.report import status as reports
from orchestrator.service import metrics, standing
from orchestrator.settings_watch import CalendarSettings, ClosureSettings, WatchSettings
from tests.integration.cases.shop import Shop


def shifted(world: World, **by: float) -> World:
    """A machine whose clock is off."""
    return World(lambda: world.now() + timedelta(**by), world.monotonic, world.random63, world.sleep, world.crash)


def seen(shop: Shop, world: World | None = None, **settings: Any) -> dict[str, Any]:
    asked = shop.settings.model_copy(update=settings)
    return standing.of_central(asked, world or shop.world)


def causes(chain: dict[str, Any]) -> set[tuple[str, str]]:
    """But for the service, which does not run in these tests."""
    return {(t["cause"], t["subject"]) for t in chain["troubles"] if t["cause"] != "stopped"}


def test_a_chain_at_rest(shop: Shop, capsys: Any) -> None:
    till = shop.till("T1", "B1")
    shop.till("T2", "B1")
    shop.settle(till)
    chain = seen(shop)
    one, two = chain["branches"]
    assert (one["version"], one["lag_ticks"], one["lag_seconds"], one["pending"]) == (__version__, 0, 0, 0)
    assert abs(one["clock_skew_seconds"]) < 1
    assert one["disk_free_bytes"] > 0
    assert (datetime.now(UTC) - one["succeeded_at"]).total_seconds() < 60
    assert (two["version"], two["lag_seconds"], two["report_age_seconds"]) == (None, 0, None)
    assert [t["cause"] for t in chain["troubles"]] == ["stopped"]
    assert abs(chain["central"]["clock_skew_seconds"]) < 1
    reports.show_central(chain)
    shown = capsys.readouterr().out
    assert "start `tillsync run central`" in shown
    assert {"branch", "behind", "said", "success", "clock", "T1", "T2", __version__} <= set(shown.split())
    reports.show_till(standing.of_till(till.settings, shop.world))
    assert "start `tillsync run till`" in capsys.readouterr().out


def test_b23_a_wrong_clock_is_measured_against_the_relay(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    till.restart(shifted(shop.world, hours=-1))
    shop.sync()
    ahead = shifted(shop.world, days=400)
    chain = seen(shop, ahead)
    assert -3601 < chain["branches"][0]["clock_skew_seconds"] < -3599
    assert abs((chain["branches"][0]["succeeded_at"] - chain["now"]).total_seconds()) < 60, "by the relay's clock"
    assert round(chain["central"]["clock_skew_seconds"] / 86_400) == 400
    assert abs(chain["central"]["database_skew_seconds"]) < 1, "head office's machine is wrong, not its database"
    assert causes(chain) == {("clock", "T1"), ("clock", "central")}, "ages are told by the relay's clock"


def test_a_branch_that_lags_is_told_for_how_long(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.settle()
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', 'a@b', 'X')")
    shop.agent.round()
    shop.sql("UPDATE contact SET name = 'Bea'")
    shop.agent.round()
    shop.sql(
        "UPDATE tillsync.intent SET published_at = published_at - interval '1 hour' WHERE n = (SELECT max(n) - 1 FROM tillsync.intent)"
    )
    chain = seen(shop)
    (branch,) = chain["branches"]
    assert branch["lag_ticks"] == 2
    assert 3600 <= branch["lag_seconds"] < 3700
    assert causes(chain) == {("lag", "T1")}
    shop.settle(till)
    assert causes(seen(shop)) == set()


def test_b37_a_closure_that_is_due_and_missing(shop: Shop) -> None:
    tills = [shop.till(node, "B1") for node in ("T1", "T2")]
    today = datetime.now(UTC).date()
    before, yesterday = (today - timedelta(days=days) for days in (2, 1))
    shop.sql("UPDATE tillsync.node SET created_at = created_at - interval '3 days'")
    for till in tills:
        till.sql("INSERT INTO closure VALUES (1, ?, 10)", str(before))
    tills[0].sql("INSERT INTO closure VALUES (2, ?, 10)", str(yesterday))
    shop.settle()

    def missing(table: str = "closure", **calendar: Any) -> dict[str, str]:
        watch = WatchSettings(closure=ClosureSettings(table=table, due="00:00"))
        chain = seen(shop, watch=watch, calendar=CalendarSettings(**calendar))
        return {t["subject"]: t["what"] for t in chain["troubles"] if t["cause"] == "closure"}

    assert missing() == {"T2": f"no closure of {yesterday}"}, "today's is due at the end of the day"
    assert missing(closed=[str(yesterday)]) == {}
    assert missing("public.closure", branch=[{"branches": ["T*"], "closed": [str(yesterday)]}]) == {}
    assert "closures cannot be looked at" in missing("closing")["central"]
    tills[1].sql("INSERT INTO closure VALUES (2, ?, 10)", str(yesterday))
    shop.settle()
    assert missing() == {}


ANYTHING: tuple[Any, ...] = (
    None,
    True,
    "x",
    "\x1b[31m\nroot",
    -1,
    1.5,
    2**70,
    float("1e308"),
    [],
    [[{}]],
    {},
    {"late": []},
    "9999-12-31T23:59:59-23:59",
)


def test_whatever_one_till_says_the_others_are_seen(shop: Shop, capsys: Any) -> None:
    till = shop.till("T1", "B1")
    shop.till("T2", "B1")
    shop.settle()
    relay = till.relay()
    keys = [
        *("tick", "plan_version", "pending", "version", "sqlite", "clock_skew_seconds", "disk_free_bytes", "errors"),
        *(
            "certificate_ends_at",
            "backup_at",
            "succeeded_at",
            "labels",
            "lacks",
            "loading",
            "extra",
            "other_machine_at",
        ),
    ]
    try:
        for value in ANYTHING:
            for body in (dict.fromkeys(keys, value), value):
                relay.report(body)
                chain = seen(shop)
                reports.show_central(chain)
                assert list(metrics.of_central(chain))
                assert "\\u001b" not in json.dumps(chain, default=str)
                assert [b["tick"] for b in chain["branches"]][1] == shop.relay.head().n
    finally:
        relay.close()
    assert "T2" in capsys.readouterr().out
