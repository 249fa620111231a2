"""Head office's tables and triggers change under Tillsync, and tills of several ages take part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from psycopg.conninfo import make_conninfo

from orchestrator.central import schema, verify
from orchestrator.central.agent import CentralAgent
from orchestrator.core import plan as plans
from orchestrator.core.values import quote_sqlite
from orchestrator.core.world import World
from orchestrator.errors import ConfigError, PersonMustDecide
from tests.integration.cases.shop import Shop, Till

CENTRAL = "CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(12,4), margin numeric)"
TILL = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC)"
ROWS = "SELECT id, name, price FROM item ORDER BY id"
Build = Callable[..., tuple[Shop, Till]]


def channel(direction: str, **table: Any) -> list[dict[str, Any]]:
    policy = {"policy": "column_merge"} if direction == "both" else {}
    return [
        {"name": "all", "direction": direction, "table": [{"name": "item", "exclude": ["margin"], **policy, **table}]}
    ]


@pytest.fixture
def build(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Build]:
    made: list[Shop] = []

    def make(direction: str = "down", central: str = CENTRAL, till: str = TILL, **table: Any) -> tuple[Shop, Till]:
        shop = Shop(database, world, tmp_path, central=central, till=till, channels=channel(direction, **table))
        made.append(shop)
        one = shop.till("T1", "B1")
        shop.sql("INSERT INTO item (id, name, price) SELECT g, 'n' || g, g FROM generate_series(1, 5) g")
        shop.settle()
        return shop, one

    yield make
    for shop in made:
        shop.close()


def same(shop: Shop, till: Till, query: str = ROWS) -> list[tuple[Any, ...]]:
    shop.settle()
    here, there = shop.sql(query), till.sql(query)
    assert here == there
    return here


WRITE = (
    "INSERT INTO item VALUES (9, 'unseen', 9)",
    "UPDATE item SET name = 'unseen' WHERE id = 2",
    "DELETE FROM item WHERE id = 3",
)
OFF = "ALTER TABLE item DISABLE TRIGGER ALL"
BYPASSES = {
    "switched off": (OFF, *WRITE),
    "switched off and on": (OFF, *WRITE, "ALTER TABLE item ENABLE TRIGGER ALL"),
    "on again as they were": (
        OFF,
        *WRITE,
        *(
            f"ALTER TABLE item ENABLE ALWAYS TRIGGER tillsync_{e}_item"
            for e in ("insert", "update", "delete", "truncate")
        ),
    ),
    "dropped": (*(f"DROP TRIGGER tillsync_{e}_item ON item" for e in ("insert", "update", "delete")), *WRITE),
    "made anew": (
        "ALTER TABLE item RENAME TO old_item",
        "CREATE TABLE item (LIKE old_item INCLUDING ALL)",
        "INSERT INTO item SELECT * FROM old_item",
        "DROP TABLE old_item",
        *WRITE,
    ),
    "an emptied function": (
        *(
            f"CREATE OR REPLACE FUNCTION tillsync.tillsync_{e}_item() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'"
            for e in ("insert", "update", "delete")
        ),
        *WRITE,
    ),
    "a lost log": ("DROP TABLE tillsync.log_item", OFF, *WRITE),
}


@pytest.mark.parametrize("bypass", BYPASSES.values(), ids=BYPASSES.keys())
def test_b52_what_was_written_past_the_triggers_reaches_the_tills(build: Build, bypass: tuple[str, ...]) -> None:
    shop, till = build()
    for statement in bypass:
        shop.sql(statement)
    assert [r[:2] for r in same(shop, till)] == [(1, "n1"), (2, "unseen"), (4, "n4"), (5, "n5"), (9, "unseen")]
    shop.sql("UPDATE item SET name = 'seen' WHERE id = 1")
    shop.sql("DELETE FROM item WHERE id = 9")
    assert same(shop, till)[0] == (1, "seen", 1)
    assert shop.settle() == 0


def test_b52_an_installation_over_it_hides_nothing(build: Build) -> None:
    shop, till = build()
    shop.sql("ALTER TABLE item DISABLE TRIGGER ALL")
    shop.sql("UPDATE item SET name = 'unseen' WHERE id = 2")
    schema.install(shop.conn, schema.prepare(shop.conn, shop.settings))
    assert same(shop, till)[1][1] == "unseen"


def test_b52_a_membership_that_went_unseen_moves_its_rows(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO item SELECT g, 'c' || g, 'n', 1 FROM generate_series(1, 4) g")
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, 3) g")
    shop.settle()
    shop.sql("ALTER TABLE branch_item DISABLE TRIGGER ALL")
    shop.sql("DELETE FROM branch_item WHERE item_id = 1")
    shop.sql("INSERT INTO branch_item VALUES ('B1', 4)")
    shop.settle()
    assert till.sql("SELECT id FROM item ORDER BY id") == [(2,), (3,), (4,)]


def test_b52_a_table_that_goes_and_comes_back_does_not_stop_the_rest(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'a', 'b', 'c')")
    shop.settle()
    shop.sql("ALTER TABLE contact RENAME TO set_aside")
    till.sql("INSERT INTO sales_order VALUES ('O1', 'B1', '1', 'draft', 'n', 1)")
    till.sql("INSERT INTO contact VALUES ('c2', '2', 'a', 'b', 'c')")
    shop.settle()
    assert shop.sql("SELECT id FROM sales_order") == [("O1",)]
    shop.sql("ALTER TABLE set_aside RENAME TO contact")
    shop.sql("UPDATE contact SET name = 'later'")
    shop.settle()
    assert shop.sql("SELECT id FROM contact ORDER BY id") == [("c1",), ("c2",)], "parked meanwhile"
    assert till.sql("SELECT id, name FROM contact ORDER BY id") == shop.sql("SELECT id, name FROM contact ORDER BY id")


def test_b54_a_new_column_reaches_tills_that_have_it_and_fills_those_that_get_it(build: Build) -> None:
    shop, old = build("both")
    shop.till_tables = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC, vat NUMERIC)"
    new = shop.till("T2", "B1")
    shop.settle()
    shop.sql("ALTER TABLE item ADD COLUMN vat numeric DEFAULT 20")
    shop.sql("UPDATE item SET vat = 10 WHERE id = 1")
    shop.settle()
    assert new.sql("SELECT id, vat FROM item ORDER BY id") == [(1, 10), (2, 20), (3, 20), (4, 20), (5, 20)]
    assert same(shop, old), "ignored where it is not"
    assert old.sql('SELECT code, central, "column" FROM tillsync_lack') == [("TS-511", "public.item", "vat")]
    shop.sql("UPDATE item SET vat = 5, name = 'five' WHERE id = 5")
    old.sql("UPDATE item SET name = 'of the old till' WHERE id = 2")
    old.sql("INSERT INTO item VALUES (7, 'new', 7)")
    shop.settle()
    assert shop.sql("SELECT vat FROM item ORDER BY id") == [(10,), (20,), (20,), (20,), (5,), (20,)], "never blanked"
    old.sql("ALTER TABLE item ADD COLUMN vat NUMERIC")
    old.sql("UPDATE item SET name = 'just before' WHERE id = 3")
    assert same(shop, old, "SELECT id, name, price, vat FROM item ORDER BY id")
    assert same(shop, new, "SELECT id, name, price, vat FROM item ORDER BY id")
    assert old.sql("SELECT * FROM tillsync_lack") == []
    old.sql("UPDATE item SET vat = 1 WHERE id = 4")
    assert same(shop, old, "SELECT vat FROM item WHERE id = 4") == [(1,)]


def test_b54_what_is_excluded_or_not_listed_stays_so_when_a_column_comes(build: Build) -> None:
    shop, till = build(exclude=(), columns=["id", "name", "price"])
    shop.sql("ALTER TABLE item ADD COLUMN secret text DEFAULT 's'")
    till.sql("ALTER TABLE item ADD COLUMN secret TEXT")
    till.sql("ALTER TABLE item ADD COLUMN margin NUMERIC")
    shop.sql("UPDATE item SET name = 'x', margin = 3")
    shop.settle()
    assert till.sql("SELECT DISTINCT name, secret, margin FROM item") == [("x", None, None)]


def test_b55_an_old_till_blanks_nothing_and_what_it_cannot_give_is_parked(build: Build) -> None:
    shop, till = build("both")
    shop.sql("ALTER TABLE item ADD COLUMN vat numeric NOT NULL DEFAULT 20")
    shop.sql("ALTER TABLE item ALTER COLUMN vat DROP DEFAULT")
    till.sql("UPDATE item SET name = 'renamed' WHERE id = 1")
    till.sql("INSERT INTO item VALUES (8, 'without vat', 8)")
    till.sql("UPDATE item SET name = 'too' WHERE id = 2")
    shop.settle()
    assert shop.sql("SELECT id, name, vat FROM item WHERE id < 3 ORDER BY id") == [(1, "renamed", 20), (2, "too", 20)]
    (parked,) = shop.sql("SELECT reason FROM tillsync.parked WHERE state = 'parked'")
    assert "vat" in parked[0]
    shop.sql("ALTER TABLE item ALTER COLUMN vat SET DEFAULT 7")
    shop.sql("UPDATE tillsync.parked SET tries = 0")
    shop.settle()
    assert shop.sql("SELECT vat FROM item WHERE id = 8") == [(7,)], "in again, once it can be"


def test_b55_a_column_that_head_office_drops_or_renames_stops_no_till(build: Build) -> None:
    shop, till = build("both")
    till.sql("UPDATE item SET name = 'before', price = 9 WHERE id = 1")
    shop.sql("ALTER TABLE item DROP COLUMN price")
    till.sql("UPDATE item SET name = 'after', price = 8 WHERE id = 2")
    shop.settle()
    assert same(shop, till, "SELECT id, name FROM item ORDER BY id")[:2] == [(1, "before"), (2, "after")]
    shop.sql("ALTER TABLE item RENAME COLUMN name TO title")
    shop.sql("UPDATE item SET title = 'renamed' WHERE id = 3")
    till.sql("INSERT INTO item VALUES (6, 'six', 6)")
    shop.settle()
    assert shop.sql("SELECT id FROM item ORDER BY id") == [(i,) for i in range(1, 7)]


REWRITTEN = {
    "dropped and made again": (
        "ALTER TABLE item DROP COLUMN name",
        "ALTER TABLE item ADD COLUMN name text DEFAULT 'new'",
    ),
    "its values rewritten": ("ALTER TABLE item ALTER COLUMN name TYPE text USING upper(name)",),
    "names swapped": (
        "ALTER TABLE item RENAME COLUMN name TO kept",
        "ALTER TABLE item RENAME COLUMN label TO name",
        "ALTER TABLE item RENAME COLUMN kept TO label",
    ),
}


@pytest.mark.parametrize("partitioned", [False, True], ids=["", "partitioned"])
@pytest.mark.parametrize("script", REWRITTEN.values(), ids=REWRITTEN.keys())
def test_b55_values_that_a_script_rewrites_without_a_trigger_reach_the_tills(
    build: Build, script: tuple[str, ...], partitioned: bool
) -> None:
    """The plan reads as before: the same columns, of the same types."""
    columns = "(id int PRIMARY KEY, name text, price numeric(12,4), margin numeric, label text DEFAULT 'l')"
    parts = " PARTITION BY RANGE (id); CREATE TABLE item_1 PARTITION OF item FOR VALUES FROM (1) TO (100)"
    shop, till = build(
        central=f"CREATE TABLE item {columns}" + parts * partitioned,
        till="CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC, label TEXT)",
    )
    before = same(shop, till)
    for statement in script:
        shop.sql(statement)
    after = same(shop, till)
    assert [row[1] for row in after] != [row[1] for row in before]
    rows = int(shop.sql("SELECT count(*) FROM tillsync.log_item")[0][0])
    shop.sql("ALTER TABLE item ALTER COLUMN name SET DEFAULT 'x'")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM tillsync.log_item") == [(rows,)], (
        "no value changed: nothing is looked at again"
    )


def test_b55_what_changes_while_something_else_is_put_right_is_found_in_the_next_round(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration goes on, statement by statement, while the agent is at work on its first one."""
    shop, till = build()
    differences, later = verify.differences, ["ALTER TABLE item ALTER COLUMN name TYPE text USING upper(name)"]

    def meanwhile(*given: Any) -> list[verify.Difference]:
        found = differences(*given)
        for statement in later:
            shop.sql(statement)
        later.clear()
        return found

    monkeypatch.setattr(verify, "differences", meanwhile)
    shop.sql("ALTER TABLE item ALTER COLUMN margin SET DEFAULT 1")
    assert [row[1] for row in same(shop, till)] == [f"N{n}" for n in range(1, 6)]
    assert not later


def test_b55_a_column_that_head_office_generates_from_now_on_is_asked_of_no_till(build: Build) -> None:
    shop, till = build("both")
    shop.sql("ALTER TABLE item DROP COLUMN price")
    shop.sql("ALTER TABLE item ADD COLUMN price numeric GENERATED ALWAYS AS (id * 2) STORED")
    shop.settle()
    till.sql("UPDATE item SET name = 'of the till' WHERE id = 2")
    till.sql("INSERT INTO item VALUES (9, 'new', NULL)")
    assert same(shop, till, "SELECT id, name FROM item ORDER BY id")[-1] == (9, "new")
    assert shop.sql("SELECT count(*) FROM tillsync.parked") == [(0,)]


def test_b56_another_key_while_deltas_of_the_old_one_are_on_their_way(build: Build) -> None:
    tables = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, price NUMERIC)"
    shop, till = build("both", till=tables)
    shop.sql("UPDATE item SET price = 50 WHERE id = 5")
    till.sql("UPDATE item SET price = 10 WHERE id = 1")
    till.agent.round()
    shop.sql("DELETE FROM item WHERE id = 4")
    shop.sql("ALTER TABLE item DROP CONSTRAINT item_pkey, ALTER COLUMN name SET NOT NULL, ADD PRIMARY KEY (name)")
    till.sql("UPDATE item SET price = 20 WHERE id = 2")
    rows = [(1, "n1", 10), (2, "n2", 20), (3, "n3", 3), (5, "n5", 50)]
    assert same(shop, till) == rows, "old deltas are delivered"
    assert shop.settle() == 0, "no loop"
    till.sql("UPDATE item SET id = 33 WHERE name = 'n3'")
    shop.sql("DELETE FROM item WHERE name = 'n5'")
    assert same(shop, till) == [(1, "n1", 10), (2, "n2", 20), (33, "n3", 3)]


def test_b56_what_was_captured_without_the_new_key_is_parked_and_the_rest_flows(build: Build) -> None:
    shop, till = build("both")
    till.sql("INSERT INTO item VALUES (6, 'six', 6)")
    till.agent.round()
    shop.sql("ALTER TABLE item ADD COLUMN shop int NOT NULL DEFAULT 1")
    shop.sql("ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (shop, id)")
    for _ in range(3):
        shop.agent.round()
    assert shop.sql("SELECT reason FROM tillsync.parked WHERE state = 'parked'") == [
        ("T1 sends public.item without its key",)
    ]
    till.sync()
    assert "shop" in till.sql("SELECT reason FROM tillsync_lack")[0][0], "held, and told"
    till.sql("ALTER TABLE item ADD COLUMN shop INTEGER NOT NULL DEFAULT 1")
    till.sql("CREATE UNIQUE INDEX item_key ON item (shop, id)")
    shop.sql("UPDATE item SET name = 'later' WHERE id = 1")
    shop.settle()
    assert "but only a part of the key" in till.sql("SELECT reason FROM tillsync_lack")[0][0]
    till.sql("CREATE TABLE upgraded (id INTEGER, name TEXT, price NUMERIC, shop INTEGER, PRIMARY KEY (shop, id))")
    till.sql("INSERT INTO upgraded SELECT * FROM item")
    till.sql("DROP TABLE item")
    till.sql("ALTER TABLE upgraded RENAME TO item")
    shop.settle()
    assert till.sql("SELECT name, shop FROM item WHERE id = 1") == [("later", 1)]


@pytest.mark.parametrize("kind", ["bigint", "text"])
def test_b56_the_type_of_a_key_changes(build: Build, kind: str) -> None:
    shop, till = build(till="CREATE TABLE item (id PRIMARY KEY, name TEXT, price NUMERIC)")
    shop.sql("UPDATE item SET name = 'pending' WHERE id = 1")
    shop.sql(f"ALTER TABLE item ALTER COLUMN id TYPE {kind}")
    shop.settle()
    shop.sql("INSERT INTO item VALUES (5000000000, 'large', 1)")
    shop.sql("DELETE FROM item WHERE name = 'n3'")
    assert same(shop, till, "SELECT name FROM item ORDER BY name") == [
        ("large",),
        ("n2",),
        ("n4",),
        ("n5",),
        ("pending",),
    ]


def test_a_till_whose_key_is_another_is_held_and_told_and_loses_nothing(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.settle()
    till.sql("DROP TABLE contact")
    till.sql("CREATE TABLE contact (id TEXT, phone TEXT PRIMARY KEY, name TEXT, email TEXT, city TEXT)")
    till.sql("INSERT INTO sales_order VALUES ('O1', 'B1', '1', 'draft', 'n', 1)")
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'a', 'b', 'c')")
    shop.settle()
    assert shop.sql("SELECT id FROM sales_order") == [("O1",)], "the rest goes on"
    assert till.sql("SELECT count(*) FROM contact") == [(0,)]
    assert [lack["lacks"] for lack in (r["body"] for r in shop.relay.reports())] == [
        ["the till's table contact has no unique rule over (id), the key of public.contact"]
    ]
    till.sql("INSERT INTO contact VALUES ('c2', '2', 'of the till', '', '')")
    till.sql("CREATE UNIQUE INDEX contact_key ON contact (id)")
    shop.settle()
    assert (
        till.sql("SELECT id FROM contact ORDER BY id")
        == [("c1",), ("c2",)]
        == shop.sql("SELECT id FROM contact ORDER BY id")
    )


def test_a_till_too_old_for_the_plan_is_held_and_told_and_still_sends(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.settle()
    shop.settings = shop.settings.model_copy(update={"till_schema_min": 7, "till_version_min": "0.1"})
    schema.install(shop.conn, schema.prepare(shop.conn, shop.settings))
    shop.agent.round()
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'a', 'b', 'c')")
    till.sql("INSERT INTO closure VALUES (1, '2024-03-01', 10)")
    with pytest.raises(PersonMustDecide, match="needs user_version 7"):
        till.sync()
    shop.agent.round()
    assert shop.sql("SELECT total FROM closure") == [(10,)], "what it sells goes up"
    assert till.sql("SELECT count(*) FROM contact") == [(0,)]
    assert "user_version 7" in str(shop.relay.reports()[0]["body"]["errors"])
    till.sql("PRAGMA user_version = 7")
    shop.settle()
    assert till.sql("SELECT id FROM contact") == [("c1",)]


def test_an_old_till_reads_a_newer_plan_and_takes_all_of_it_after_its_upgrade(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.settle()
    newer = plans.encode(structs.replace(shop.prepared.plan.for_tills(), version=2)).decode()
    for known in (
        '{"name":"item"',
        '{"name":"public.item"',
        '{"name":"id"',
        '{"policy":"column_merge"',
        '{"version":2',
    ):
        newer = newer.replace(known, known.replace("{", '{"of_tomorrow":[{"a":1}],', 1))
    assert newer.count("of_tomorrow") >= 4
    shop.relay.put_plan(2, newer)
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'a', 'b', 'c')")
    till.sync()
    assert till.sql("SELECT plan_version FROM tillsync_state") == [(2,)]
    shop.settle()
    assert till.sql("SELECT id FROM contact") == [("c1",)]
    till.sql("UPDATE tillsync_watch SET software = '0.0.9'")  # as an older version left it
    till.sql("UPDATE tillsync_plan SET body = replace(body, 'column_merge', 'central_wins')")
    till.sync()
    assert "column_merge" in till.sql("SELECT body FROM tillsync_plan")[0][0]


def test_a_plan_that_a_till_cannot_obey_is_refused_and_the_old_one_stays(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.settle()
    beyond = structs.replace(shop.prepared.plan.for_tills(), version=2, format=plans.FORMAT + 1)
    shop.relay.put_plan(2, plans.encode(beyond).decode())
    till.sql("INSERT INTO closure VALUES (1, '2024-03-01', 10)")
    with pytest.raises(ConfigError, match="TS-120"):
        till.sync()
    shop.agent.round()
    assert shop.sql("SELECT total FROM closure") == [(10,)]


LONG = "a_name_that_is_as_long_as_postgresql_allows_and_differs_at_the_"
ODD = (
    f'''CREATE TABLE "Order" ("group" int PRIMARY KEY, "a""b" text, "İsim" text, "new" text, "100%%" int);
    CREATE TABLE "{LONG[:62]}1" (id int PRIMARY KEY, "select" text);
    CREATE TABLE "{LONG[:62]}2" (id int PRIMARY KEY, "select" text);'''
).replace("%%", "%")


def test_b61_drift_is_found_under_odd_names_too(database: Callable[..., str], world: World, tmp_path: Path) -> None:
    names = ["Order", f"{LONG[:62]}1", f"{LONG[:62]}2"]
    tables = [{"name": n, "policy": "column_merge"} for n in names]
    channels = [{"name": "all", "direction": "both", "table": tables}]
    shop = Shop(
        database, world, tmp_path, central=ODD, till=ODD.replace(" int PRIMARY", " INTEGER PRIMARY"), channels=channels
    )
    try:
        till = shop.till("T1", "B1")
        assert verify.differences(shop.conn, shop.prepared) == []
        for name in names:
            shop.sql(f'INSERT INTO "{name}" VALUES (1)')
        shop.settle()
        for name in names:
            column = '"a""b"' if name == "Order" else '"select"'
            shop.sql(f'ALTER TABLE "{name}" DISABLE TRIGGER ALL')
            shop.sql(f"UPDATE \"{name}\" SET {column} = 'unseen'")
            till.sql(f'ALTER TABLE "{name}" ADD COLUMN "values" TEXT')
            shop.sql(f'ALTER TABLE "{name}" ADD COLUMN "values" text DEFAULT \'v\'')
            for (trigger,) in till.sql("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", name):
                till.sql("DROP TRIGGER " + quote_sqlite(trigger))
            key = till.sql("SELECT name FROM pragma_table_info(?)", name)[0][0]
            till.sql(f'INSERT INTO "{name}" ("{key}") VALUES (2)')
        shop.settle()
        for name in names:
            assert same(shop, till, f'SELECT * FROM "{name}" ORDER BY 1')[0][-1] == "v"
            assert shop.sql(f'SELECT count(*) FROM "{name}"') == [(2,)]
        assert verify.differences(shop.conn, schema.installed(shop.conn)) == []
    finally:
        shop.close()


def test_an_agent_that_may_not_alter_says_so_once_and_goes_on(build: Build, world: World) -> None:
    shop, till = build()
    shop.sql("CREATE ROLE agent_only LOGIN PASSWORD 'x'")
    shop.sql("GRANT USAGE ON SCHEMA tillsync TO agent_only")
    shop.sql("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA tillsync TO agent_only")
    shop.sql("GRANT USAGE ON ALL SEQUENCES IN SCHEMA tillsync TO agent_only")
    shop.sql("GRANT SELECT ON item TO agent_only")
    shop.agent.close()
    dsn = make_conninfo(shop.settings.central.dsn, user="agent_only", password="x")
    central = shop.settings.central.model_copy(update={"dsn": dsn})
    shop.agent = CentralAgent(shop.settings.model_copy(update={"central": central}), world)
    shop.agent.round()
    shop.sql("ALTER TABLE item DISABLE TRIGGER tillsync_insert_item")
    shop.sql("INSERT INTO item VALUES (8, 'unseen', 8)")
    with pytest.raises(PersonMustDecide, match="TS-303"):
        shop.agent.round()
    shop.sql("UPDATE item SET name = 'goes on' WHERE id = 1")
    shop.settle()
    assert till.sql("SELECT name FROM item WHERE id = 1") == [("goes on",)]
    schema.install(shop.conn, schema.prepare(shop.conn, shop.settings))
    assert (8, "unseen", 8) in same(shop, till)
