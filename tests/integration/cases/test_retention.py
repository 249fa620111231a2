"""Field cases of what is kept: a till that was away longer, rows that nobody has yet, branches that never come back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.central import branches
from orchestrator.central.purge import Purger
from orchestrator.core.world import World
from orchestrator.settings import RetentionSettings
from orchestrator.till.database import connect as open_till
from orchestrator.till.schema import uninstall
from tests.integration.cases.shop import Shop, Till

ITEMS = "SELECT id, price FROM item ORDER BY id"
LOGS = "SELECT count(*) FROM tillsync.log_item"


def purge(shop: Shop, **days: float) -> dict[str, int]:
    """A purge with these retentions, as central's agent makes it now and then."""
    purger = Purger(shop.conn, shop.relay, shop.world, shop.prepared, RetentionSettings(**days))
    return dict(purger.run(at_once=True))


def ages(shop: Shop, days: int) -> None:
    """So many days go by for everything that is there."""
    with psycopg.connect(shop.relay_dsn) as relay:
        for table, column in (("tick", "at"), ("upload", "at"), ("upload", "taken_at")):
            relay.execute(f"UPDATE relay.{table} SET {column} = {column} - make_interval(days => {days})".encode())
    for table in ("intent", "inbound", "taken", "parked", "conflict"):
        shop.sql(f"UPDATE tillsync.{table} SET at = at - make_interval(days => %s)", days)


def at_relay(shop: Shop, what: str) -> Any:
    with psycopg.connect(shop.relay_dsn) as relay:
        found = relay.execute(f"SELECT count(*) FROM relay.{what}".encode()).fetchone()
    assert found is not None
    return found[0]


def stocked(shop: Shop, *, items: int = 6) -> None:
    shop.sql("INSERT INTO item SELECT g, 'c' || g, 'item ' || g, g FROM generate_series(1, %s) g", items)
    shop.sql(
        "INSERT INTO branch_item SELECT b, g FROM generate_series(1, %s) g, unnest(ARRAY['B1', 'B2', 'B3']) b", items
    )


def same_items(shop: Shop, till: Till) -> bool:
    return till.sql(ITEMS) == [(i, pytest.approx(float(p))) for i, p in shop.sql(ITEMS)]


def test_b46_a_till_that_was_away_longer_than_the_log_is_kept(shop: Shop) -> None:
    stocked(shop)
    one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.settle()
    shop.sql("DELETE FROM item WHERE id = 5")
    shop.sql("UPDATE item SET price = 66 WHERE id = 6")
    shop.sync(two)
    ages(shop, 20)
    for number in range(5):
        one.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', NULL, 10)", f"B1-{number}", str(number))
    shop.sql("UPDATE item SET price = 11 WHERE id = 1")
    shop.sync(two)
    shop.sync(two)
    gone = purge(shop, ticks_days=7)
    assert gone["ticks"] > 0
    assert gone["relay"] > 0
    assert shop.sql("SELECT count(*) FROM tillsync.hold_item WHERE left_tick IS NOT NULL") == [(0,)]
    with closing(one.relay()) as relay:
        assert not relay.knows(*_tick(one))
    shop.settle()
    assert same_items(shop, one)
    assert one.sql("SELECT count(*) FROM item WHERE id = 5") == [(0,)]
    assert shop.sql("SELECT count(*) FROM sales_order") == one.sql("SELECT count(*) FROM sales_order") == [(5,)]
    assert same_items(shop, two)


def _tick(till: Till) -> tuple[int, int]:
    ((tick, token),) = till.sql("SELECT tick, token FROM tillsync_state")
    return tick, token


@pytest.mark.parametrize("ticks_days", [14, 1e-9])
def test_b47_a_purge_after_every_run_loses_nothing_that_a_branch_has_not_got(shop: Shop, ticks_days: float) -> None:
    """Within the retention from the differences, beyond it from a snapshot."""
    stocked(shop, items=40)
    one, two, three = (shop.till(f"T{n}", f"B{n}") for n in (1, 2, 3))
    shop.settle()
    taken = 0
    for run in range(50):
        shop.sql("UPDATE item SET price = price + 1 WHERE id %% 7 = %s", run % 7)  # one transaction, one microsecond
        if run % 10 == 3:
            shop.sql("DELETE FROM item WHERE id = %s", run)
            shop.sql("INSERT INTO item VALUES (%s, %s, 'new', 1)", 1000 + run, f"n{run}")
            shop.sql("INSERT INTO branch_item SELECT b, %s FROM unnest(ARRAY['B1', 'B2', 'B3']) b", 1000 + run)
        if run % 7 == 1:
            three.sql("INSERT INTO sales_order VALUES (?, 'B3', 'n', 'paid', NULL, 10)", f"B3-{run}")
            one.sql("INSERT INTO sales_order VALUES (?, 'B1', 'n', 'paid', NULL, 10)", f"B1-{run}")
            taken += 2
        shop.sync(one, two)
        purge(shop, ticks_days=ticks_days, snapshots_days=1e-9, uploads_days=1e-9)
    logged, intents = shop.sql(
        "SELECT (SELECT count(*) FROM tillsync.log_item), (SELECT count(*) FROM tillsync.intent)"
    )[0]
    assert (intents <= 2) == (ticks_days < 1)
    assert (logged < 20) == (ticks_days < 1)
    shop.settle()
    for till in (one, two, three):
        assert same_items(shop, till), till.node
    assert shop.sql("SELECT count(*) FROM sales_order") == [(taken,)]


def test_b48_a_branch_that_never_comes_back_holds_nothing_up_and_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    stocked(shop)
    one, silent, retired = shop.till("T1", "B1"), shop.till("T2", "B2"), shop.till("T3", "B3")
    shop.settle()
    branches.retire(shop.conn, shop.relay, shop.prepared, "T3")
    sizes = []
    for _ in range(6):
        for _ in range(5):
            shop.sql("UPDATE item SET price = price + 1")
            one.sql("INSERT INTO closure SELECT coalesce(max(number), 0) + 1, '2024-03-01', 1 FROM closure")
            shop.sync(one)
        ages(shop, 15)
        purge(shop)
        sizes.append((shop.sql(LOGS)[0][0], at_relay(shop, "tick"), at_relay(shop, "payload"), at_relay(shop, "ack")))
    assert all(now <= first for size in sizes[2:] for now, first in zip(size, sizes[1], strict=True)), sizes
    assert at_relay(shop, "upload") < 20
    assert same_items(shop, one)
    for till in (silent, retired):
        till.agent.close()
        db = open_till(till.file)
        uninstall(db)
        db.close()
        left = till.sql("SELECT name FROM sqlite_master WHERE name LIKE '%tillsync%' OR sql LIKE '%tillsync%'")
        assert left == []


def test_an_old_backup_of_a_till_is_refused_rather_than_taken_twice(shop: Shop, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    shop.settle()
    one.agent.close()
    one.sql("VACUUM INTO ?", str(tmp_path / "backup.db"))
    for number in (2, 3):
        one.sql("INSERT INTO closure VALUES (?, '2024-03-02', 100)", number)
        shop.settle()
    ages(shop, 500)
    one.sql("INSERT INTO closure VALUES (4, '2025-03-02', 100)")
    shop.settle()
    assert purge(shop)["inbound"] > 0
    one.agent.close()
    one.app.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{one.file}{suffix}").unlink(missing_ok=True)
    one.file.write_bytes((tmp_path / "backup.db").read_bytes())
    one.reopen()
    one.sql("INSERT INTO closure VALUES (9, '2025-03-03', 100)")
    for _ in range(3):
        one.sync()
        report = shop.agent.round()
    assert "TS-316" in report.refused.get("T1", "")
    assert shop.sql("SELECT sum(total) FROM turnover") == [(400,)]


def test_a_busy_table_of_which_nothing_concerns_a_branch_fills_no_log(shop: Shop) -> None:
    """The marks go on although nothing matched: each tick looks at what is new alone."""
    stocked(shop)
    one = shop.till("T1", "B1")
    shop.settle()
    shop.sql("INSERT INTO item SELECT g, 'x' || g, 'not for tills', 1 FROM generate_series(1000, 2000) g")
    before = shop.relay.head().n
    for _ in range(3):
        shop.sql("UPDATE item SET price = price + 1 WHERE id >= 1000")
        shop.agent.round()
    assert shop.relay.head().n == before + 3
    assert shop.agent.round().tick is None
    ages(shop, 15)
    shop.sql("UPDATE item SET price = price + 1 WHERE id >= 1000")
    shop.agent.round()
    purge(shop)
    assert shop.sql(LOGS)[0][0] <= 2 * 1001
    one.sync()
    assert same_items(shop, one) or one.sql("SELECT count(*) FROM item") == [(6,)]
    with closing(one.relay()) as relay:
        assert {head.n for head, parts in relay.pull(before, [], 100) if parts} == set()


def test_a_purge_waits_for_no_lock_of_an_application(shop: Shop) -> None:
    stocked(shop)
    shop.till("T1", "B1")
    for _ in range(3):
        shop.sql("UPDATE item SET price = price + 1")
        shop.settle()
    ages(shop, 15)
    with psycopg.connect(shop.settings.central.dsn) as app:
        app.execute("UPDATE item SET price = price + 1")
        shop.conn.execute("SET statement_timeout = '5s'")
        assert purge(shop)["ticks"] > 0


def test_retentions_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="uploads_days"):
        RetentionSettings(uploads_days=10, history_days=5)


@pytest.fixture
def crowded(database: Callable[..., str], world: World, tmp_path: Path) -> Any:
    """A head office with 400 captured tables."""
    tables = "".join(f"CREATE TABLE t{n} (id int PRIMARY KEY, v text);" for n in range(400))
    channels = [{"name": "all", "direction": "down", "table": [{"name": f"t{n}"} for n in range(400)]}]
    shop = Shop(database, world, tmp_path, central=tables, till=tables, channels=channels)
    yield shop
    shop.close()


def test_b85_400_tables_in_one_synchronisation(crowded: Shop) -> None:
    one = crowded.till("T1", "B1")
    crowded.settle()
    for n in range(0, 400, 7):
        crowded.sql(f"INSERT INTO t{n} VALUES (1, 'one')")
    crowded.settle()
    assert sum(one.sql(f"SELECT count(*) FROM t{n}")[0][0] for n in range(400)) == 58
    taken = []
    for _ in range(5):
        began = crowded.world.monotonic()
        assert crowded.agent.round().tick is None
        taken.append(crowded.world.monotonic() - began)
    assert min(taken) < 0.25, "50 ms on a quiet machine"


def test_an_upload_is_only_purged_when_it_was_taken(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    one.sync()
    ages(shop, 100)
    purge(shop)
    assert at_relay(shop, "upload WHERE taken_at IS NULL") == 1
    shop.settle()
    assert shop.sql("SELECT count(*) FROM closure") == [(1,)]
