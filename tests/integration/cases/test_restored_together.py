"""Head office and the relay come back from backups: of the same moment, as those of one machine do, or one of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from orchestrator.central import schema
from orchestrator.core.world import World
from orchestrator.demo.databases import Server
from orchestrator.postgres import connect
from orchestrator.settings import CentralSettings
from tests.integration.cases.shop import CHANNELS, Died, Shop, dying_at
from tests.integration.cases.test_restores import copy_of, put_back, sell_one_by_one


def copied(server: Server, name: str, to: str) -> None:
    """One database becomes a copy of another, as a restore of the machine would make it."""
    with closing(psycopg.connect(server.dsn(), autocommit=True)) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(to)))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(to), sql.Identifier(name)))


class Machine:
    """Where both databases live, or one of them. They are copied while nobody is connected."""

    def __init__(self, shop: Shop, server: Server, *which: str) -> None:
        self.shop, self.server = shop, server
        self.central_dsn = shop.conn.info.dsn + f" password={shop.conn.info.password}"
        self.named = {"office": shop.conn.info.dbname, "relay": str(conninfo_to_dict(shop.relay_dsn)["dbname"])}
        self.names = [self.named[one] for one in which or self.named]

    def back_up(self) -> None:
        self.copy({name: f"{name}_backup" for name in self.names})

    def restore(self) -> None:
        self.copy({f"{name}_backup": name for name in self.names})
        for name in self.names:
            with closing(psycopg.connect(self.server.dsn(), autocommit=True)) as admin:
                admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(f"{name}_backup")))

    def copy(self, copies: dict[str, str]) -> None:
        """Databases by the names of what they are copied to."""
        for till in self.shop.tills.values():
            till.agent.close()
        self.shop.agent.close()
        self.shop.relay.close()
        self.shop.conn.close()
        for name, to in copies.items():
            copied(self.server, name, to)
        self.shop.conn = connect(self.central_dsn, "head office")
        self.shop.restart()
        for till in self.shop.tills.values():
            till.restart()


def test_what_was_answered_after_the_backup_is_sent_again(shop: Shop, pg: Server) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    machine = Machine(shop, pg)
    machine.back_up()
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, NULL)")
    shop.settle()
    assert shop.sql("SELECT sum(total) FROM turnover") == [(100,)]
    machine.restore()
    assert shop.sql("SELECT sum(total) FROM turnover") == [(None,)]
    one.sql("INSERT INTO closure VALUES (2, '2024-03-02', 50)")
    shop.settle()
    assert shop.sql("SELECT number, total FROM closure ORDER BY 1") == [(1, 100), (2, 50)]
    assert shop.sql("SELECT id FROM contact") == one.sql("SELECT id FROM contact") == [("c1",)]


def test_a_till_that_first_sent_after_head_offices_backup_sends_it_all_again(shop: Shop, pg: Server) -> None:
    """Head office knows nothing of it, and the relay what it was answered before: that counts no more."""
    one = shop.till("T1", "B1")
    shop.settle()
    machine = Machine(shop, pg, "office")
    machine.back_up()
    sell_one_by_one(shop, one, 1, 2)
    shop.relay.purge(0, shop.world.now(), shop.world.now(), 100)
    with closing(psycopg.connect(shop.relay_dsn, autocommit=True)) as relay:
        relay.execute("UPDATE relay.upload SET taken_at = taken_at - interval '1 hour'")
    machine.restore()
    shop.agent.round()  # a tick of another epoch, in which nothing is said of the till
    one.sql("INSERT INTO closure VALUES (3, '2024-03-01', 100)")
    shop.settle()
    assert shop.sql("SELECT number FROM closure ORDER BY 1") == [(1,), (2,), (3,)]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(300,)]
    assert one.sql("SELECT ack_seq FROM tillsync_state") == [(3,)]


def test_a_till_of_another_life_than_both_remember_sends_all_that_it_has(
    shop: Shop, pg: Server, tmp_path: Path
) -> None:
    """The till came back from a backup after theirs was made, and was answered for what they then lost."""
    one = shop.till("T1", "B1")
    shop.settle()
    backup = copy_of(one, tmp_path / "yesterday.db")
    sell_one_by_one(shop, one, 1)
    machine = Machine(shop, pg)
    shop.relay.purge(shop.relay.head().n, shop.world.now(), shop.world.now(), 100)
    machine.back_up()
    put_back(one, backup)
    for number in (2, 3):
        one.sql("INSERT INTO contact VALUES (?, ?, 'Ann', NULL, NULL)", f"c{number}", str(number))
        shop.settle()
    machine.restore()
    one.sql("INSERT INTO contact VALUES ('c4', '4', 'Ann', NULL, NULL)")
    shop.settle()
    assert [c for (c,) in shop.sql("SELECT id FROM contact ORDER BY 1")] == ["c2", "c3", "c4"]
    assert [c for (c,) in one.sql("SELECT id FROM contact ORDER BY 1")] == ["c2", "c3", "c4"]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(100,)]


def test_merges_of_after_the_newest_tick_that_a_standby_lacks_are_made_again(shop: Shop, pg: Server) -> None:
    """The ticks agree, so there is no new epoch; the relay knows the uploads as merged."""
    one = shop.till("T1", "B1")
    shop.settle()
    machine = Machine(shop, pg, "office")
    machine.back_up()
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    one.sync()
    shop.restart(dying_at(shop.world, "publish.routed"))
    with pytest.raises(Died):
        shop.agent.round()
    assert shop.sql("SELECT sum(total) FROM turnover") == [(100,)]
    machine.restore()
    shop.settle()
    assert shop.sql("SELECT sum(total) FROM turnover") == [(100,)]
    assert one.sql("SELECT ack_seq FROM tillsync_state") == [(1,)]
    shop.restart()
    assert shop.agent.round().uploads == 0, "what is known is not offered again"


def test_a_relay_that_comes_back_with_a_tills_former_life_is_no_second_machine(
    shop: Shop, pg: Server, tmp_path: Path
) -> None:
    """Nor where the till has never seen all of that life, since the relay had purged it."""
    one = shop.till("T1", "B1")
    shop.settle()
    backup = copy_of(one, tmp_path / "yesterday.db")
    for number in (1, 2):
        one.sql("INSERT INTO closure VALUES (?, '2024-03-01', 100)", number)
        one.sync()
    machine = Machine(shop, pg, "relay")
    machine.back_up()
    shop.settle()
    shop.relay.purge(0, shop.world.now(), shop.world.now(), 100)
    put_back(one, backup)
    one.sql("INSERT INTO closure VALUES (3, '2024-03-01', 100)")  # in the place of closure 1
    shop.settle()
    machine.restore()
    one.sql("INSERT INTO closure VALUES (4, '2024-03-01', 100)")
    shop.settle()
    assert shop.sql("SELECT number FROM closure ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    assert one.sql("SELECT number FROM closure ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(400,)]


def test_what_was_parked_in_a_history_that_is_lost_is_parked_no_more(shop: Shop, pg: Server) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    machine = Machine(shop, pg)
    machine.back_up()
    shop.sql("INSERT INTO contact VALUES ('c0', '1', 'Ann', NULL, NULL)")
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Bea', NULL, NULL)")
    shop.settle()
    assert one.sql("SELECT count(*) FROM tillsync_held") == [(1,)]
    machine.restore()
    shop.settle()
    assert shop.sql("SELECT id FROM contact") == [("c1",)]
    shop.sql("UPDATE contact SET name = 'Bea B.'")
    shop.settle()
    assert one.sql("SELECT id, name FROM contact") == [("c1", "Bea B.")]
    assert one.sql("SELECT count(*) FROM tillsync_held") == [(0,)]


def test_a_plan_that_head_office_has_lost_is_outnumbered(shop: Shop, pg: Server) -> None:
    """Tills have it under a number that head office gives to another plan now."""
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO item VALUES (1, 'c1', 'one', 1); INSERT INTO branch_item VALUES ('B1', 1)")
    shop.settle()
    machine = Machine(shop, pg, "office")
    machine.back_up()
    apply(shop, without("item", "code"))
    shop.settle()
    machine.restore()
    apply(shop, without("item", "name"))
    shop.settle()
    assert shop.sql("SELECT max(version) FROM tillsync.plan") == [(3,)]
    shop.sql("UPDATE item SET code = 'c1x', price = 2")
    shop.settle()
    assert one.sql("SELECT plan_version FROM tillsync_state") == [(3,)]
    assert one.sql("SELECT code, price FROM item") == [("c1x", 2)]


def without(table: str, column: str) -> list[dict[str, Any]]:
    """The cases' channels, without a column of one table's."""
    channels = copy.deepcopy(CHANNELS)
    (found,) = (t for channel in channels for t in channel["table"] if t["name"] == table)
    found["exclude"] = [column]
    return channels


def apply(shop: Shop, channels: list[dict[str, Any]]) -> None:
    given = shop.settings.model_dump(exclude={"channel"}) | {"channel": channels}
    shop.settings = CentralSettings.model_validate(given)
    shop.prepared = schema.prepare(shop.conn, shop.settings)
    schema.install(shop.conn, shop.prepared)
    shop.restart()


@pytest.mark.parametrize("idle", [False, True], ids=["", "and no tick"])
@pytest.mark.parametrize(
    ("since", "earlier"),
    [("", False), ("", True), ("ALTER TABLE sales_order DROP COLUMN note", False)],
    ids=["the old", "the old, by a till's earlier version", "another of its number"],
)
def test_a_till_that_has_a_plan_which_both_have_lost_takes_head_offices(
    shop: Shop, pg: Server, since: str, idle: bool, earlier: bool
) -> None:
    """Also where the till's file is of a version that did not note which plan it took."""
    one, two = shop.till("T1", "B1"), shop.till("T2", "B1")
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', 'a@b', 'Bath')")
    shop.settle()
    machine = Machine(shop, pg)
    machine.back_up()
    shop.sql("ALTER TABLE contact DROP COLUMN city")
    if idle:
        shop.restart(dying_at(shop.world, "publish.routed"))
        with pytest.raises(Died):
            shop.agent.round()
        one.sync()
    else:
        shop.settle(one)
    assert one.sql("SELECT plan_version FROM tillsync_state") == [(2,)]
    one.sql("UPDATE contact SET city = 'York' WHERE id = 'c1'")
    if earlier:
        for column in ("plan_digest", "plan_top"):
            one.sql(f"ALTER TABLE tillsync_watch DROP COLUMN {column}")
    machine.restore()
    if since:
        shop.sql(since)
        shop.agent.round()  # while the tills are away
    shop.settle()
    contacts = "SELECT id, phone, name, email, city FROM contact ORDER BY id"
    assert one.sql(contacts) == shop.sql(contacts), "York was written while the plan had no city"
    two.sql("INSERT INTO contact VALUES ('c2', '2', 'Bo', 'x@y', 'Ely')")
    shop.settle()
    assert one.sql(contacts) == two.sql(contacts) == shop.sql(contacts)
    one.sql("UPDATE contact SET city = 'Hull' WHERE id = 'c2'")
    shop.settle()
    assert shop.sql("SELECT city FROM contact WHERE id = 'c2'") == two.sql("SELECT city FROM contact WHERE id = 'c2'")
    assert shop.sql("SELECT city FROM contact WHERE id = 'c2'") == [("Hull",)]


@pytest.mark.parametrize("channels", [CHANNELS, CHANNELS[-1:]], ids=["", "a till that only sends"])
def test_a_till_keeps_its_plan_where_the_relay_alone_has_lost_it(
    database: Callable[..., str], world: World, tmp_path: Path, pg: Server, channels: list[dict[str, Any]]
) -> None:
    """What the till writes of a table that an older plan did not have would go unseen."""
    shop = Shop(database, world, tmp_path, channels=channels)
    with closing(shop):
        one = shop.till("T1", "B1")
        one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
        shop.settle()
        machine = Machine(shop, pg, "relay")
        machine.back_up()
        shop.sql("ALTER TABLE closure ADD COLUMN cashier text")
        shop.settle()
        machine.restore()
        for _ in range(3):
            one.sync()
            assert one.sql("SELECT plan_version FROM tillsync_state") == [(2,)]
        one.sql("INSERT INTO closure VALUES (2, '2024-03-02', 50)")
        shop.settle()
        assert one.sql("SELECT plan_version FROM tillsync_state") == [(2,)]
        assert shop.sql("SELECT number, total FROM closure ORDER BY 1") == [(1, 100), (2, 50)]
