"""The relay through PgBouncer in transaction mode: no session, no options, and a pooler that dies in mid-push."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.central import branches
from orchestrator.core.world import World, real_world
from orchestrator.errors import PersonMustDecide, Unreachable
from orchestrator.postgres import conninfo
from orchestrator.relay import schema as relay_schema
from orchestrator.relay.client import connect_branch, connect_central
from orchestrator.settings import DatabaseSettings
from orchestrator.till.agent import TillAgent
from tests.integration.cases.shop import Shop, Till
from tests.integration.pooler import Pooler

LOCKED_SECONDS = 10


class Pooled(Shop):
    """A shop whose central and tills know the relay by its pooler only."""

    def __init__(self, database: Callable[..., str], world: World, directory: Path) -> None:
        super().__init__(database, world, directory)
        self.relay.close()
        self.agent.close()
        self.admin_dsn = self.relay_dsn
        dbname = str(conninfo_to_dict(self.admin_dsn)["dbname"])
        login = {"user": f"hq_{dbname}", "password": "the password of head office"}
        relay_schema.install(self.admin_dsn, make_conninfo(self.admin_dsn, **login))
        self.pooler = Pooler(self.admin_dsn).start()
        self.relay_dsn = self.pooler.dsn(**login)
        self.relay = connect_central(self.relay_dsn)
        relay = self.settings.relay.model_copy(update={"dsn": self.relay_dsn})
        self.settings = self.settings.model_copy(update={"relay": relay})
        self.restart()

    def close(self) -> None:
        super().close()
        self.pooler.remove()

    def reconnect(self) -> None:
        """Forget the connections that died, as a service does in the round after the one that finds them dead."""
        self.relay.close()
        self.restart()
        for till in self.tills.values():
            till.restart()

    @contextmanager
    def locked(self, table: str) -> Iterator[Callable[[], None]]:
        """A relay's table that nobody else can write to for now; yields what waits until somebody tries."""
        with psycopg.connect(self.admin_dsn) as holder, psycopg.connect(self.admin_dsn, autocommit=True) as eye:
            holder.execute(f"LOCK TABLE relay.{table} IN EXCLUSIVE MODE".encode())

            def wait() -> None:
                until = time.monotonic() + LOCKED_SECONDS
                while eye.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
                    assert time.monotonic() < until, "nobody came to the locked table"
                    time.sleep(0.01)

            yield wait

    def at_rest(self) -> None:
        """Wait until nobody is in the middle of a statement at the relay: what a dead pooler left behind has ended."""
        active = b"""SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"""
        with psycopg.connect(self.admin_dsn, autocommit=True) as eye:
            until = time.monotonic() + LOCKED_SECONDS
            while eye.execute(active).fetchone() != (0,):
                assert time.monotonic() < until, "somebody is still at work at the relay"
                time.sleep(0.01)


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooled]:
    made = Pooled(module_database, real_world(), tmp_path_factory.mktemp("pooled"))
    for number in range(1, 21):
        made.sql("INSERT INTO item VALUES (%s, %s, %s, 1.5)", number, f"c{number}", f"Item {number}")
        made.sql("INSERT INTO branch_item VALUES ('B1', %s)", number)
    made.till("T1", "B1")
    made.settle()
    yield made
    made.close()


def fails(call: Callable[[], Any], failures: list[BaseException]) -> None:
    try:
        call()
    except BaseException as e:
        failures.append(e)


def in_the_midst(call: Callable[[], Any], until: Callable[[], None], then: Callable[[], None]) -> BaseException | None:
    """Does `then` while `call` waits for an answer; how that ended."""
    failures: list[BaseException] = []
    caller = threading.Thread(target=fails, args=(call, failures))
    caller.start()
    try:
        until()
        then()
    finally:
        caller.join(LOCKED_SECONDS)
    assert not caller.is_alive()
    return failures[0] if failures else None


def test_a_chain_works_both_ways_though_the_pooler_refuses_options(shop: Pooled) -> None:
    till = shop.tills["T1"]
    assert "unsupported startup parameter: options" in shop.pooler.log()
    assert till.sql("SELECT count(*), min(name) FROM item") == [(20, "Item 1")]
    till.sql("INSERT INTO closure VALUES (1, '2026-01-02', 12.5)")
    till.sql("INSERT INTO sales_order VALUES ('o1', 'B1', 'B1-1', 'draft', NULL, 3)")
    for price in range(8):  # more often than a statement needs to be prepared by itself
        shop.sql("UPDATE item SET price = %s", price)
        shop.sync()
    shop.settle()
    assert shop.sql("SELECT total FROM turnover WHERE till = 'T1'") == [(12.5,)]
    assert till.sql("SELECT DISTINCT price FROM item") == [(7,)]
    assert shop.sql("SELECT id, status FROM sales_order") == [("o1", "draft")]


def test_a_reload_and_a_tick_in_parts_pass_the_pooler(shop: Pooled) -> None:
    till = shop.tills["T1"]
    notes = "x" * 40_000
    shop.sql(
        "INSERT INTO sales_order SELECT 'big' || g, 'B1', g, 'draft', %s || g, 1 FROM generate_series(1, 40) g", notes
    )
    till.sql("DELETE FROM item WHERE id = 3")
    shop.settle()
    assert till.sql("SELECT count(*) FROM sales_order WHERE id LIKE 'big%' AND length(note) > 40000") == [(40,)]
    streams = [number for number, _ in connected_streams(till)]
    shop.relay.put_reload("T1", streams, shop.relay.head().n)
    shop.settle()
    assert till.sql("SELECT count(*) FROM item") == [(20,)]


def connected_streams(till: Till) -> tuple[tuple[int, str], ...]:
    relay = till.relay()
    try:
        return relay.hello().streams
    finally:
        relay.close()


def test_a_pooler_that_drops_options_without_a_word_is_as_good(shop: Pooled) -> None:
    silent = Pooler(shop.admin_dsn, more="ignore_startup_parameters = options").start()
    try:
        till = shop.tills["T1"]
        login = {k: str(v) for k, v in conninfo_to_dict(till.dsn).items() if k in {"user", "password"}}
        till.agent.close()
        settings = till.settings.model_copy(update={"relay": DatabaseSettings(dsn=silent.dsn(**login))})
        till.agent = TillAgent(settings, till.world)
        shop.sql("UPDATE item SET price = 99 WHERE id = 1")
        shop.settle()
        assert till.sql("SELECT price FROM item WHERE id = 1") == [(99,)]
        assert "unsupported" not in silent.log()
    finally:
        till.restart()
        silent.remove()


def test_a_push_is_durable_whatever_the_server_defaults_to(shop: Pooled) -> None:
    till = shop.tills["T1"]
    with psycopg.connect(till.dsn, prepare_threshold=None) as conn:
        conn.execute("SET LOCAL synchronous_commit = off")
        conn.execute("SELECT relay.push(99, 0, false, 0, 0, 1, 1, '')")
        assert conn.execute("SHOW synchronous_commit").fetchone() == ("on",)
        conn.rollback()


def test_a_pooler_that_is_killed_in_mid_push_costs_and_doubles_nothing(shop: Pooled) -> None:
    till = shop.tills["T1"]
    before = shop.sql("SELECT total FROM turnover WHERE till = 'T1'")[0][0]
    till.sql("INSERT INTO closure VALUES (2, '2026-01-03', 100)")
    with shop.locked("upload") as wait:
        ended = in_the_midst(till.sync, wait, shop.pooler.kill)
    assert isinstance(ended, Unreachable), ended
    with pytest.raises(Unreachable):
        till.sync()
    shop.at_rest()
    with psycopg.connect(shop.admin_dsn) as eye:  # the relay took it: what is lost is the answer alone
        waiting = eye.execute("SELECT count(*) FROM relay.upload WHERE node = 'T1' AND taken_at IS NULL").fetchone()
    assert waiting == (1,)
    shop.pooler.start()
    shop.reconnect()
    shop.settle()
    assert shop.sql("SELECT total FROM turnover WHERE till = 'T1'") == [(before + 100,)]
    assert shop.sql("SELECT count(*) FROM closure WHERE till = 'T1'") == [(2,)]


def test_a_pooler_that_is_killed_while_central_publishes_leaves_no_gap(shop: Pooled) -> None:
    till = shop.tills["T1"]
    shop.sql("UPDATE item SET price = 41")
    with shop.locked("tick") as wait:
        ended = in_the_midst(shop.agent.round, wait, shop.pooler.kill)
    assert isinstance(ended, Unreachable), ended
    shop.at_rest()
    shop.sql("UPDATE item SET price = 42 WHERE id = 2")
    shop.pooler.start()
    shop.reconnect()
    shop.settle()
    assert till.sql("SELECT DISTINCT price FROM item WHERE id <> 2") == [(41,)]
    assert till.sql("SELECT price FROM item WHERE id = 2") == [(42,)]


def test_a_relay_that_says_nothing_behind_its_pooler_is_given_up(shop: Pooled) -> None:
    till = shop.tills["T1"]
    impatient = DatabaseSettings(dsn=till.dsn, statement_timeout_seconds=0.5)
    relay = connect_branch(conninfo(impatient))
    try:
        assert relay.hello().node == "T1"
        shop.pooler.signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"TS-400.*it said nothing for 0\.5 s"):
            relay.hello()
        assert time.monotonic() - began < 2
        shop.pooler.signal(signal.SIGCONT)
        assert relay.hello().node == "T1"
    finally:
        shop.pooler.signal(signal.SIGCONT)
        relay.close()


def test_many_tills_share_few_connections(shop: Pooled) -> None:
    few = Pooler(shop.admin_dsn, more="max_db_connections = 3").start()
    direct, shop.relay_dsn = shop.relay_dsn, few.dsn()
    try:
        dsns = [
            branches.add(shop.conn, shop.relay, shop.prepared, shop.world, f"F{n}", {"branch_id": "B2"}, few.dsn())
            for n in range(12)
        ]
        relays = [connect_branch(dsn) for dsn in dsns]
        for _ in range(3):
            assert [relay.hello().node for relay in relays] == [f"F{n}" for n in range(12)]
        assert few.servers() <= 3
        for relay in relays:
            relay.close()
    finally:
        shop.relay_dsn = direct
        few.remove()


def test_a_rotated_or_retired_account_is_refused_through_the_pooler_at_once(shop: Pooled) -> None:
    till = shop.till("T9", "B1")
    shop.settle(till)
    shop.relay.drop_account("T9")
    with pytest.raises(PersonMustDecide, match=r"TS-40[12]"):
        till.sync()
    till.restart()
    with pytest.raises(PersonMustDecide, match="TS-401"):
        till.sync()
    till.close()
    del shop.tills["T9"]


def test_the_pooler_learns_of_our_logins_alone(shop: Pooled) -> None:
    with psycopg.connect(shop.admin_dsn, autocommit=True) as admin:
        superuser = admin.execute("SELECT current_user").fetchone()
        told = "SELECT count(*) FROM relay_pooler.verifier(%s)"
        assert superuser is not None
        assert admin.execute(told, superuser).fetchone() == (0,)
        user = conninfo_to_dict(shop.tills["T1"].dsn)["user"]
        assert admin.execute(told, [user]).fetchone() == (1,)
    with (
        psycopg.connect(shop.tills["T1"].dsn, prepare_threshold=None) as branch,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        branch.execute(told, [user])
