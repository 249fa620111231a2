"""Values on their way: exact, mapped as declared, or parked and reported; never silently another one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from orchestrator.central import schema
from orchestrator.core.world import World
from tests.integration.cases.shop import Shop, Till


class Build(Protocol):
    """Makes a shop with one table `t` at both ends, and a till in it."""

    def __call__(self, central: str, till: str, **table: Any) -> tuple[Shop, Till]: ...


@pytest.fixture
def build(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Build]:
    made: list[Shop] = []

    def make(central: str, till: str, **table: Any) -> tuple[Shop, Till]:
        channels = [{"name": "all", "direction": "both", "table": [{"name": "t", "policy": "column_merge", **table}]}]
        shop = Shop(database, world, tmp_path, central=central, till=till, channels=channels)
        made.append(shop)
        return shop, shop.till("T1", "B1")

    yield make
    for shop in made:
        shop.close()


def parked(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.sql("SELECT key ->> 'id', reason FROM tillsync.parked WHERE state = 'parked' ORDER BY 1")


def problems(till: Till) -> list[tuple[Any, ...]]:
    return till.sql("SELECT key, kind, reason FROM tillsync_problem ORDER BY key")


def test_b25_numbers_are_not_rounded_on_their_way(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, price numeric(14,4), x double precision, f real, name text)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, price NUMERIC, x REAL, f REAL, name TEXT)")
    prices = ["0.1", "19.990", "1234567890.1234", "99999999.9999", "0.0001"]
    for number, price in enumerate(prices, 1):
        shop.sql("INSERT INTO t VALUES (%s, %s, 0.1::float8 + 0.2, 0.1, 'a')", number, price)
    shop.sql(
        "INSERT INTO t VALUES (6, 1, 1e-17, 3.4e38, 'a'), (7, 1, 1e308, 1e-45, 'a'), (8, 1, 'Infinity', '-Infinity', 'a')"
    )
    before = shop.sql("SELECT id, price::text, x, f FROM t ORDER BY id")
    shop.settle()
    assert till.sql("SELECT x FROM t WHERE id IN (1, 6, 7, 8) ORDER BY id") == [
        (0.30000000000000004,),
        (1e-17,),
        (1e308,),
        (float("inf"),),
    ]
    till.sql("UPDATE t SET name = 'b'")
    shop.settle()
    assert shop.sql("SELECT id, price::text, x, f FROM t ORDER BY id") == before
    assert shop.sql("SELECT DISTINCT name FROM t") == [("b",)]
    assert shop.sql("SELECT * FROM tillsync.conflict") == []
    till.sql("UPDATE t SET price = 0.1 + 0.2, x = 0.1 + 0.2 WHERE id = 1")
    shop.settle()
    assert shop.sql("SELECT price::text, x FROM t WHERE id = 1") == [("0.3000", 0.30000000000000004)]


def test_b25_a_decimal_that_the_tills_column_would_change_waits_and_is_reported(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, n numeric)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC)")
    exact = {
        1: "12345678901234567",
        2: "0.000000000000001",
        3: "-9007199254740993",
        4: "1.50",
        9: "100000000000000000.00",
    }
    changed = {5: "12345678901234567.89", 6: "0.1234567890123456789", 7: "123456789012345678901234567890", 8: "1e-400"}
    for number, n in (exact | changed).items():
        shop.sql("INSERT INTO t VALUES (%s, %s)", number, n)
    shop.settle()
    assert [i for (i,) in till.sql("SELECT id FROM t ORDER BY id")] == sorted(exact)
    assert till.sql("SELECT n FROM t WHERE id IN (1, 3) ORDER BY id") == [(12345678901234567,), (-9007199254740993,)]
    assert [(k, kind) for k, kind, _ in problems(till)] == [(f"[{i}]", "unfit") for i in sorted(changed)]
    shop.sql("UPDATE t SET n = 1 WHERE id = 5")
    shop.sql("DELETE FROM t WHERE id = 6")
    shop.settle()
    assert [k for k, *_ in problems(till)] == ["[7]", "[8]"]
    assert till.sql("SELECT n FROM t WHERE id = 5") == [(1,)]


def test_b25_a_column_of_texts_keeps_every_digit(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, n numeric)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)")
    numbers = ["12345678901234567.89", "0.1234567890123456789", "19.990", "NaN", "Infinity"]
    for number, n in enumerate(numbers):
        shop.sql("INSERT INTO t VALUES (%s, %s)", number, n)
    shop.settle()
    assert [n for (n,) in till.sql("SELECT n FROM t ORDER BY id")] == numbers
    till.sql("UPDATE t SET n = n || '1' WHERE id = 0")
    shop.settle()
    assert shop.sql("SELECT n::text FROM t WHERE id = 0") == [("12345678901234567.891",)]


def test_b26_keys_of_64_bits_stay_apart(build: Build) -> None:
    central = "CREATE TABLE t (id bigint PRIMARY KEY, up bigint REFERENCES t, name text)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER, name TEXT)")
    keys = [9007199254740992, 9007199254740993, 9223372036854775807, -9223372036854775808]
    for key in keys:
        shop.sql("INSERT INTO t VALUES (%s, %s, 'a')", key, key)
    shop.settle()
    assert till.sql("SELECT id, up FROM t ORDER BY id") == [(k, k) for k in sorted(keys)]
    till.sql("UPDATE t SET name = 'odd' WHERE id = ?", keys[1])
    till.sql("DELETE FROM t WHERE id = ?", keys[0])
    shop.settle()
    assert shop.sql("SELECT id, name FROM t ORDER BY id") == sorted([(keys[1], "odd"), *((k, "a") for k in keys[2:])])


def test_b27_what_central_cannot_hold_is_parked_and_the_rest_flows(build: Build) -> None:
    central = """CREATE TABLE t (id int PRIMARY KEY, qty int, name varchar(255), total numeric(8,2), day date,
                                 CHECK (qty < 1000))"""
    tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, qty INTEGER, name TEXT, total NUMERIC, day TEXT)"
    shop, till = build(central, tables)
    till.sql("INSERT INTO t VALUES (1, 1, 'good', 1, '2024-01-01')")
    till.sql("INSERT INTO t (id, qty) VALUES (2, 3000592982016)")
    till.sql("INSERT INTO t (id, name) VALUES (3, ?)", "x" * 300)
    till.sql("INSERT INTO t (id, total) VALUES (4, 'abc'), (5, 99999999)")
    till.sql("INSERT INTO t (id, day) VALUES (6, ''), (7, '2024-02-30')")
    till.sql("INSERT INTO t (id, qty) VALUES (8, 1000)")
    till.sql("INSERT INTO t VALUES (9, 1, 'also good', 1, NULL)")
    shop.settle()
    assert shop.sql("SELECT id FROM t ORDER BY id") == [(1,), (9,)]
    reasons = dict(parked(shop))
    assert sorted(reasons) == ["2", "3", "4", "5", "6", "7", "8"]
    assert "out of range for type integer" in reasons["2"]
    assert "too long" in reasons["3"]
    assert "abc" in reasons["4"]
    assert "day" in reasons["6"]
    till.sql("UPDATE t SET qty = 5, name = 'mended', total = 1, day = '2024-02-28'")
    shop.settle()
    assert parked(shop) == []
    assert shop.sql("SELECT count(*) FROM t WHERE name = 'mended'") == [(9,)]


def test_b28_leading_zeros_are_not_lost_at_head_office(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, code text, name text)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, code STRING, name TEXT)")
    shop.sql("INSERT INTO t VALUES (1, '0012345678905', 'a')")
    shop.settle()
    till.sql("UPDATE t SET name = 'b'")
    shop.settle()
    assert shop.sql("SELECT * FROM t") == [(1, "0012345678905", "b")]


def test_b29_a_text_with_a_nul_is_parked_and_blocks_nothing(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, name text, doc jsonb)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, doc TEXT)")
    till.sql("INSERT INTO t (id, name) VALUES (1, 'ab' || char(0) || 'cd')")
    till.sql("INSERT INTO t (id, doc) VALUES (2, ?)", '{"a": "x\\u0000y"}')
    till.sql("INSERT INTO t (id, name) VALUES (3, CAST(x'61ff62' AS TEXT))")
    till.sql("INSERT INTO t (id, name) VALUES (4, 'fine')")
    shop.settle()
    assert shop.sql("SELECT id FROM t") == [(4,)]
    assert [i for i, _ in parked(shop)] == ["1", "2", "3"]
    till.sql("UPDATE t SET name = 'mended', doc = NULL WHERE id < 4")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM t") == [(4,)]


def test_b31_bytes_are_the_same_bytes(build: Build) -> None:
    shop, till = build(
        "CREATE TABLE t (id int PRIMARY KEY, photo bytea)", "CREATE TABLE t (id INTEGER PRIMARY KEY, photo BLOB)"
    )
    photos = [b"", b"\0", b"\xff\0", b"deadbeef", b"\\xdeadbeef", bytes(range(256)) * 20_000, None]
    for number, photo in enumerate(photos):
        shop.sql("INSERT INTO t VALUES (%s, %s)", number, photo)
    shop.settle()
    assert [_hash(p) for (p,) in till.sql("SELECT photo FROM t ORDER BY id")] == [_hash(p) for p in photos]
    till.sql("UPDATE t SET id = id + 100")
    till.sql("INSERT INTO t SELECT id + 100, photo FROM t")
    shop.settle()
    found = [_hash(p) for (p,) in shop.sql("SELECT photo FROM t ORDER BY id")]
    assert found == [_hash(p) for p in photos] * 2


def _hash(photo: bytes | None) -> str | None:
    return None if photo is None else hashlib.sha256(photo).hexdigest()


def test_b32_special_types_travel_as_their_text(build: Build) -> None:
    central = """
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN tag AS text CHECK (VALUE <> '');
    CREATE TABLE t (id int PRIMARY KEY, doc jsonb, raw json, tags text[], m mood, ip inet, u uuid, cash money, i interval,
                    r tsrange, d tag, mac macaddr, nums numeric[], c char(5), tz timetz, tm time)"""
    names = ["doc", "raw", "tags", "m", "ip", "u", "cash", "i", "r", "d", "mac", "nums", "x", "c", "tz", "tm"]
    tables = f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(f'{n} TEXT' for n in names)})"
    shop, till = build(central, tables)
    shop.sql("""INSERT INTO t VALUES (1, '{"b": 1, "a": [2, null]}', '{"b" : 1,"a":2}', '{a,"b c",NULL}', 'ok', '10.0.0.1/8',
        'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 1234.5, '1 day 02:03:04.5', '[2024-01-01 10:00,2024-01-02 11:00)', 'red',
        '08:00:2b:01:02:03', '{1.10,2}', 'ab', '10:00:00+02', '10:11:12.13')""")
    before = shop.sql("SELECT t::text FROM t")
    shop.settle()
    assert till.sql("SELECT tags, m, cash, c FROM t") == [('{a,"b c",NULL}', "ok", "1234.50", "ab")]
    till.sql(f"INSERT INTO t SELECT 2, {', '.join(names)} FROM t")
    till.sql("UPDATE t SET tm = tm WHERE id = 1")
    shop.settle()
    assert parked(shop) == []
    assert shop.sql("SELECT t::text FROM t WHERE id = 1") == before
    assert shop.sql("SELECT replace(t::text, '(2,', '(1,') FROM t WHERE id = 2") == before
    till.sql("""UPDATE t SET doc = '{"c": 3}', tags = '{x}', cash = '7.25', m = 'sad' WHERE id = 2""")
    shop.settle()
    assert shop.sql("SELECT doc, tags, cash::numeric, m FROM t WHERE id = 2") == [({"c": 3}, ["x"], 7.25, "sad")]
    till.sql("UPDATE t SET doc = ? WHERE id = 1", '{"a":[2,null],   "b":1}')
    shop.settle()
    assert shop.sql("SELECT t::text FROM t WHERE id = 1") == before, "another order of keys is no change"
    till.sql("UPDATE t SET m = 'furious' WHERE id = 1")
    shop.settle()
    assert [i for i, _ in parked(shop)] == ["1"]


def test_b33_what_is_no_number_does_not_become_null(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, n numeric NOT NULL, x double precision NOT NULL, y real, name text)"
    tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC NOT NULL, x REAL NOT NULL, y REAL, name TEXT)"
    shop, till = build(central, tables)
    shop.sql("INSERT INTO t VALUES (1, 'NaN', 'NaN', 'NaN', 'a')")
    shop.settle()
    assert till.sql("SELECT n, x, y FROM t") == [("NaN", "NaN", "NaN")]
    till.sql("UPDATE t SET name = 'b'")
    till.sql("INSERT INTO t SELECT 2, n, x, y, name FROM t")
    shop.settle()
    assert shop.sql("SELECT n::text, x::text, y::text, name FROM t ORDER BY id") == [("NaN", "NaN", "NaN", "b")] * 2
    assert shop.sql("SELECT * FROM tillsync.conflict") == []


def test_b34_booleans_are_read_in_every_spelling_that_is_one(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, active boolean, name text)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, active BOOLEAN, name TEXT)")
    spelt: dict[Any, bool] = {
        1: True,
        0: False,
        "true": True,
        "f": False,
        "yes": True,
        "N": False,
        "on": True,
    }
    for number, value in enumerate([*spelt, 2, "", "maybe", 0.5]):
        till.sql("INSERT INTO t VALUES (?, ?, 'a')", number, value)
    shop.settle()
    assert shop.sql("SELECT id, active FROM t ORDER BY id") == list(enumerate(spelt.values()))
    assert len(parked(shop)) == 4
    shop.sql("UPDATE t SET active = NOT active WHERE id < 2")
    shop.settle()
    assert till.sql("SELECT active FROM t WHERE id < 2 ORDER BY id") == [(0,), (1,)]
    till.sql("UPDATE t SET active = 't' WHERE active = 1 AND id = 1")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM tillsync.conflict") == [(0,)]
    assert shop.settle() == 0, "a spelling is no endless change"


def test_b34_declared_spellings_go_both_ways(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, active boolean)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, active TEXT)", encode={"active": "yn"})
    shop.sql("INSERT INTO t VALUES (1, true), (2, false), (3, NULL)")
    till.sql("INSERT INTO t VALUES (4, 'y'), (5, 'N'), (6, '1')")
    shop.settle()
    assert till.sql("SELECT active FROM t ORDER BY id") == [("Y",), ("N",), (None,), ("Y",), ("N",), ("1",)]
    assert shop.sql("SELECT active FROM t WHERE id > 3 ORDER BY id") == [(True,), (False,)]
    assert [i for i, _ in parked(shop)] == ["6"]


def test_b35_a_date_that_is_none_in_its_form_is_parked(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, at timestamp, day date)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, day DATE)")
    times = [45321.5, 1700000000, 1700000000000, "2024-03-31T02:30", "2024-02-30", "", "now", "31.12.2024", "20241231"]
    for number, at in enumerate(times):
        till.sql("INSERT INTO t (id, at) VALUES (?, ?)", number, at)
    till.sql("INSERT INTO t (id, day) VALUES (20, '2024-12-31 00:00:00'), (21, '2024-12-31 10:00'), (22, 20241231)")
    till.sql("INSERT INTO t (id, at) VALUES (23, '2024-03-31 02:30:00+02:00'), (24, '2024-03-31 02:30:00Z')")
    shop.settle()
    good = shop.sql("SELECT id, at::text, day::text FROM t ORDER BY id")
    assert good == [(3, "2024-03-31 02:30:00", None), (20, None, "2024-12-31"), (24, "2024-03-31 02:30:00", None)]
    assert len(parked(shop)) == 11
    shop.sql("UPDATE t SET at = '2024-03-31 02:30:00.123456' WHERE id = 3")
    shop.settle()
    assert till.sql("SELECT at FROM t WHERE id = 3") == [("2024-03-31T02:30:00.123456",)]


@pytest.mark.parametrize(
    ("encode", "kept", "back"),
    [
        ("unix_s", 1711852200, "2024-03-31 02:30:00"),
        ("unix_ms", 1711852200123, "2024-03-31 02:30:00.123"),
        ("ticks", 638474490001234560, "2024-03-31 02:30:00.123456"),
        ("julian_day", 2460400.604168091, "2024-03-31 02:30:00.123"),
    ],
)
def test_b35_a_declared_form_is_kept_and_does_not_change_again(build: Build, encode: str, kept: Any, back: str) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, at timestamp, name text)"
    tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, at NUMERIC, name TEXT)"
    shop, till = build(central, tables, encode={"at": encode})
    shop.sql("INSERT INTO t VALUES (1, '2024-03-31 02:30:00.123456', 'a'), (2, NULL, 'a'), (3, 'infinity', 'a')")
    shop.settle()
    assert till.sql("SELECT at FROM t ORDER BY id") == [(pytest.approx(kept, abs=1e-9),), (None,)]
    assert [k for k, *_ in problems(till)] == ["[3]"]
    till.sql("UPDATE t SET name = 'b'")
    shop.settle()
    assert shop.sql("SELECT at::text, name FROM t WHERE id = 1") == [("2024-03-31 02:30:00.123456", "b")]
    till.sql("INSERT INTO t SELECT 4, at, name FROM t WHERE id = 1")
    till.sql("INSERT INTO t VALUES (5, 'yesterday', 'c')")
    shop.settle()
    assert shop.sql("SELECT at::text FROM t WHERE id = 4") == [(back,)]
    assert [i for i, _ in parked(shop)] == ["5"]
    till.sql("UPDATE t SET at = (SELECT at FROM t WHERE id = 4) WHERE id = 1")
    till.sql("UPDATE t SET at = 0 WHERE id = 1")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM tillsync.conflict") == [(0,)], "the till changed what it had, cut or not"
    assert shop.settle() == 0


def test_b35_money_in_minor_units(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, price numeric(12,2))"
    shop, till = build(
        central, "CREATE TABLE t (id INTEGER PRIMARY KEY, price INTEGER)", encode={"price": "minor_units"}
    )
    shop.sql("INSERT INTO t VALUES (1, 19.99), (2, -0.05), (3, 999999999.99), (4, 0)")
    shop.settle()
    assert till.sql("SELECT price FROM t ORDER BY id") == [(1999,), (-5,), (99999999999,), (0,)]
    till.sql("UPDATE t SET price = price + 1")
    till.sql("INSERT INTO t VALUES (5, 12.5)")
    shop.settle()
    assert shop.sql("SELECT price::text FROM t ORDER BY id") == [("20.00",), ("-0.04",), ("1000000000.00",), ("0.01",)]
    assert [i for i, _ in parked(shop)] == ["5"], "half a cent is no price, and not 12.50 either"


def test_b36_times_are_the_same_instants_whatever_a_session_is_set_to(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, day date, name text)"
    tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT, day TEXT, name TEXT)"
    shop, till = build(central, tables)
    name = shop.sql("SELECT current_database()")[0][0]
    for setting in ("TimeZone = 'Asia/Tokyo'", "DateStyle = 'SQL, DMY'", "IntervalStyle = 'postgres'"):
        shop.sql(f'ALTER DATABASE "{name}" SET {setting}')
    shop.agent.close()
    shop.sql(
        "INSERT INTO t VALUES (1, '2024-10-27 00:30:00+00', '2024-03-04', 'a'), (2, '2024-10-27 01:30:00+00', NULL, 'a')"
    )
    shop.settle()
    assert till.sql("SELECT at, day FROM t ORDER BY id") == [
        ("2024-10-27T00:30:00+00:00", "2024-03-04"),
        ("2024-10-27T01:30:00+00:00", None),
    ]
    shop.sql("SET TimeZone = 'Asia/Tokyo'")
    shop.sql("SET DateStyle = 'SQL, DMY'")
    shop.sql("UPDATE t SET name = name, at = at")
    assert shop.settle() == 0, "a session's settings are no change"
    till.sql("INSERT INTO t VALUES (3, '2024-10-27 02:30:00+02:00', NULL, 'b'), (4, '2024-10-27 01:30:00', NULL, 'b')")
    shop.settle()
    there = shop.sql("SELECT id, (at AT TIME ZONE 'UTC')::timestamp::text FROM t WHERE id > 2 ORDER BY id")
    assert there == [(3, "27/10/2024 00:30:00"), (4, "27/10/2024 01:30:00")]


def test_b36_a_tills_wall_clock_is_declared_with_its_zone(build: Build) -> None:
    central = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz)"
    tables = "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)"
    shop, till = build(central, tables, encode={"at": "local:Europe/Berlin"})
    shop.sql("INSERT INTO t VALUES (1, '2024-07-01 10:00+00'), (2, '2024-10-27 00:30+00'), (3, '2024-10-27 01:30+00')")
    till.sql("INSERT INTO t VALUES (4, '2024-01-01 12:00'), (5, '2024-03-31 02:30:00'), (6, '2024-10-27 02:30:00')")
    shop.settle()
    assert till.sql("SELECT at FROM t WHERE id < 4 ORDER BY id") == [
        ("2024-07-01 12:00:00",),
        ("2024-10-27 02:30:00",),
        ("2024-10-27 02:30:00",),
    ]
    there = shop.sql("SELECT id, (at AT TIME ZONE 'UTC')::text FROM t WHERE id > 3 ORDER BY id")
    assert there == [(4, "2024-01-01 11:00:00"), (6, "2024-10-27 00:30:00")]
    assert [i for i, _ in parked(shop)] == ["5"], "a time that the clocks pass over"


def test_b89_a_uuid_is_one_row_however_a_till_writes_it(build: Build) -> None:
    central = "CREATE TABLE t (id uuid PRIMARY KEY, name text)"
    shop, till = build(central, "CREATE TABLE t (id TEXT PRIMARY KEY, name TEXT)")
    one = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    shop.sql("INSERT INTO t VALUES (%s, 'a')", one)
    shop.settle()
    till.sql("INSERT INTO t VALUES (?, 'b')", one.upper())
    till.sql("INSERT INTO t VALUES (?, 'c')", "{" + one + "}")
    till.sql("UPDATE t SET name = 'd' WHERE id = ?", one)
    shop.settle()
    assert shop.sql("SELECT id::text, name FROM t") == [(one, "d")]
    assert len(shop.sql("SELECT * FROM tillsync.parked WHERE state = 'parked'")) == 2
    assert till.sql("SELECT name FROM t WHERE id = ?", one) == [("d",)]


def test_b89_a_uuid_of_16_bytes_is_declared(build: Build) -> None:
    central = "CREATE TABLE t (id uuid PRIMARY KEY, up uuid REFERENCES t, name text)"
    tables = "CREATE TABLE t (id BLOB PRIMARY KEY, up BLOB, name TEXT)"
    shop, till = build(central, tables, encode={"id": "blob", "up": "blob"})
    one, two = bytes(range(16)), bytes(range(16, 32))
    shop.sql("INSERT INTO t VALUES ('00010203-0405-0607-0809-0a0b0c0d0e0f', NULL, 'a')")
    till.sql("INSERT INTO t VALUES (?, ?, 'b')", two, one)
    till.sql("INSERT INTO t VALUES (?, NULL, 'c')", b"short")
    shop.settle()
    assert till.sql("SELECT id, up, name FROM t ORDER BY name") == [
        (one, None, "a"),
        (two, one, "b"),
        (b"short", None, "c"),
    ]
    assert shop.sql("SELECT up::text, name FROM t WHERE name > 'a'") == [("00010203-0405-0607-0809-0a0b0c0d0e0f", "b")]
    assert len(shop.sql("SELECT * FROM tillsync.parked WHERE state = 'parked'")) == 1
    till.sql("DELETE FROM t WHERE name = 'b'")
    shop.settle()
    assert shop.sql("SELECT name FROM t") == [("a",)]


def test_what_was_captured_in_another_encoding_is_read_in_that_one(build: Build) -> None:
    """The plan changes from seconds to milliseconds while changes of the till are on their way."""
    central = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz)"
    shop, till = build(central, "CREATE TABLE t (id INTEGER PRIMARY KEY, at INTEGER)", encode={"at": "unix_s"})
    shop.settle()
    till.sql("INSERT INTO t VALUES (1, 1700000000)")
    [table] = shop.settings.channel[0].table
    changed = shop.settings.channel[0].model_copy(
        update={"table": (table.model_copy(update={"encode": {"at": "unix_ms"}}),)}
    )
    shop.settings = shop.settings.model_copy(update={"channel": (changed,)})
    schema.install(shop.conn, schema.prepare(shop.conn, shop.settings))
    shop.settle()
    till.sql("INSERT INTO t VALUES (2, 1700000000000)")
    shop.settle()
    instants = "SELECT id, extract(epoch FROM at)::bigint FROM t ORDER BY id"
    assert shop.sql(instants) == [(1, 1700000000), (2, 1700000000)]
    assert till.sql("SELECT id, at FROM t ORDER BY id") == [(1, 1700000000000), (2, 1700000000000)]
