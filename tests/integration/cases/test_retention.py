"""Field cases of what is kept: a till that was away longer, rows that nobody has yet, branches that never come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestrator import assets
from orchestrator.central import branches, purge, span
from orchestrator.central import schema as central_schema
from orchestrator.central.purge import Purger
from orchestrator.core.world import World
from orchestrator.demo.databases import Server
from orchestrator.relay.client import BranchRelay, connect_branch
from orchestrator.relay.messages import Part, TickHead
from orchestrator.service import standing
from orchestrator.settings import RetentionSettings
from orchestrator.till import pull
from orchestrator.till.database import connect as open_till
from orchestrator.till.schema import uninstall
from tests.integration.cases.shop import Died, Shop, Till, dying_at
from tests.integration.cases.test_restored_together import Machine
from tests.integration.cases.test_restores import copy_of, put_back, sell, sell_one_by_one

ITEMS = "SELECT id, price FROM item ORDER BY id"
LOGS = "SELECT count(*) FROM tillsync.log_item"


def purged(shop: Shop, **days: float) -> dict[str, int]:
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
    shop.sql("UPDATE item SET price = 10 WHERE id = 1")  # the newest tick before the retention stays
    shop.sync(two)
    ages(shop, 20)
    for number in range(5):
        one.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', NULL, 10)", f"B1-{number}", str(number))
    shop.sql("UPDATE item SET price = 11 WHERE id = 1")
    shop.sync(two)
    shop.sync(two)
    gone = purged(shop, ticks_days=7)
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
        purged(shop, ticks_days=ticks_days, snapshots_days=1e-9, uploads_days=1e-9)
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
        purged(shop)
        sizes.append((shop.sql(LOGS)[0][0], at_relay(shop, "tick"), at_relay(shop, "payload"), at_relay(shop, "ack")))
    assert all(now <= first for size in sizes[2:] for now, first in zip(size, sizes[1], strict=True)), sizes
    assert at_relay(shop, "upload") < 20
    assert same_items(shop, one)
    assert shop.sql(
        "SELECT count(*) FROM tillsync.hold_item h JOIN tillsync.stream s USING (stream) WHERE s.params::text LIKE '%%B3%%'"
    ) == [(0,)]
    status = {b["node"]: b["is_left_behind"] for b in standing.of_central(shop.settings, shop.world)["branches"]}
    assert status == {"T1": False, "T2": True, "T3": False}
    for till in (silent, retired):
        till.agent.close()
        db = open_till(till.file)
        uninstall(db)
        db.close()
        left = till.sql("SELECT name FROM sqlite_master WHERE name LIKE '%tillsync%' OR sql LIKE '%tillsync%'")
        assert left == []
    central_schema.uninstall(shop.conn)
    assert shop.sql("SELECT tgname FROM pg_trigger WHERE tgname ~ 'tillsync'") == []
    assert shop.sql("SELECT nspname FROM pg_namespace WHERE nspname ~ 'tillsync'") == []


def test_central_purges_by_itself_even_where_each_round_is_a_process_of_its_own(shop: Shop) -> None:
    stocked(shop)
    shop.till("T1", "B1")
    for _ in range(3):
        shop.sql("UPDATE item SET price = price + 1")
        shop.settle()
    ages(shop, 15)
    shop.sql("UPDATE item SET price = price + 1")
    shop.agent.round()
    shop.sql("UPDATE tillsync.state SET purged_at = purged_at - interval '11 minutes'")
    shop.agent.round()
    assert shop.sql("SELECT count(*) FROM tillsync.intent") > [(2,)], (
        "an agent that has just looked looks again too soon"
    )
    shop.restart()
    shop.agent.round()
    assert shop.sql("SELECT count(*) FROM tillsync.intent") == [(2,)]
    ages(shop, 15)
    for _ in range(2):
        shop.sql("UPDATE item SET price = price + 1")
        shop.restart()
        shop.agent.round()
    assert shop.sql("SELECT count(*) FROM tillsync.intent") == [(4,)], "another process has done it a moment ago"


def test_a_purge_that_was_cut_short_leaves_no_tick_without_its_log(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay comes back from a backup before the purge goes on: its tick must not be a base without the rows since."""
    stocked(shop)
    one = shop.till("T1", "B1")
    shop.settle()
    top = shop.relay.head().n
    for _ in range(3):
        shop.sql("UPDATE item SET price = price + 1")
        shop.sync(one)
    ages(shop, 15)
    monkeypatch.setattr(purge, "SECONDS_MAX", 0)
    purger = Purger(shop.conn, shop.relay, shop.world, shop.prepared, RetentionSettings())
    steps = 0
    while purger.run(at_once=steps == 0) or purger.is_at_work:
        steps += 1
        if steps == 2:
            relay_goes_back(shop, top)
            one.sync()
            shop.settle()
            assert same_items(shop, one)
    assert steps > 2
    epoch = shop.relay.head().epoch
    shop.sql("DELETE FROM item WHERE id = 3")
    shop.settle()
    assert same_items(shop, one)
    assert epoch == shop.relay.head().epoch == 2, "a relay from before what is kept begins a new epoch, once"


def relay_goes_back(shop: Shop, n: int) -> None:
    with psycopg.connect(shop.relay_dsn) as relay:
        for table in ("tick", "payload", "echo", "ack"):
            relay.execute(f"DELETE FROM relay.{table} WHERE n > {n}".encode())


def test_a_tick_that_the_relay_still_has_is_whole(shop: Shop) -> None:
    """Purged in bites, of which a till may come between any two."""
    stocked(shop)
    one = shop.till("T1", "B1")
    shop.settle()
    now = shop.world.now()
    for number in range(10):
        shop.sql("INSERT INTO branch_item VALUES ('-', %s)", number)  # a tick with nothing for anybody
        shop.agent.round()
        if number == 0:
            assert shop.relay.purge(shop.relay.head().n, now, now, 1_000) > 0
    for _ in range(3):
        shop.sql("UPDATE item SET price = price + 1 WHERE id = 1")
        shop.agent.round()
    top = shop.relay.head().n
    assert shop.relay.purge(top, now, now, 4) > 0
    with psycopg.connect(shop.relay_dsn) as relay:
        assert relay.execute("SELECT min(n) FROM relay.tick").fetchone() < (top - 4,)  # type: ignore[operator]
        assert relay.execute("SELECT count(DISTINCT n) FROM relay.payload WHERE n > %s", [top - 3]).fetchone() == (3,)
    shop.settle()
    assert same_items(shop, one)


class _PurgedMeanwhile(BranchRelay):
    """The till's relay, which is purged between the question whether it knows the till's tick and the next one."""

    meanwhile: Callable[[], None]

    def pull(self, after: int, snapshot_streams: Sequence[int], ticks_max: int) -> list[tuple[TickHead, list[Part]]]:
        self.meanwhile()
        return super().pull(after, snapshot_streams, ticks_max)


def test_a_purge_while_a_till_pulls_leaves_it_no_gap(shop: Shop) -> None:
    stocked(shop)
    one = shop.till("T1", "B1")
    shop.settle()
    for number in (1, 2, 3, 4):
        shop.sql("UPDATE item SET price = 77 WHERE id = %s", number)
        shop.agent.round()
    top = shop.relay.head().n
    now = shop.world.now()
    with closing(one.relay()) as relay:
        relay.__class__ = _PurgedMeanwhile
        relay.meanwhile = lambda: shop.relay.purge(top - 1, now, now, 100)  # type: ignore[attr-defined]
        with closing(open_till(one.file)) as db:
            pull.pull(db, relay, shop.world)
    shop.settle()
    assert same_items(shop, one)


def test_parts_of_an_upload_that_was_never_finished_go(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    for number in range(3):
        one.sql("INSERT INTO closure VALUES (?, '2024-03-01', 100)", number)
    one.settings = one.settings.model_copy(update={"part_rows_max": 1})
    one.restart(dying_at(shop.world, "push.part"))
    with pytest.raises(Died):
        one.sync()
    one.restart(shop.world)
    shop.settle()
    assert at_relay(shop, "upload WHERE taken_at IS NULL") == 1
    ages(shop, 40)
    purged(shop)
    assert at_relay(shop, "upload WHERE taken_at IS NULL") == 0
    assert shop.sql("SELECT total FROM turnover") == [(300,)]


def test_an_old_backup_of_a_till_is_refused_rather_than_taken_twice(shop: Shop, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    sell_one_by_one(shop, one, 1)
    backup = copy_of(one, tmp_path / "backup.db")
    sell_one_by_one(shop, one, 2, 3)
    ages(shop, 500)
    sell_one_by_one(shop, one, 4)
    assert purged(shop)["inbound"] > 0
    put_back(one, backup)
    sell(one, 9)
    for _ in range(3):
        one.sync()
        report = shop.agent.round()
    assert "TS-316" in report.refused.get("T1", "")
    assert shop.sql("SELECT sum(total) FROM turnover") == [(400,)]


@pytest.mark.parametrize(("gone", "is_taken"), [("seq < 4", True), ("seq = 3", False)])
def test_a_till_may_send_all_that_it_has_where_head_office_remembers_all_of_that(
    shop: Shop, pg: Server, gone: str, is_taken: bool
) -> None:
    """Head office comes back from a backup, and what it had last merged then is gone from the till's changelog."""
    one = shop.till("T1", "B1")
    sell_one_by_one(shop, one, 1, 2)
    ages(shop, 500)
    sell_one_by_one(shop, one, 3)
    assert purged(shop)["inbound"] > 0
    machine = Machine(shop, pg, "office")
    machine.back_up()
    sell_one_by_one(shop, one, 4, 5)
    one.sql(f"DELETE FROM tillsync_changelog WHERE {gone}")
    shop.relay.purge(0, shop.world.now(), shop.world.now(), 100)  # but for the upload of closure 5
    machine.restore()
    shop.settle()
    sell_one_by_one(shop, one, 6)
    merged = 6 if is_taken else 3
    assert shop.sql("SELECT count(*), sum(total) FROM closure") == [(merged, merged * 100)]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(merged * 100,)]
    assert (at_relay(shop, "upload WHERE taken_at IS NULL") == 0) == is_taken
    assert ("TS-316" in shop.agent.round().refused.get("T1", "")) != is_taken


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
    purged(shop)
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
        assert purged(shop)["ticks"] > 0


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
    scanned, locks = looked_at(crowded)
    assert scanned == [], "an idle round reads a log through its index"
    assert locks <= 2 * 400 + 10


def looked_at(shop: Shop) -> tuple[list[str], int]:
    """Which logs the idle round's statement scans as planned for it, and how many locks it takes in shared memory."""
    shop.sql("ANALYZE tillsync.log_t0")  # a log of one page is cheaper to scan today, and the plan is kept
    with shop.conn.transaction():
        for statement in span.prepare_changes(shop.prepared.captured):
            shop.conn.execute(statement)
        shop.conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        shop.conn.execute(assets.query("central.seek"))
        ((now,),) = shop.sql("SELECT pg_current_snapshot()::text")
        later = span.changes(span.Span(now, now))
        plan = shop.conn.execute(sql.SQL("EXPLAIN {}").format(later)).fetchall()
        shop.conn.execute(later)
        ((locks,),) = shop.sql("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'")
    return [line for (line,) in plan if "Seq Scan" in line], locks


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_b85_many_branches_poll(shop: Shop, count: int) -> None:
    stocked(shop)
    logins = [
        branches.add(
            shop.conn, shop.relay, shop.prepared, shop.world, f"T{n}", {"branch_id": f"B{n % 3 + 1}"}, shop.relay_dsn
        )
        for n in range(count)
    ]
    shop.agent.round()
    polls = [0.0]
    for dsn in logins:
        with closing(connect_branch(dsn)) as relay:
            hello = relay.hello()
            began = shop.world.monotonic()
            relay.hello()
            polls.append(shop.world.monotonic() - began)
            relay.want_snapshot([s for s, _ in hello.streams])
    shop.agent.round()
    for dsn in logins[:: count // 5]:
        with closing(connect_branch(dsn)) as relay:
            streams = [s for s, _ in relay.hello().streams]
            assert set(relay.snapshots()) == set(streams)
            assert relay.pull(0, streams, 100)
    assert sorted(polls)[count // 2] < 0.02


def test_an_upload_is_only_purged_when_it_was_taken(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    one.sync()
    ages(shop, 100)
    purged(shop)
    assert at_relay(shop, "upload WHERE taken_at IS NULL") == 1
    shop.settle()
    assert shop.sql("SELECT count(*) FROM closure") == [(1,)]
