"""Random statements on an instrumented file and on a bare one: the application sees no difference, and the changelog
tells exactly what became of the rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.plan import Channel, Column, Plan, Table
from orchestrator.core.values import quote_sqlite as q
from orchestrator.core.world import real_world
from orchestrator.till import changelog, schema, shapes
from orchestrator.till.changelog import settled

EXAMPLES = int(os.environ.get("TILLSYNC_ORACLE_EXAMPLES", "60"))
STATEMENTS_MAX = 14
WORLD = real_world()


@dataclass(frozen=True)
class Kind:
    """A table of the vendor's: its statements, its columns in order, its key."""

    sql: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


KINDS = {
    "rowid": Kind(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v, w TEXT COLLATE NOCASE UNIQUE)",
        "t",
        ("id", "u", "v", "w"),
        ("id",),
    ),
    "without rowid": Kind(
        "CREATE TABLE t (a TEXT, b INTEGER, u INTEGER UNIQUE, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "t",
        ("a", "b", "u", "v"),
        ("a", "b"),
    ),
    "composite": Kind(
        "CREATE TABLE t (a TEXT NOT NULL, b INTEGER NOT NULL, v NUMERIC, x REAL, PRIMARY KEY (b, a), CHECK (v IS NOT 4))",
        "t",
        ("a", "b", "v", "x"),
        ("a", "b"),
    ),
    "odd names": Kind(
        'CREATE TABLE "order" ("rowid" INTEGER PRIMARY KEY, "new" TEXT UNIQUE, "old", "a""b c" TEXT)',
        "order",
        ("rowid", "new", "old", 'a"b c'),
        ("rowid",),
    ),
    "partial rules": Kind(
        "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, u, v, g AS (u || v));"
        "CREATE UNIQUE INDEX some ON t (u) WHERE v IS NOT NULL; CREATE UNIQUE INDEX lowered ON t (lower(v))",
        "t",
        ("id", "u", "v"),
        ("id",),
    ),
    "own triggers": Kind(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE, v, n INTEGER DEFAULT 0);"
        "CREATE TABLE told (id); CREATE TRIGGER tell AFTER INSERT ON t BEGIN INSERT INTO told VALUES (NEW.id); END;"
        "CREATE TRIGGER count AFTER UPDATE OF v ON t BEGIN UPDATE t SET n = n + 1 WHERE id = NEW.id; END",
        "t",
        ("id", "u", "v", "n"),
        ("id",),
    ),
    "strict": Kind(
        "CREATE TABLE t (id INT NOT NULL, up INT REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, v TEXT UNIQUE,"
        " z ANY, PRIMARY KEY (id)) STRICT",
        "t",
        ("id", "up", "v", "z"),
        ("id",),
    ),
}

WORDS = ["1", "2", "3", "4", "'a'", "'A'", "'b'", "'ä'", "NULL", "1.0", "x'00'", "2.5", "''", "9e999"]
NUMBERS = ["1", "2", "3", "4", "5", "NULL"]
"""For a STRICT table: of a NULL and a wrong type in one row SQLite names the one or the other, as triggers have it."""

OR = st.sampled_from(["", "", " OR REPLACE", " OR IGNORE", " OR FAIL", " OR ABORT", " OR ROLLBACK"])


@st.composite
def statement(draw: st.DrawFn, kind: Kind) -> str:
    name = q(kind.name)
    columns = [q(c) for c in kind.columns]
    values = st.sampled_from(NUMBERS if "STRICT" in kind.sql else WORDS)
    column, other = draw(st.sampled_from(columns)), draw(st.sampled_from(columns))

    def row() -> str:
        return "(" + ", ".join(draw(values) for _ in columns) + ")"

    where = draw(st.sampled_from(["", f" WHERE {other} = {draw(values)}", f" WHERE {other} IS {draw(values)}"]))
    insert = f"INTO {name} ({', '.join(columns)})"
    upsert = f"ON CONFLICT DO UPDATE SET {column} = excluded.{other}"
    return draw(
        st.sampled_from(
            [
                f"INSERT{draw(OR)} {insert} VALUES {row()}",
                f"INSERT{draw(OR)} {insert} VALUES {row()}, {row()}, {row()}",
                f"INSERT {insert} VALUES {row()}, {row()} {draw(st.sampled_from([upsert, 'ON CONFLICT DO NOTHING']))}",
                f"REPLACE {insert} VALUES {row()}",
                f"INSERT{draw(OR)} {insert} SELECT {', '.join(reversed(columns))} FROM {name}",
                f"UPDATE{draw(OR)} {name} SET {column} = {draw(values)}{where}",
                f"UPDATE{draw(OR)} {name} SET {column} = {other}{where}",
                f"UPDATE{draw(OR)} {name} SET {column} = {column} + 1{where}",
                f"DELETE FROM {name}{where}",
                "SAVEPOINT s",
                "ROLLBACK TO s",
                "RELEASE s",
                "BEGIN",
                "COMMIT",
            ]
        )
    )


@st.composite
def runs(draw: st.DrawFn, kind: Kind) -> tuple[bool, list[str]]:
    """Whether the application has switched recursive triggers and foreign keys on, and what it does."""
    return draw(st.booleans()), draw(st.lists(statement(kind), min_size=1, max_size=STATEMENTS_MAX))


def plan_of(kind: Kind) -> Plan:
    columns = tuple(Column(c, "text", "text", c) for c in kind.columns)
    return Plan(1, {}, (Channel("all", "up", (Table("public.t", kind.name, kind.key, columns),)),))


@cache
def image(name: str, captured: bool) -> bytes:
    """A file with the vendor's table, and ours or not."""
    with closing(apsw.Connection(":memory:")) as db:
        db.execute(KINDS[name].sql)
        if captured:
            schema.install(db, plan_of(KINDS[name]), WORLD)
        return db.serialize("main")


@contextmanager
def database(name: str, *, captured: bool, pragmas: bool) -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as db:
        db.deserialize("main", image(name, captured))
        db.execute(f"PRAGMA recursive_triggers = {int(pragmas)}; PRAGMA foreign_keys = {int(pragmas)}")
        yield db


def outcome(db: apsw.Connection, sql: str, kind: Kind) -> tuple[Any, ...]:
    """What the application can see of a statement. Of one that failed last_insert_rowid() says nothing worth knowing."""
    try:
        db.execute(sql)
    except apsw.Error as e:
        return type(e).__name__, str(e), db.in_transaction, content(db, kind)
    return db.changes(), db.last_insert_rowid(), db.in_transaction, content(db, kind)


def content(db: apsw.Connection, kind: Kind) -> list[Any]:
    typed = ", ".join(f"typeof({q(c)}), {q(c)}" for c in kind.columns)
    return sorted(db.execute(f"SELECT {typed} FROM {q(kind.name)}").fetchall(), key=repr)


def replayed(db: apsw.Connection, kind: Kind) -> list[Any]:
    """What the changelog makes of an empty table."""
    rows: dict[str, tuple[Any, ...]] = {}
    places = [kind.columns.index(k) for k in kind.key]
    assert [s.shape.columns for s in shapes.load(db).values()] == [kind.columns]

    def key(image: tuple[Any, ...]) -> str:
        return repr([(type(image[p]), image[p]) for p in places])

    for change in changelog.read(db, 0, 2**62, 100_000):
        if change.old is not None:
            assert rows.pop(key(change.old)) == change.old, f"{change} removes what was not so"
        if change.new is not None:
            assert key(change.new) not in rows, f"{change} makes what is there"
            rows[key(change.new)] = change.new
    names = {int: "integer", float: "real", str: "text", bytes: "blob", type(None): "null"}
    typed = [tuple(x for v in row for x in (names[type(v)], v)) for row in rows.values()]
    return sorted(typed, key=repr)


@pytest.mark.parametrize("name", KINDS)
def test_the_application_sees_no_difference_and_the_changelog_tells_all(name: str) -> None:
    kind = KINDS[name]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(runs(kind))
    def compare(run: tuple[bool, list[str]]) -> None:
        pragmas, statements = run
        with (
            database(name, captured=True, pragmas=pragmas) as captured,
            database(name, captured=False, pragmas=pragmas) as bare,
        ):
            for sql in statements:
                assert outcome(captured, sql, kind) == outcome(bare, sql, kind), sql
            for db in (captured, bare):
                if db.in_transaction:
                    db.execute("COMMIT")
            with settled(captured):
                pass
            assert replayed(captured, kind) == content(captured, kind)

    compare()
