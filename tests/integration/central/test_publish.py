"""Publishing against real databases: order by snapshots, membership by the ledger, crashes between any two steps."""

from __future__ import annotations

import msgspec
import psycopg
import pytest

from orchestrator.central import schema
from orchestrator.central.publish import Publisher
from orchestrator.postgres import connect
from tests.integration.central.chain import Chain, Mirror

KEYS = {
    "public.item": ("id",),
    "public.price_list": ("id",),
    "public.price": ("list_id", "item_id"),
    "public.customer_order": ("id",),
}


def tills(chain: Chain) -> tuple[Mirror, Mirror]:
    mirrors = Mirror(chain.branch("T1", 1)), Mirror(chain.branch("T2", 2))
    for mirror in mirrors:
        mirror.follow(KEYS)
    chain.publisher.publish()
    follow(*mirrors)
    return mirrors


def follow(*mirrors: Mirror) -> None:
    for mirror in mirrors:
        mirror.follow(KEYS)


def sync(chain: Chain, *mirrors: Mirror) -> None:
    chain.publisher.publish()
    follow(*mirrors)


def ids(mirror: Mirror, table: str = "item") -> set[object]:
    return {key[0] if len(key) == 1 else key for key in mirror.rows.get(f"public.{table}", {})}


def test_a_row_goes_to_the_stores_that_selected_it_and_nowhere_else(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (1, 'A', 'Apple', 1.5, 0.9), (2, 'B', 'Bread', 2, 1)")
    chain.conn.execute("INSERT INTO item_store VALUES (1, 1), (2, 2)")
    sync(chain, one, two)
    assert ids(one) == {1}
    assert ids(two) == {2}
    assert one.rows["public.item"][(1,)] == {"id": 1, "code": "A", "name": "Apple", "price": "1.5000", "active": True}


def test_nothing_to_tell_makes_no_tick(chain: Chain) -> None:
    tills(chain)
    assert chain.publisher.publish() is None
    chain.conn.execute("INSERT INTO item VALUES (1, 'A', 'Apple', 1.5, 0.9)")
    chain.publisher.publish()
    chain.conn.execute("UPDATE item SET name = name, purchase_price = 7")  # nothing that any till holds
    assert chain.publisher.publish() is None


def test_b05_a_row_that_leaves_the_filter_goes_with_its_children(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO price_list VALUES (7, 1, 'Spring')")
    chain.conn.execute("INSERT INTO price VALUES (7, 1, 1), (7, 2, 2), (7, 3, 3)")
    sync(chain, one, two)
    assert ids(one, "price") == {(7, 1), (7, 2), (7, 3)}
    chain.conn.execute("UPDATE price_list SET store_id = 2 WHERE id = 7")
    sync(chain, one, two)
    assert (ids(one, "price_list"), ids(one, "price")) == (set(), set())
    assert (ids(two, "price_list"), ids(two, "price")) == ({7}, {(7, 1), (7, 2), (7, 3)})


def test_b06_a_row_enters_and_leaves_by_a_change_of_another_table(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (5, 'E', 'Eggs', 3, 2)")
    sync(chain, one, two)
    assert ids(two) == set()
    chain.conn.execute("INSERT INTO item_store VALUES (5, 2)")
    sync(chain, one, two)
    assert ids(two) == {5}
    chain.conn.execute("DELETE FROM item_store WHERE item_id = 5")
    sync(chain, one, two)
    assert ids(two) == set()
    assert one.keys_seen.get("public.item", set()) == set()


def test_b07_a_delete_reaches_who_held_the_row_and_nobody_else(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO price_list VALUES (7, 1, 'Spring')")
    sync(chain, one, two)
    chain.conn.execute("DELETE FROM price_list WHERE id = 7")
    sync(chain, one, two)
    assert ids(one, "price_list") == set()
    assert (7,) not in two.keys_seen.get("public.price_list", set())


def test_the_proof_of_membership_and_the_row_go_in_one_transaction(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (1, 'A', 'Apple', 1, 1)")
    chain.conn.execute("INSERT INTO item_store VALUES (1, 1)")
    sync(chain, one, two)
    with chain.conn.transaction():
        chain.conn.execute("DELETE FROM item_store")
        chain.conn.execute("DELETE FROM item")
    sync(chain, one, two)
    assert ids(one) == set()


def test_b14_update_then_delete_and_insert_delete_insert(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (5, 'E', 'Eggs', 3, 2)")
    chain.conn.execute("INSERT INTO item_store VALUES (5, 1), (6, 1)")
    sync(chain, one, two)
    with chain.conn.transaction():
        chain.conn.execute("UPDATE item SET name = 'gone' WHERE id = 5")
        chain.conn.execute("DELETE FROM item WHERE id = 5")
    chain.conn.execute("INSERT INTO item VALUES (6, 'F', 'Fish', 1, 1)")
    chain.conn.execute("DELETE FROM item WHERE id = 6")
    chain.conn.execute("INSERT INTO item VALUES (6, 'F', 'Fish', 1, 1)")
    chain.conn.execute("UPDATE item SET name = 'Fresh fish' WHERE id = 6")
    sync(chain, one, two)
    assert ids(one) == {6}
    assert one.rows["public.item"][(6,)]["name"] == "Fresh fish"


def test_a_truncated_table_leaves_every_till(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO price_list VALUES (7, 1, 'Spring'), (8, 2, 'Autumn')")
    chain.conn.execute("INSERT INTO price VALUES (7, 1, 1), (8, 2, 2)")
    sync(chain, one, two)
    chain.conn.execute("TRUNCATE price_list CASCADE")
    chain.conn.execute("INSERT INTO price_list VALUES (8, 2, 'Autumn')")
    sync(chain, one, two)
    assert [ids(m, t) for m in (one, two) for t in ("price_list", "price")] == [set(), set(), {8}, set()]


def test_b01_a_transaction_held_open_delays_itself_and_nobody_else(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (1, 'A', 'a', 1, 1), (2, 'B', 'b', 1, 1), (3, 'C', 'c', 1, 1)")
    chain.conn.execute("INSERT INTO item_store VALUES (1, 1), (2, 1), (3, 1)")
    sync(chain, one, two)
    with connect(chain.central_dsn, "slow", autocommit=False) as slow:
        slow.execute("UPDATE item SET name = 'slow' WHERE id = 1")
        for run in range(20):
            chain.conn.execute("UPDATE item SET name = %s WHERE id = 2", [f"fast {run}"])
            sync(chain, one, two)
            assert one.rows["public.item"][(2,)]["name"] == f"fast {run}"
            assert one.rows["public.item"][(1,)]["name"] == "a"
        slow.commit()
        sync(chain, one, two)
        assert one.rows["public.item"][(1,)]["name"] == "slow"
        slow.execute("UPDATE item SET name = 'undone' WHERE id = 3")
        slow.rollback()
    assert chain.publisher.publish() is None


@pytest.mark.parametrize("point", ["publish.routed", "publish.intent", "publish.relay"])
def test_a_crash_between_any_two_steps_of_publishing_loses_and_doubles_nothing(chain: Chain, point: str) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (1, 'A', 'a', 1, 1), (2, 'B', 'b', 1, 1)")
    chain.conn.execute("INSERT INTO item_store VALUES (1, 1), (2, 2)")
    sync(chain, one, two)
    for moved in (2, 1, 2):
        chain.conn.execute("UPDATE item_store SET store_id = %s WHERE item_id = 1", [moved])
        _dies(chain, point)
        follow(one, two)
        sync(chain, one, two)
        assert (1 in ids(one), 1 in ids(two)) == (moved == 1, moved == 2)
    assert ids(two) == {1, 2}


class _Died(Exception):
    pass


def _dies(chain: Chain, point: str) -> None:
    def crash(at: str) -> None:
        if at == point:
            raise _Died

    doomed = type(chain.world)(chain.world.now, chain.world.monotonic, chain.world.random63, chain.world.sleep, crash)
    conn = connect(chain.central_dsn, "doomed")
    publisher = Publisher(conn, chain.relay, doomed, chain.prepared, part_rows_max=3)
    with pytest.raises(_Died):
        publisher.publish()
    conn.close()


def test_a_relay_that_lost_its_tail_is_published_to_again(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (1, 'A', 'a', 1, 1), (2, 'B', 'b', 1, 1)")
    chain.conn.execute("INSERT INTO item_store VALUES (1, 1)")
    sync(chain, one, two)
    kept = one.after
    chain.conn.execute("INSERT INTO item_store VALUES (2, 1)")
    chain.publisher.publish()
    chain.conn.execute("DELETE FROM item_store WHERE item_id = 1")
    chain.publisher.publish()
    with connect(chain.relay_dsn, "restore") as relay:
        relay.execute("DELETE FROM relay.payload WHERE n > %s", [kept])
        relay.execute("DELETE FROM relay.tick WHERE n > %s", [kept])
    sync(chain, one, two)
    assert ids(one) == {2}


def test_a_relay_that_was_wiped_gets_a_new_epoch_with_every_stream(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO item VALUES (1, 'A', 'a', 1, 1)")
    chain.conn.execute("INSERT INTO item_store VALUES (1, 1)")
    sync(chain, one, two)
    epoch = one.relay.hello().epoch
    with connect(chain.relay_dsn, "wipe") as relay:
        relay.execute("TRUNCATE relay.payload, relay.tick, relay.ack, relay.want")
    chain.publisher.publish()
    assert one.relay.hello().epoch == epoch + 1
    assert set(one.relay.snapshots()) == {s for s, _ in one.relay.hello().streams}


def test_a_filter_that_changed_ships_the_difference(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("INSERT INTO price_list VALUES (7, 1, 'Spring'), (8, 1, 'old')")
    sync(chain, one, two)
    assert ids(one, "price_list") == {7, 8}
    plan = chain.prepared.plan
    changed = msgspec.structs.replace(
        plan,
        version=plan.version + 1,
        channels=tuple(
            msgspec.structs.replace(
                c,
                tables=tuple(
                    msgspec.structs.replace(t, filter="store_id = :store_id AND name <> 'old'")
                    if t.name == "public.price_list"
                    else t
                    for t in c.tables
                ),
            )
            for c in plan.channels
        ),
    )
    prepared = schema.derived(changed, chain.prepared.catalog)
    schema.install(chain.conn, prepared)
    publisher = Publisher(connect(chain.central_dsn, "replanned"), chain.relay, chain.world, prepared, 3)
    publisher.publish()
    follow(one, two)
    assert ids(one, "price_list") == {7}
    publisher.close()


def test_an_application_role_without_any_right_on_our_schema_writes_as_before(chain: Chain) -> None:
    one, two = tills(chain)
    chain.conn.execute("CREATE ROLE erp_rw; GRANT ALL ON item, item_store TO erp_rw")
    with chain.conn.transaction():
        chain.conn.execute("SET LOCAL ROLE erp_rw; SET LOCAL search_path = ''")
        chain.conn.execute("INSERT INTO public.item VALUES (1, 'A', 'a', 1, 1)")
        chain.conn.execute("INSERT INTO public.item_store VALUES (1, 1)")
    chain.conn.execute("SET ROLE erp_rw")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        chain.conn.execute("SELECT FROM tillsync.log_item")
    chain.conn.execute("RESET ROLE")
    sync(chain, one, two)
    assert ids(one) == {1}
    chain.conn.execute("DROP OWNED BY erp_rw")
