"""What head office's applications and its DBA may do to captured tables: nothing fails, and nothing is missed."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from orchestrator.central import schema, verify
from orchestrator.central.agent import CentralAgent
from orchestrator.checks import rights
from orchestrator.core.world import World
from orchestrator.demo.server import Cluster, Server
from orchestrator.errors import ConfigError
from orchestrator.postgres import connect
from tests.integration.cases.shop import Shop, Till

CENTRAL = """
CREATE TABLE t (id int PRIMARY KEY, name text, price numeric(10,2), seen int NOT NULL DEFAULT 0);
CREATE TABLE child (id int PRIMARY KEY, t_id int REFERENCES t ON DELETE CASCADE, v text);
"""
TILL = """
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC);
CREATE TABLE child (id INTEGER PRIMARY KEY, t_id INTEGER, v TEXT);
"""
CHANNELS = [
    {
        "name": "all",
        "direction": "down",
        "table": [{"name": "t", "exclude": ["seen"], "filter": "price > 0"}, {"name": "child"}],
    }
]
Build = Callable[..., tuple[Shop, Till]]


@pytest.fixture(params=["newest", "oldest"])
def pg(request: pytest.FixtureRequest, pg: Server) -> Server:
    """The server of the wheel, and an older one where the machine has it."""
    return request.getfixturevalue("old_pg") if request.param == "oldest" else pg


@pytest.fixture
def build(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Build]:
    made: list[Shop] = []

    def make(central: str = CENTRAL, till: str = TILL, channels: Any = CHANNELS) -> tuple[Shop, Till]:
        shop = Shop(database, world, tmp_path, central=central, till=till, channels=channels)
        made.append(shop)
        one = shop.till("T1", "B1")
        shop.settle()
        return shop, one

    yield make
    for shop in made:
        shop.close()


def same(shop: Shop, till: Till, query: str) -> list[tuple[Any, ...]]:
    shop.settle()
    here, there = shop.sql(query), till.sql(query)
    assert here == there
    return here


def captured(shop: Shop, log: str = "log_t") -> int:
    return int(shop.sql(f"SELECT count(*) FROM tillsync.{log}")[0][0])


def test_b51_truncate_takes_what_was_held_and_nothing_else(build: Build) -> None:
    shop, till = build()
    shop.sql("INSERT INTO t SELECT g, 'n', 1 FROM generate_series(1, 12) g")
    shop.sql("INSERT INTO t VALUES (50, 'outside', 0)")
    shop.sql("INSERT INTO child SELECT g, g, 'c' FROM generate_series(1, 12) g")
    shop.settle()
    till.sql("INSERT INTO child VALUES (99, NULL, 'own')")
    shop.sql("TRUNCATE child")
    shop.sql("INSERT INTO child SELECT g, g, 'new' FROM generate_series(3, 12) g")
    shop.settle()
    assert till.sql("SELECT id, v FROM child WHERE id < 99 ORDER BY id") == [(g, "new") for g in range(3, 13)]
    shop.sql("TRUNCATE t CASCADE")
    assert same(shop, till, "SELECT id FROM t") == []
    assert shop.sql("SELECT * FROM child") == []
    assert till.sql("SELECT id FROM child WHERE id < 99") == []


def test_every_way_to_write_is_seen(build: Build) -> None:
    shop, till = build()
    with shop.conn.cursor().copy("COPY t (id, name, price) FROM STDIN") as copy:
        copy.write("1\ta\t1\n2\tb\t2\n3\tc\t3\n4\td\t4\n")
    query = "SELECT id, name, price FROM t ORDER BY id"
    assert len(same(shop, till, query)) == 4
    shop.sql("INSERT INTO t VALUES (1, 'x', 1), (5, 'e', 5) ON CONFLICT (id) DO UPDATE SET name = excluded.name")
    shop.sql("INSERT INTO t VALUES (2, 'ignored', 1) ON CONFLICT DO NOTHING")
    shop.sql(
        "MERGE INTO t USING (VALUES (3, 'm'), (4, NULL), (6, 'n')) s (id, name) ON t.id = s.id"
        " WHEN MATCHED AND s.name IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET name = s.name"
        " WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name, 6)"
    )
    shop.sql("CREATE VIEW v AS SELECT id, name, price FROM t")
    shop.sql("UPDATE v SET name = 'through a view' WHERE id = 2")
    shop.sql("WITH gone AS (DELETE FROM t WHERE id = 1 RETURNING *) INSERT INTO t SELECT 7, name, price FROM gone")
    rows = same(shop, till, query)
    assert [(r[0], r[1]) for r in rows] == [(2, "through a view"), (3, "m"), (5, "e"), (6, "n"), (7, "x")]


def test_savepoints_and_prepared_transactions(build: Build) -> None:
    shop, till = build()
    with shop.conn.transaction():
        shop.sql("INSERT INTO t VALUES (1, 'kept', 1)")
        with suppress(psycopg.errors.UniqueViolation), shop.conn.transaction():
            shop.sql("INSERT INTO t VALUES (2, 'gone', 1)")
            shop.sql("INSERT INTO t VALUES (1, 'again', 1)")
        with shop.conn.transaction():
            shop.sql("INSERT INTO t VALUES (3, 'nested', 1)")
    assert len(same(shop, till, "SELECT id, name FROM t ORDER BY id")) == 2
    with connect(shop.settings.central.dsn, "two-phase", autocommit=False) as other:
        other.tpc_begin("held")
        other.execute("INSERT INTO t VALUES (4, 'prepared', 1)")
        other.tpc_prepare()
        shop.sql("INSERT INTO t VALUES (5, 'meanwhile', 1)")
        shop.settle()
        assert till.sql("SELECT id FROM t ORDER BY id") == [(1,), (3,), (5,)]
        other.tpc_commit()
    assert len(same(shop, till, "SELECT id, name FROM t ORDER BY id")) == 4


def test_a_replica_role_does_not_switch_capture_off(build: Build) -> None:
    shop, till = build()
    shop.sql("SET session_replication_role = replica")
    shop.sql("INSERT INTO t VALUES (1, 'a', 1)")
    shop.sql("UPDATE t SET name = 'b'")
    shop.sql("RESET session_replication_role")
    assert same(shop, till, "SELECT id, name FROM t") == [(1, "b")]


def test_partitions_log_under_their_parent(build: Build) -> None:
    central = """
    CREATE TABLE t (id int, day int, name text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
    CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);
    """
    tables = "CREATE TABLE t (id INTEGER, day INTEGER, name TEXT, PRIMARY KEY (id, day))"
    shop, till = build(central, tables, [{"name": "all", "direction": "down", "table": [{"name": "t"}]}])
    query = "SELECT id, day, name FROM t ORDER BY id"
    shop.sql("INSERT INTO t VALUES (1, 1, 'a'), (2, 11, 'b')")
    assert len(same(shop, till, query)) == 2
    shop.sql("UPDATE t SET day = 15 WHERE id = 1")
    assert same(shop, till, query) == [(1, 15, "a"), (2, 11, "b")]
    shop.sql("TRUNCATE t")
    assert same(shop, till, query) == []


TREE = "CREATE TABLE t (id INTEGER, day INTEGER, name TEXT, PRIMARY KEY (id, day))"
DOWN: list[dict[str, Any]] = [{"name": "all", "direction": "down", "table": [{"name": "t"}]}]
TREE_ROWS = "SELECT id, day, name FROM t ORDER BY id, day"
PARTITIONED = """
CREATE TABLE t (id int, day int, name text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
CREATE TABLE t2 (day int NOT NULL, gone int, name text, id int NOT NULL) PARTITION BY LIST (id);
ALTER TABLE t2 DROP COLUMN gone;
ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20);
CREATE TABLE t2_odd PARTITION OF t2 FOR VALUES IN (1, 3);
CREATE TABLE t2_even PARTITION OF t2 FOR VALUES IN (2, 4);
CREATE TABLE bare (day int NOT NULL, id int NOT NULL, name text);
INSERT INTO bare VALUES (20, 9, 'came with it');
"""
INHERITED = "CREATE TABLE t (id int, day int, name text, PRIMARY KEY (id, day)); CREATE TABLE t1 () INHERITS (t);"
BELOW = {
    "insert": (PARTITIONED, "INSERT INTO t1 VALUES (5, 5, 'direct')"),
    "copy": (PARTITIONED, "COPY t1 FROM PROGRAM 'echo 5,5,direct' WITH (FORMAT csv)"),
    "update": (PARTITIONED, "UPDATE t1 SET name = 'direct'"),
    "key": (PARTITIONED, "UPDATE t1 SET day = day + 1"),
    "delete": (PARTITIONED, "DELETE FROM t1"),
    "truncate": (PARTITIONED, "TRUNCATE t1"),
    "between": (PARTITIONED, "UPDATE t2 SET name = 'direct'"),
    "deep": (PARTITIONED, "UPDATE t2_even SET name = 'direct'"),
    "dropped": (PARTITIONED, "DROP TABLE t1"),
    "dropped deep": (PARTITIONED, "DROP TABLE t2_even"),
    "away for a rewrite": (
        PARTITIONED,
        "BEGIN; ALTER TABLE t DETACH PARTITION t1; ALTER TABLE t1 ALTER COLUMN name TYPE text USING upper(name);"
        " ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (10); COMMIT",
    ),
    "detached": (PARTITIONED, "ALTER TABLE t DETACH PARTITION t1"),
    "attached": (PARTITIONED, "ALTER TABLE t ATTACH PARTITION bare FOR VALUES FROM (20) TO (30)"),
    "made": (
        PARTITIONED,
        "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30); INSERT INTO t3 VALUES (9, 25, 'x')",
    ),
    "inherited": (INHERITED, "INSERT INTO t1 VALUES (5, 5, 'direct'); UPDATE t1 SET name = 'again'"),
    "disinherited": (INHERITED, "INSERT INTO t1 VALUES (5, 5, 'direct'); ALTER TABLE t1 NO INHERIT t"),
}


@pytest.mark.parametrize(("central", "script"), BELOW.values(), ids=BELOW.keys())
def test_what_is_written_to_a_partition_by_its_own_name_or_comes_and_goes_with_it(
    build: Build, central: str, script: str
) -> None:
    """PostgreSQL fires the statement triggers of the table that the statement names, and none for ATTACH and DETACH."""
    shop, till = build(central, TREE, DOWN)
    shop.sql("INSERT INTO t VALUES (1, 1, 'a'), (2, 11, 'b'), (3, 12, 'c')")
    before = same(shop, till, TREE_ROWS)
    shop.sql(script)
    shop.settle()
    after = same(shop, till, TREE_ROWS)
    assert after != before or script.endswith("NO INHERIT t")
    ((logged,),) = shop.sql("SELECT count(*) FROM tillsync.log_t")
    shop.sql("UPDATE t SET name = name || '!'")
    assert shop.sql("SELECT count(*) - %s FROM tillsync.log_t", logged) == [(len(after),)], "through the table: once"
    same(shop, till, TREE_ROWS)
    assert verify.differences(shop.conn, schema.installed(shop.conn)) == []
    left = "SELECT count(*) FROM pg_trigger WHERE tgrelid = ANY (%s::regclass[]) AND tgname LIKE 'tillsync%%'"
    if script.startswith("ALTER TABLE t DETACH") or script.endswith("NO INHERIT t"):
        assert shop.sql(left, ["t1"]) == [(0,)], "what is no part of it any more keeps nothing of ours"
    schema.uninstall(shop.conn)
    assert shop.sql("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'tillsync%'") == []


def test_a_partition_that_comes_sends_its_own_rows_and_waits_for_nobody_elses(build: Build) -> None:
    """They come every night; a loader may be at work in another one for hours."""
    shop, till = build(PARTITIONED, TREE, DOWN)
    shop.sql("INSERT INTO t SELECT g, g % 20, 'n' FROM generate_series(1, 4) g")
    shop.settle()
    with connect(shop.settings.central.dsn, "a loader") as loader, loader.transaction():
        loader.execute("INSERT INTO t1 VALUES (7, 7, 'is loaded')")
        shop.sql("CREATE TABLE t3 (LIKE t); ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (30) TO (40)")
        assert shop.agent.round().tick is None, "an empty one is no news"
        shop.sql("ALTER TABLE t ATTACH PARTITION bare FOR VALUES FROM (20) TO (30)")
        assert shop.agent.round().rows == 1
        loader.execute("INSERT INTO t1 VALUES (8, 8, 'goes on')")
    assert [row[0] for row in same(shop, till, TREE_ROWS)] == [1, 2, 3, 4, 7, 8, 9]
    shop.sql("INSERT INTO t3 VALUES (10, 31, 'captured')")
    assert len(same(shop, till, TREE_ROWS)) == 8


def test_what_was_a_partition_is_left_to_its_readers(build: Build) -> None:
    shop, till = build(PARTITIONED, TREE, DOWN)
    shop.sql("INSERT INTO t VALUES (1, 1, 'a'), (2, 11, 'b')")
    shop.settle()
    with connect(shop.settings.central.dsn, "pg_dump") as archive, archive.transaction():
        shop.sql("ALTER TABLE t DETACH PARTITION t1")
        archive.execute("SELECT * FROM t1")
        assert same(shop, till, "SELECT id FROM t ORDER BY id") == [(2,)]
    assert [d.is_stray for d in verify.differences(shop.conn, schema.installed(shop.conn))] == [True] * 5


def test_another_sessions_temporary_table_below_one_stops_nothing(build: Build) -> None:
    shop, till = build(INHERITED, TREE, DOWN)
    with connect(shop.settings.central.dsn, "a report") as report:
        report.execute("CREATE TEMP TABLE mine () INHERITS (t)")
        shop.sql("ALTER TABLE t DISABLE TRIGGER USER")
        shop.sql("INSERT INTO t VALUES (1, 1, 'a')")
        assert same(shop, till, "SELECT id, day, name FROM t") == [(1, 1, "a")]


def test_an_altered_function_is_found_where_only_partitions_run_it(build: Build) -> None:
    shop, _ = build(PARTITIONED, TREE, DOWN)
    shop.sql(
        "CREATE OR REPLACE FUNCTION tillsync.tillsync_replica_t() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'"
    )
    shop.settle()
    assert verify.differences(shop.conn, schema.installed(shop.conn)) == []


def test_a_key_that_becomes_wider_is_logged_by_a_session_that_goes_on(build: Build) -> None:
    shop, till = build(INHERITED, TREE, DOWN)
    with connect(shop.settings.central.dsn, "a loader") as loader:
        loader.execute("SET session_replication_role = replica")
        loader.execute("INSERT INTO t VALUES (1, 1, 'a')")
        shop.sql("ALTER TABLE t ALTER COLUMN id TYPE bigint")
        loader.execute("INSERT INTO t VALUES (2, 1, 'b')")
        shop.settle()
        loader.execute("UPDATE t SET name = 'c' WHERE id = 2")
    assert same(shop, till, "SELECT id, name FROM t ORDER BY id") == [(1, "a"), (2, "c")]


def test_the_preflight_says_whose_partition_the_login_cannot_look_after(build: Build) -> None:
    shop, _ = build(PARTITIONED, TREE, DOWN)
    shop.sql("CREATE ROLE tree_owner")
    for table in ("t", "t1", "t2", "t2_odd", "t2_even"):
        shop.sql(f"ALTER TABLE {table} OWNER TO tree_owner")
    shop.sql("SET ROLE tree_owner")

    def advice() -> list[str]:
        return [f.what for f in rights.findings(shop.conn, shop.prepared.plan) if f.is_advice]

    assert advice() == []
    shop.sql("RESET ROLE")
    shop.sql("ALTER TABLE t2_even OWNER TO CURRENT_USER")
    shop.sql("SET ROLE tree_owner")
    (said,) = advice()
    assert "does not own public.t with all below it" in said
    shop.sql("RESET ROLE")


@pytest.fixture
def replicated(database: Callable[..., str]) -> Iterator[Callable[[Shop], psycopg.Connection]]:
    """Another database, whose table t comes to head office's by logical replication."""
    source, made = database("source"), list[tuple[Shop, psycopg.Connection, str]]()

    def make(shop: Shop) -> psycopg.Connection:
        erp = connect(source, "the ERP")
        if erp.execute("SHOW wal_level").fetchone() != ("logical",):
            pytest.skip("THE SERVER'S wal_level IS NOT logical: replication into head office is not tested")
        name = f"s{secrets.token_hex(4)}"
        erp.execute(
            "CREATE TABLE t (id int, day int, name text, PRIMARY KEY (id, day)); CREATE PUBLICATION p FOR TABLE t"
        )
        erp.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
        shop.sql(f"CREATE SUBSCRIPTION {name} CONNECTION '{source}' PUBLICATION p WITH (create_slot = false)")
        made.append((shop, erp, name))
        return erp

    yield make
    for shop, erp, name in made:
        shop.sql(f"ALTER SUBSCRIPTION {name} DISABLE")
        shop.sql(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
        shop.sql(f"DROP SUBSCRIPTION {name}")
        erp.execute(
            "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = %s", [name]
        )
        erp.execute("SELECT pg_drop_replication_slot(%s)", [name])
        erp.close()


@pytest.mark.parametrize("central", [PARTITIONED, INHERITED], ids=["partitioned", "plain"])
def test_what_logical_replication_brings_to_head_office_is_captured(
    build: Build, replicated: Callable[[Shop], psycopg.Connection], central: str
) -> None:
    """Its worker writes row by row, and fires no statement trigger but that of TRUNCATE."""
    shop, till = build(central, TREE, DOWN)
    erp = replicated(shop)
    for statement in (
        "INSERT INTO t VALUES (1, 1, 'a'), (2, 11, 'b'), (3, 12, 'c')",
        "UPDATE t SET name = 'changed' WHERE id = 1",
        "UPDATE t SET day = 2 WHERE id = 3",
        "DELETE FROM t WHERE id = 2",
        "TRUNCATE t",
        "INSERT INTO t VALUES (4, 3, 'd')",
    ):
        erp.execute(statement)
        wanted = erp.execute(TREE_ROWS.encode()).fetchall()
        deadline = time.monotonic() + 20
        while shop.sql(TREE_ROWS) != wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        assert same(shop, till, TREE_ROWS) == wanted, statement


def test_the_applications_own_answers_stay_its_own(build: Build) -> None:
    central = """
    CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text, price numeric(10,2), seen int DEFAULT 0);
    CREATE TABLE child (id serial PRIMARY KEY, t_id int REFERENCES t ON DELETE CASCADE, v text);
    """
    shop, _ = build(central)
    cursor = shop.conn.execute("INSERT INTO t (name, price) VALUES ('a', 1), ('b', 2) RETURNING id, name")
    assert (cursor.fetchall(), cursor.statusmessage) == ([(1, "a"), (2, "b")], "INSERT 0 2")
    assert shop.sql("SELECT lastval()") == [(2,)]
    assert shop.conn.execute("UPDATE t SET price = 3 WHERE id = 1").statusmessage == "UPDATE 1"
    assert shop.conn.execute("UPDATE t SET price = 3 WHERE id = 77").statusmessage == "UPDATE 0"
    assert shop.conn.execute("DELETE FROM t WHERE id = 2").statusmessage == "DELETE 1"
    assert shop.sql("SELECT lastval()") == [(2,)]


def test_b62_identity_and_generated_columns(build: Build) -> None:
    central = """CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, net numeric(10,2),
                                 gross numeric GENERATED ALWAYS AS (net * 1.2) STORED)"""
    tables = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, net NUMERIC, gross NUMERIC GENERATED ALWAYS AS (net * 1.2) STORED)"
    )
    shop, till = build(
        central, tables, [{"name": "all", "direction": "both", "table": [{"name": "t", "policy": "column_merge"}]}]
    )
    shop.sql("INSERT INTO t (net) VALUES (10), (20)")
    till.sql("INSERT INTO t (id, net) VALUES (7, 30)")
    shop.settle()
    till.sql("UPDATE t SET net = 11 WHERE id = 1")
    shop.settle()
    assert shop.sql("SELECT id, net, gross FROM t ORDER BY id") == [
        (1, 11, Decimal("13.2")),
        (2, 20, 24),
        (7, 30, 36),
    ]
    assert [(i, n) for i, n, _ in till.sql("SELECT * FROM t ORDER BY id")] == [(1, 11), (2, 20), (7, 30)]


def generated(build: Build, kind: str, **table: Any) -> tuple[Shop, Till]:
    """A table whose `gross` is made of `net`, which does not travel, and goes down as the settings say."""
    direction = "both" if "policy" in table else "down"
    central = f"""CREATE TABLE t (id int PRIMARY KEY, net numeric(10,2), name text, seen int,
                                  gross numeric(10,2) GENERATED ALWAYS AS (net * 1.25) {kind});
                  CREATE TABLE child (id int PRIMARY KEY, t_id int)"""
    tables = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, gross NUMERIC); CREATE TABLE child (id INTEGER PRIMARY KEY)"
    )
    try:
        return build(central, tables, [{"name": "all", "direction": direction, "table": [table]}])
    except psycopg.errors.SyntaxError:
        pytest.skip("this PostgreSQL has no virtual columns")


@pytest.mark.parametrize("kind", ["STORED", "VIRTUAL"])
def test_b62_a_generated_column_goes_down_where_it_is_named_and_filters_see_it(build: Build, kind: str) -> None:
    """Transition tables do not have what is generated when it is read."""
    shop, till = generated(build, kind, name="t", columns=["id", "name", "gross"], filter="gross > 5")
    shop.sql("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 1, 'c')")
    query = "SELECT id, name, gross FROM t WHERE gross > 5 ORDER BY id"
    assert same(shop, till, query) == [(1, "a", 12.5), (2, "b", 25)]
    shop.sql("UPDATE t SET net = 11 WHERE id = 1")
    shop.sql("UPDATE t SET net = net + 9 WHERE id = 3")
    assert same(shop, till, query) == [(1, "a", 13.75), (2, "b", 25), (3, "c", 12.5)]
    shop.sql("UPDATE t SET net = 0 WHERE id = 2")
    assert same(shop, till, query) == [(1, "a", 13.75), (3, "c", 12.5)]
    assert till.sql("SELECT count(*) FROM t") == [(2,)]
    if shop.conn.info.server_version >= 170_000:
        shop.sql("ALTER TABLE t ALTER COLUMN gross SET EXPRESSION AS (net * 1.5)")
        assert same(shop, till, query) == [(1, "a", 16.5), (3, "c", 15)]


def test_b62_what_is_generated_is_not_asked_of_tills_nor_looked_at_where_no_trigger_sees_it(build: Build) -> None:
    with pytest.raises(ConfigError, match=r"TS-151 .*gross"):
        generated(build, "STORED", name="t", columns=["id", "gross"], policy="column_merge")
    other = {"name": "child", "filter": "EXISTS (SELECT 1 FROM t WHERE t.id = child.t_id AND t.gross > 5)"}
    with pytest.raises(ConfigError, match=r"TS-152 .*public\.t\.gross"):
        generated(build, "VIRTUAL", **other)


def test_b67_an_application_without_rights_on_ours_writes_as_before(build: Build) -> None:
    shop, till = build()
    shop.sql("CREATE ROLE erp_rw NOSUPERUSER")
    shop.sql("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON t, child TO erp_rw")
    shop.sql("SET ROLE erp_rw")
    shop.sql("INSERT INTO t VALUES (1, 'a', 1)")
    shop.sql("UPDATE t SET name = 'b'")
    for forbidden in (
        "SELECT * FROM tillsync.log_t",
        "INSERT INTO tillsync.log_t (id) VALUES (9)",
        "SELECT tillsync.tillsync_insert_t()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shop.sql(forbidden)
    shop.sql("TRUNCATE child")
    shop.sql("RESET ROLE")
    assert same(shop, till, "SELECT id, name FROM t") == [(1, "b")]


def test_b68_an_empty_or_hostile_search_path_changes_nothing(build: Build) -> None:
    shop, till = build()
    shop.sql("CREATE SCHEMA evil")
    shop.sql("CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT 1/0; SELECT now()'")
    shop.sql("CREATE TABLE evil.log_t (id int)")
    for path in ("''", "evil, public, pg_catalog"):
        shop.sql(f"SET search_path = {path}")
        shop.sql("INSERT INTO public.t VALUES ((SELECT count(*) + 1 FROM public.t), 'a', 1)")
        shop.sql("UPDATE public.t SET name = name || 'x'")
    shop.sql("RESET search_path")
    assert len(same(shop, till, "SELECT id, name FROM t ORDER BY id")) == 2


def test_b68_a_dump_is_restored_with_its_triggers_and_does_not_replicate_by_itself(
    build: Build, pg: Any, database: Callable[..., str]
) -> None:
    if not isinstance(pg, Cluster):
        pytest.skip("pg_dump of the embedded server is needed; the server is somebody else's")
    shop, till = build()
    shop.sql("INSERT INTO t VALUES (1, 'a', 1)")
    shop.settle()
    copy = database("copy")
    dump = subprocess.run([pg.bin("pg_dump"), shop.settings.central.dsn], check=True, capture_output=True)
    subprocess.run(
        [pg.bin("psql"), "-q", "-v", "ON_ERROR_STOP=1", copy], input=dump.stdout, check=True, capture_output=True
    )
    with connect(copy, "restored") as there:
        there.execute("UPDATE t SET name = 'in the copy'")
        assert there.execute("SELECT count(*) FROM tillsync.log_t").fetchone() == (2,)
    assert same(shop, till, "SELECT id, name FROM t") == [(1, "a")]


def test_b84_columns_that_are_not_shipped_make_no_traffic(build: Build) -> None:
    shop, till = build()
    shop.sql("INSERT INTO t SELECT g, 'n', 1 FROM generate_series(1, 100) g")
    shop.settle()
    before = captured(shop)
    for _ in range(100):
        shop.sql("UPDATE t SET seen = seen + 1")
    shop.sql("UPDATE t SET name = name, price = price * 1.00")
    assert captured(shop) == before
    assert shop.settle() == 0
    assert till.sql("SELECT count(*) FROM t") == [(100,)]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE t RENAME COLUMN name TO title",
        "ALTER TABLE t DROP COLUMN name",
        "ALTER TABLE t DROP COLUMN price CASCADE",
        "ALTER TABLE t RENAME COLUMN id TO number",
        "ALTER TABLE t ALTER COLUMN id TYPE bigint",
        "ALTER TABLE t ALTER COLUMN price TYPE text",
        "ALTER TABLE t ADD COLUMN vat numeric DEFAULT 20",
        "ALTER TABLE t DROP CONSTRAINT t_pkey CASCADE, ADD PRIMARY KEY (id, seen)",
    ],
)
def test_no_change_of_a_table_makes_an_applications_statement_fail(build: Build, change: str) -> None:
    shop, _ = build()
    shop.sql("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)")
    shop.settle()
    shop.sql(change)
    names = [
        n
        for (n,) in shop.sql(
            "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    ]
    key = names[0]
    before = captured(shop)
    shop.sql(f"INSERT INTO t ({key}) VALUES ({5_000_000_000 if 'bigint' in change else 3})")
    shop.sql(f"UPDATE t SET seen = 1, {key} = {key} + 10 WHERE {key} = 2")
    shop.sql(f"DELETE FROM t WHERE {key} = 1")
    assert captured(shop) > before, "the log says that there is something to look at"


def test_b54_b56_a_changed_table_is_followed_after_an_installation(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, name text)"
    tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, vat NUMERIC)"
    shop, till = build(central, tables, [{"name": "all", "direction": "down", "table": [{"name": "t"}]}])
    shop.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    shop.settle()
    shop.sql("ALTER TABLE t ADD COLUMN vat numeric DEFAULT 20")
    shop.sql("UPDATE t SET vat = 10 WHERE id = 1")
    schema.install(shop.conn, schema.prepare(shop.conn, shop.settings))
    assert same(shop, till, "SELECT id, name, vat FROM t ORDER BY id") == [(1, "a", 10), (2, "b", 20)]
    shop.sql("UPDATE t SET vat = 5 WHERE id = 2")
    assert same(shop, till, "SELECT vat FROM t WHERE id = 2") == [(5,)]


def test_b66_the_agent_needs_no_superuser(build: Build, world: World) -> None:
    shop, till = build()
    shop.sql("CREATE ROLE plain LOGIN NOSUPERUSER PASSWORD 'of the agent'")
    for grant in (
        "USAGE ON SCHEMA tillsync",
        "SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA tillsync",
        "USAGE ON ALL SEQUENCES IN SCHEMA tillsync",
        "SELECT, INSERT, UPDATE, DELETE ON t, child",
    ):
        shop.sql(f"GRANT {grant} TO plain")
    shop.agent.close()
    dsn = make_conninfo(shop.settings.central.dsn, user="plain", password="of the agent")
    settings = shop.settings.model_copy(update={"central": shop.settings.central.model_copy(update={"dsn": dsn})})
    shop.agent = CentralAgent(settings, world)
    shop.sql("INSERT INTO t VALUES (1, 'a', 1)")
    till.sql("UPDATE t SET name = 'refused'")
    till.sql("INSERT INTO child VALUES (1, 1, 'refused')")
    assert same(shop, till, "SELECT id, name FROM t") == [(1, "a")]
