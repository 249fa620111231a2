"""Changes of filters, columns, tables and parameters: foreseen before they are made, and shipped as differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from orchestrator.core import wire
from orchestrator.core.effects import Effect
from orchestrator.errors import PersonMustDecide
from orchestrator.report import objects
from orchestrator.service import office as offices
from orchestrator.service import setup
from orchestrator.settings import CentralSettings
from orchestrator.till import pull
from orchestrator.till.setup import install_till
from tests.integration.cases.shop import CHANNELS, Died, Shop, dying_at

ALL = "id IN (SELECT item_id FROM branch_item b WHERE b.branch_id = :branch_id)"
ITEMS = "SELECT id FROM item ORDER BY id"


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """100 items for B1, and those below 31 for B2."""
    shop.sql("INSERT INTO item SELECT g, 'c' || g, 'item ' || g, g FROM generate_series(1, 100) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 100) g")
    shop.sql("INSERT INTO branch_item SELECT 'B2', g FROM generate_series(1, 30) g")
    shop.till("T1", "B1")
    shop.till("T2", "B2")
    shop.settle()
    return shop


def with_item(shop: Shop, **changed: Any) -> CentralSettings:
    """The settings with the item table described otherwise."""
    item, *others = CHANNELS[0]["table"]
    catalogue = {**CHANNELS[0], "table": [{**item, **changed}, *others]}
    return _with(shop, [catalogue, *CHANNELS[1:]])


def _with(shop: Shop, channels: list[dict[str, Any]]) -> CentralSettings:
    return CentralSettings(
        central={"dsn": shop.settings.central.dsn},
        relay={"dsn": shop.settings.relay.dsn},
        parameters={"branch_id": "text"},
        channel=channels,
    )


def office(shop: Shop) -> offices.Office:
    return offices.Office(shop.settings, shop.world, shop.conn, shop.relay, shop.prepared)


def parts_after(shop: Shop, n: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, document) of every payload of later ticks."""
    with psycopg.connect(shop.relay_dsn) as relay:
        for kind, frame in relay.execute("SELECT kind, frame FROM relay.payload WHERE n > %s ORDER BY n", (n,)):
            yield kind, msgspec.json.decode(wire.unpack(frame))


def of_items(effects: list[Effect]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    return {e.branches: (e.before, e.come, e.go) for e in effects if e.table == "public.item"}


def test_a_filter_that_changes_is_foreseen_and_ships_the_difference_alone(stocked: Shop) -> None:
    settings = with_item(stocked, filter=f"{ALL} AND price > 10")
    _, effects = setup.apply_settings(settings, dry_run=True)
    assert of_items(effects) == {("T1",): (100, 0, 10), ("T2",): (30, 0, 10)}
    assert {e.table for e in effects} == {"public.item"}, "nothing else is touched"
    stocked.settle()
    assert len(stocked.tills["T1"].sql(ITEMS)) == 100
    n = stocked.relay.head().n
    setup.apply_settings(settings)
    stocked.settle()
    for node, last in (("T1", 100), ("T2", 30)):
        assert stocked.tills[node].sql(ITEMS) == [(i,) for i in range(11, last + 1)]
    found = list(parts_after(stocked, n))
    assert {kind for kind, _ in found} == {"delta"}, "no snapshot"
    assert all("put" not in doc for _, doc in found)
    assert sorted(key for _, doc in found for (key,) in doc["cut"]) == sorted([*range(1, 11)] * 2)
    assert sum(e.bytes for e in effects) > 0


def test_many_rows_are_not_taken_away_without_a_word(stocked: Shop) -> None:
    settings = with_item(stocked, filter=f"{ALL} AND price > 60")
    before = stocked.relay.head().n
    with pytest.raises(PersonMustDecide, match=r"TS-146 60 of 100 rows of public.item would go from T1"):
        setup.apply_settings(settings)
    stocked.settle()
    assert stocked.relay.head().n == before
    _, effects = setup.apply_settings(settings, yes=True)
    assert of_items(effects)["T2",] == (30, 0, 30)
    stocked.settle()
    assert stocked.tills["T1"].sql(ITEMS) == [(i,) for i in range(61, 101)]
    assert stocked.tills["T2"].sql(ITEMS) == []


def test_other_columns_are_foreseen_as_rows_that_are_sent_again(stocked: Shop) -> None:
    _, effects = setup.apply_settings(with_item(stocked, exclude=["name"]), dry_run=True)
    assert of_items(effects) == {("T1",): (100, 0, 0), ("T2",): (30, 0, 0)}
    assert {e.branches: e.sent for e in effects} == {("T1",): 100, ("T2",): 30}


def test_a_rehearsal_leaves_nothing_and_waits_for_nobody(stocked: Shop) -> None:
    more = [*CHANNELS, {"name": "more", "direction": "down", "table": [{"name": "branch_item", "till_name": "item"}]}]
    before = objects.listing(stocked.conn, "tillsync")
    holds = stocked.sql("SELECT * FROM tillsync.hold_item ORDER BY 1, 2")
    with psycopg.connect(stocked.settings.central.dsn) as app:
        app.execute("LOCK TABLE item, branch_item IN ROW EXCLUSIVE MODE")
        app.execute("UPDATE item SET price = price + 1 WHERE id = 1")
        _, effects = setup.apply_settings(_with(stocked, more), dry_run=True)
        setup.apply_settings(with_item(stocked, filter="price > 99"), dry_run=True)
    assert {(e.table, e.come, e.sent) for e in effects} == {("public.branch_item", 130, 130)}
    assert not objects.changes(before, objects.listing(stocked.conn, "tillsync"))
    assert stocked.sql("SELECT * FROM tillsync.hold_item ORDER BY 1, 2") == holds


def test_a_branch_that_gets_other_parameters_is_foreseen(stocked: Shop) -> None:
    after, effects = offices.change(office(stocked), "T2", {"branch_id": "B1"}, dry_run=True)
    assert after == {"branch_id": "B1"}
    assert of_items(effects) == {("T1", "T2"): (30, 70, 0)} or of_items(effects) == {("T2",): (30, 70, 0)}
    with pytest.raises(PersonMustDecide, match="TS-146"):
        offices.change(office(stocked), "T1", {"branch_id": "B2"})
    offices.change(office(stocked), "T2", {"branch_id": "B1"})
    stocked.settle()
    assert len(stocked.tills["T2"].sql(ITEMS)) == 100
    offices.change(office(stocked), "T1", {"branch_id": "B2"}, yes=True)
    stocked.settle()
    assert len(stocked.tills["T1"].sql(ITEMS)) == 30


def test_a_table_that_leaves_the_plan_stays_at_the_tills_as_it_is(stocked: Shop) -> None:
    item = CHANNELS[0]["table"][0]
    stocked.sql("INSERT INTO price_list VALUES (1, 'B1', 'retail')")
    stocked.settle()
    _, effects = setup.apply_settings(_with(stocked, [{**CHANNELS[0], "table": [item]}, *CHANNELS[1:]]))
    assert effects == []
    stocked.sql("INSERT INTO price_list VALUES (2, 'B1', 'club')")
    stocked.settle()
    assert stocked.tills["T1"].sql("SELECT id FROM price_list") == [(1,)]
    _, effects = setup.apply_settings(_with(stocked, CHANNELS))
    stocked.settle()
    assert stocked.tills["T1"].sql("SELECT id FROM price_list") == [(1,), (2,)]


def test_a_column_that_left_the_plan_for_a_moment_is_sent_again(stocked: Shop) -> None:
    """The till took the plan without it, and a tick that was made before; head office made none by that plan."""
    one = stocked.tills["T1"]
    stocked.sql("INSERT INTO item VALUES (500, 'c500', 'new', 5)")
    stocked.sql("INSERT INTO branch_item VALUES ('B1', 500)")
    stocked.agent.round()
    setup.install_central(with_item(stocked, exclude=["name"]))
    stocked.restart(dying_at(stocked.world, "publish.routed"))
    with pytest.raises(Died):
        stocked.agent.round()
    one.sync()
    assert one.sql("SELECT name FROM item WHERE id = 500") == [(None,)]
    setup.install_central(with_item(stocked))
    stocked.restart()
    stocked.settle()
    assert one.sql("SELECT name FROM item WHERE id = 500") == [("new",)]


def test_a_plan_that_an_installation_brought_is_no_reason_to_load_anything_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    shop.sql("ALTER TABLE contact DROP COLUMN city")
    shop.agent.round()
    install_till(one.settings, shop.world)
    assert one.sql("SELECT plan_version FROM tillsync_state") == [(2,)]
    anew: list[None] = []
    monkeypatch.setattr(pull, "_want_everything", lambda db: anew.append(None))
    one.sync()
    assert anew == []
