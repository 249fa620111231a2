"""Random values of every type go from head office to a till and back, and from a till to head office and back.

Whatever the sessions of the applications are set to; in a first load and as changes alike. Many rows share one
synchronisation, each with a value of every type, so that an example costs little.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from psycopg import sql

from orchestrator.core.world import World
from tests.integration.cases.shop import Shop, Till

EXAMPLES = int(os.environ.get("TILLSYNC_ROUND_TRIP_EXAMPLES", "200"))
ROWS_AT_ONCE = 1_000
SETTINGS = (
    "TimeZone = 'Asia/Kathmandu'",
    "DateStyle = 'German, DMY'",
    "IntervalStyle = 'sql_standard'",
    "extra_float_digits = -3",
    "bytea_output = 'escape'",
    "lc_monetary = 'C'",
)

LETTERS = "aZ09 '\"\\%_,;{}()[]\t\n\r-äßŽ漢字\U0001f600\u0301\u200e\x01\x7f"


class Kind(NamedTuple):
    """A type at both ends, and a drawing of what PostgreSQL reads as one of its values."""

    central: str
    till: str
    draw: Callable[[Random], str | bytes]


def integer(bits: int) -> Callable[[Random], str]:
    edges = (0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)))
    return lambda r: str(r.choice(edges) if r.random() < 0.3 else r.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1)))


def text(r: Random) -> str:
    return "".join(r.choice(LETTERS) for _ in range(r.randrange(12)))


def decimal(digits: int, scale: int) -> Callable[[Random], str]:
    def draw(r: Random) -> str:
        number = r.randrange(-(10 ** r.randrange(1, digits + 1)), 10 ** r.randrange(1, digits + 1))
        return str(Decimal(number).scaleb(-scale))

    return draw


def floating(r: Random) -> str:
    special = ("NaN", "Infinity", "-Infinity", "0", "1e-307", "1.7976931348623157e308", "0.30000000000000004")
    return r.choice(special) if r.random() < 0.2 else repr(r.uniform(-1, 1) * 10.0 ** r.randrange(-300, 300))


def single(r: Random) -> str:
    special = ("NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-37", "0.1")
    return r.choice(special) if r.random() < 0.2 else f"{r.uniform(-1, 1) * 10.0 ** r.randrange(-36, 38):.9g}"


def day(r: Random) -> str:
    special = ("infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "294276-12-31", "2024-02-29")
    return r.choice(special) if r.random() < 0.2 else (date(1, 1, 1) + timedelta(r.randrange(3_600_000))).isoformat()


def moment(zone: str) -> Callable[[Random], str]:
    def draw(r: Random) -> str:
        if r.random() < 0.15:
            return r.choice(
                ("infinity", "-infinity", f"0044-03-15 12:00:00{zone} BC", f"20240-01-01 00:00:00.000001{zone}")
            )
        at = datetime(1, 1, 2, tzinfo=UTC) + timedelta(seconds=r.randrange(3 * 10**11), microseconds=r.randrange(10**6))
        return at.replace(tzinfo=None).isoformat(sep=" ") + (r.choice(("+00", "+05:45", "-11", "+14")) if zone else "")

    return draw


def clock(zone: str) -> Callable[[Random], str]:
    return lambda r: time(r.randrange(24), r.randrange(60), r.randrange(60), r.randrange(10**6)).isoformat() + zone


def json(r: Random) -> str:
    return r.choice(
        ('{"b": 1, "a": [1.10, null, true]}', "[]", '"x\\u00e4"', "null", '{"a": {"b": "\\n"}}', "1e400", "-0")
    )


KINDS = {
    "small": Kind("smallint", "INTEGER", integer(16)),
    "whole": Kind("integer", "INTEGER", integer(32)),
    "big": Kind("bigint", "BIGINT", integer(64)),
    "big_text": Kind("bigint", "TEXT", integer(64)),
    "price": Kind("numeric(12,4)", "NUMERIC", decimal(12, 4)),
    "amount": Kind("numeric", "TEXT", decimal(40, 12)),
    "exact": Kind("numeric(15,2)", "DECIMAL(15,2)", decimal(15, 2)),
    "cash": Kind("money", "NUMERIC", decimal(12, 2)),
    "x": Kind("double precision", "REAL", floating),
    "x_any": Kind("double precision", "", floating),
    "f": Kind("real", "DOUBLE", single),
    "yes": Kind("boolean", "BOOLEAN", lambda r: r.choice(("t", "f"))),
    "words": Kind("text", "TEXT", text),
    "short": Kind("varchar(40)", "VARCHAR(40)", text),
    "fixed": Kind("char(14)", "CHAR(14)", text),
    "day": Kind("date", "TEXT", day),
    "at": Kind("timestamp", "TEXT", moment("")),
    "at_ms": Kind("timestamp(3)", "TEXT", moment("")),
    "instant": Kind("timestamptz", "DATETIME", moment("+00")),
    "hour": Kind("time", "TEXT", clock("")),
    "hour_tz": Kind("timetz", "TEXT", clock("+02")),
    "span": Kind("interval", "TEXT", lambda r: f"{r.randrange(-99, 99)} mons {r.randrange(-99, 99)} days {r.randrange(-9999, 9999)}.{r.randrange(10**6):06} secs"),
    "u": Kind("uuid", "TEXT", lambda r: f"{r.getrandbits(128):032x}"),
    "photo": Kind("bytea", "BLOB", lambda r: r.randbytes(r.randrange(9))),
    "doc": Kind("jsonb", "TEXT", json),
    "raw": Kind("json", "TEXT", json),
    "list": Kind("text[]", "TEXT", lambda r: r.choice(("{}", '{a,"b c",NULL,"\\"{"}', "{{1,2},{3,4}}"))),
    "nums": Kind("numeric[]", "TEXT", lambda r: "{" + ",".join(decimal(9, 3)(r) for _ in range(r.randrange(4))) + "}"),
    "floats": Kind("float8[]", "TEXT", lambda r: "{" + ",".join(floating(r) for _ in range(3)) + "}"),
    "times": Kind("timestamptz[]", "TEXT", lambda r: '{"2024-03-31 02:30:00.5+05:45",infinity}'),
    "mood": Kind("mood", "TEXT", lambda r: r.choice(("sad", "so so", "ok"))),
    "tag": Kind("tag", "TEXT", lambda r: "t" + text(r)),
    "ip": Kind("inet", "TEXT", lambda r: f"10.{r.randrange(256)}.0.1/{r.randrange(8, 33)}"),
    "mac": Kind("macaddr", "TEXT", lambda r: f"{r.getrandbits(48):012x}"),
    "span_of": Kind("numrange", "TEXT", lambda r: r.choice(("empty", "[1.10,2)", "(,5]", "(,)"))),
    "during": Kind("tstzrange", "TEXT", lambda r: r.choice(("empty", "[2024-01-01 00:00+03,infinity)"))),
    "bits": Kind("bit varying(20)", "TEXT", lambda r: f"{r.getrandbits(19):b}"),
}  # fmt: skip

TYPES = "CREATE TYPE mood AS ENUM ('sad', 'so so', 'ok'); CREATE DOMAIN tag AS text CHECK (VALUE LIKE 't%');"
NAMES = list(KINDS)
CENTRAL = f"{TYPES} CREATE TABLE t (id int PRIMARY KEY, touched int, {', '.join(f'{n} {k.central}' for n, k in KINDS.items())})"
TILL = (
    f"CREATE TABLE t (id INTEGER PRIMARY KEY, touched INTEGER, {', '.join(f'{n} {k.till}' for n, k in KINDS.items())})"
)
CHANNELS = [{"name": "all", "direction": "both", "table": [{"name": "t", "policy": "column_merge"}]}]


@pytest.fixture
def chain(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[tuple[Shop, Till]]:
    shop = Shop(database, world, tmp_path, central=CENTRAL, till=TILL, channels=CHANNELS)
    name = shop.sql("SELECT current_database()")[0][0]
    for setting in SETTINGS:
        shop.conn.execute(sql.SQL("ALTER DATABASE {} SET {}").format(sql.Identifier(name), sql.SQL(setting)))
        shop.sql(f"SET {setting}")
    till = shop.till("T1", "B1")
    yield shop, till
    shop.close()


def fill(shop: Shop, first: int, count: int, seed: int) -> None:
    """Rows of head office's: a value of every type, now and then a NULL."""
    columns = sql.SQL(", ").join(map(sql.Identifier, ["id", "touched", *NAMES]))
    r = Random(seed)
    with shop.conn.cursor().copy(sql.SQL("COPY t ({}) FROM STDIN").format(columns)) as copy:
        for number in range(first, first + count):
            values = [None if r.random() < 0.05 else KINDS[n].draw(r) for n in NAMES]
            copy.write_row([number, 0, *values])


def stored(shop: Shop) -> dict[int, tuple[Any, ...]]:
    """Every value as head office has it, told apart to the last bit."""
    exact = ", ".join(
        f"{n}::text" if KINDS[n].central not in ("double precision", "real") else f"{_SEND[KINDS[n].central]}({n})"
        for n in NAMES
    )
    with shop.conn.transaction():
        shop.sql("SET LOCAL extra_float_digits = 3")
        return {row[0]: row[1:] for row in shop.sql(f"SELECT id, {exact} FROM t")}


_SEND = {"double precision": "float8send", "real": "float4send"}


def compare(found: dict[int, tuple[Any, ...]], expected: dict[int, tuple[Any, ...]]) -> None:
    assert found.keys() == expected.keys()
    for number, row in expected.items():
        for name, here, there in zip(NAMES, found[number], row, strict=True):
            assert here == there, f"row {number}, {name} ({KINDS[name].central}): {here!r}, was {there!r}"


def healthy(shop: Shop, till: Till) -> None:
    assert shop.sql("SELECT tab, reason FROM tillsync.parked WHERE state = 'parked' LIMIT 3") == []
    assert shop.sql("SELECT columns FROM tillsync.conflict LIMIT 3") == []
    assert till.sql("SELECT kind, reason FROM tillsync_problem LIMIT 3") == []


def test_values_go_to_a_till_and_back(chain: tuple[Shop, Till]) -> None:
    shop, till = chain
    half = EXAMPLES // 2
    for start in range(0, half, ROWS_AT_ONCE):
        fill(shop, start, min(ROWS_AT_ONCE, half - start), seed=start)  # before the first load
    shop.settle()
    for start in range(half, EXAMPLES, ROWS_AT_ONCE):
        fill(shop, start, min(ROWS_AT_ONCE, EXAMPLES - start), seed=start)
        shop.settle()
    healthy(shop, till)
    before = stored(shop)
    assert len(before) == EXAMPLES
    till.sql("UPDATE t SET touched = 1")
    shop.settle()
    healthy(shop, till)
    assert shop.sql("SELECT count(*) FROM t WHERE touched = 1") == [(EXAMPLES,)]
    compare(stored(shop), before)
    # written anew by the till, every value as it has it, and again for a second generation
    for generation in (1, 2):
        shift = generation * EXAMPLES
        till.sql(
            f"INSERT INTO t SELECT id + {EXAMPLES}, {generation}, {', '.join(NAMES)} FROM t WHERE id >= {shift - EXAMPLES}"
        )
        shop.settle()
        healthy(shop, till)
        found = {n - shift: row for n, row in stored(shop).items() if n >= shift}
        compare(found, before)
    assert shop.settle() == 0


def test_a_change_of_nothing_but_settings_is_none(chain: tuple[Shop, Till]) -> None:
    shop, _ = chain
    fill(shop, 0, 50, seed=7)
    shop.settle()
    shop.sql("SET TimeZone = 'America/St_Johns'")
    shop.sql(f"UPDATE t SET {', '.join(f'{n} = {n}' for n in NAMES)}")
    assert shop.settle() == 0
