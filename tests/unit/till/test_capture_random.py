"""Random statements on an instrumented file and on a bare one: the application sees no difference, and the changelog
tells exactly what became of the rows."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.plan import Channel, Column, Plan, Table
from orchestrator.core.values import quote_sqlite as q
from orchestrator.core.world import real_world
from orchestrator.till import changelog, schema, shapes
from orchestrator.till.changelog import settled

EXAMPLES = int(os.environ.get("TILLSYNC_TILL_SEQUENCES", "40"))
QUIET: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": "TILLSYNC_TILL_SEQUENCES" not in os.environ,  # the large runs look where nobody has looked
}
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
    "refers to itself": Kind(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code INTEGER UNIQUE REFERENCES t ON UPDATE CASCADE,"
        " up INTEGER REFERENCES t (code) ON UPDATE CASCADE ON DELETE SET NULL, other INTEGER REFERENCES t ON UPDATE SET NULL)",
        "t",
        ("id", "code", "up", "other"),
        ("id",),
    ),
    "key refers to itself": Kind(
        "CREATE TABLE t (a INTEGER UNIQUE, b INTEGER REFERENCES t (a) ON UPDATE CASCADE ON DELETE CASCADE, v, n,"
        " PRIMARY KEY (a, b)) WITHOUT ROWID",
        "t",
        ("a", "b", "v", "n"),
        ("a", "b"),
    ),
    "written back": Kind(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, n);"
        "CREATE TABLE line (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE);"
        "CREATE TRIGGER make AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO line VALUES (NEW.id, NEW.id); END;"
        "CREATE TRIGGER moved AFTER UPDATE ON line BEGIN UPDATE t SET n = 7 WHERE id = NEW.up; END;"
        "CREATE TRIGGER gone AFTER DELETE ON line WHEN OLD.id = 3 BEGIN INSERT OR IGNORE INTO t VALUES (OLD.up, 0, 0); END",
        "t",
        ("id", "v", "n"),
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
    values = st.sampled_from(NUMBERS if "STRICT" in kind.sql or "REFERENCES" in kind.sql else WORDS)
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


class Newest:
    """The library of the agent, which is the newest there is."""

    version = apsw.sqlite_lib_version()
    error = apsw.Error

    def __init__(self, file: bytes) -> None:
        self.db = apsw.Connection(":memory:")
        self.db.deserialize("main", file)

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        return self.db.execute(sql).fetchall()

    @property
    def in_transaction(self) -> bool:
        return self.db.in_transaction

    def file(self) -> bytes:
        return self.db.serialize("main")

    def close(self) -> None:
        self.db.close()


class Systems:
    """The library that Python was built with: an application's, years older than the agent's."""

    version = sqlite3.sqlite_version
    error = sqlite3.Error

    def __init__(self, file: bytes) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.deserialize(file)

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        return self.db.execute(sql).fetchall()

    @property
    def in_transaction(self) -> bool:
        return self.db.in_transaction

    def file(self) -> bytes:
        return self.db.serialize()

    def close(self) -> None:
        self.db.close()


App = Newest | Systems


@contextmanager
def database(library: type[App], name: str, *, captured: bool, pragmas: bool) -> Iterator[App]:
    with closing(library(image(name, captured))) as app:
        app.run(f"PRAGMA recursive_triggers = {int(pragmas)}")
        app.run(f"PRAGMA foreign_keys = {int(pragmas)}")
        yield app


class Outcome(NamedTuple):
    """What the application can see of a statement."""

    error: tuple[str, str] | None
    changes: int
    rowid: int
    in_transaction: bool
    content: list[Any]


def outcome(app: App, sql: str, kind: Kind) -> Outcome:
    try:
        app.run(sql)
    except app.error as e:
        return Outcome((type(e).__name__, str(e)), 0, 0, app.in_transaction, content(app, kind))
    changes, rowid = app.run("SELECT changes(), last_insert_rowid()")[0]
    return Outcome(None, changes, rowid, app.in_transaction, content(app, kind))


def content(app: App, kind: Kind) -> list[Any]:
    typed = ", ".join(f"typeof({q(c)}), {q(c)}" for c in kind.columns)
    return sorted(app.run(f"SELECT {typed} FROM {q(kind.name)}"), key=repr)


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


@pytest.mark.parametrize("library", [Newest, Systems], ids=lambda library: f"SQLite {library.version}")
@pytest.mark.parametrize("name", KINDS)
def test_the_application_sees_no_difference_and_the_changelog_tells_all(name: str, library: type[App]) -> None:
    kind = KINDS[name]

    @settings(**QUIET, max_examples=EXAMPLES)
    @given(runs(kind))
    def compare(run: tuple[bool, list[str]]) -> None:
        pragmas, statements = run
        with (
            database(library, name, captured=True, pragmas=pragmas) as captured,
            database(library, name, captured=False, pragmas=pragmas) as bare,
        ):
            failed = parted = False
            for sql in statements:
                here, there = outcome(captured, sql, kind), outcome(bare, sql, kind)
                # What a statement that failed makes of last_insert_rowid() nobody may build on.
                failed = failed or here.error is not None
                if failed and here.error == there.error and "datatype mismatch" in str(here.error):
                    parted = True  # where no trigger is, older versions leave half of such a statement done
                    break
                if "FOREIGN KEY" in str(here.error) and bare.run("PRAGMA foreign_key_check"):
                    parted = True  # where no trigger is, a REPLACE of a row that refers to itself may break its own key
                    break
                assert here._replace(rowid=0) == there._replace(rowid=0), sql
                assert failed or here.rowid == there.rowid, sql
            for app in (captured, bare):
                if app.in_transaction:
                    app.run("COMMIT")
            with closing(Newest(captured.file())) as agent:
                with settled(agent.db):
                    pass
                assert replayed(agent.db, kind) == content(agent, kind)
                assert parted or content(agent, kind) == content(bare, kind)

    compare()


NOT_IN_3_24 = re.compile(
    r"ON CONFLICT|RETURNING|->|\bOVER\b|FILTER|\biif\b|DISTINCT FROM|unixepoch|json|GENERATED|STRICT|NULLS (FIRST|LAST)|IS NOT DISTINCT",
    re.IGNORECASE,
)


@pytest.mark.parametrize("name", KINDS)
def test_a_trigger_has_nothing_that_sqlite_3_24_does_not_know(name: str) -> None:
    with closing(Newest(image(name, True))) as app:
        ours = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tillsync%'"
        triggers = [sql for (sql,) in app.run(ours)]
    assert len(triggers) == 5
    for sql in triggers:
        body = re.sub(r'"[^"]*"|--.*', "", sql)
        assert NOT_IN_3_24.search(body) is None, sql
        called = set(re.findall(r"\b([a-z_]+)\(", body)) - {"values"}
        assert called <= {"random", "julianday", "typeof", "lower", "tillsync_changelog"}, called


def captured_images(sql: str, columns: tuple[str, ...], work: str) -> list[tuple[Any, Any]]:
    """The images in the changelog, settled, of what an application with foreign keys does."""
    kind = Kind(sql, "t", columns, columns[:1])
    with closing(apsw.Connection(":memory:")) as db:
        db.execute(kind.sql)
        schema.install(db, plan_of(kind), WORLD)
        db.execute(f"PRAGMA foreign_keys = on; {work}")
        with settled(db):
            pass
        return [(c.old, c.new) for c in changelog.read(db, 0, 2**62, 20)]


SELF = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t ON UPDATE CASCADE)"


def test_a_row_that_refers_to_itself_takes_its_new_key_along() -> None:
    """ON UPDATE CASCADE of a row to itself: SQLite has its second change logged before the first."""
    images = captured_images(SELF, ("id", "up"), "INSERT INTO t VALUES (1, 1); UPDATE t SET id = 2")
    assert images == [(None, (1, 1)), ((1, 1), (2, 1)), ((2, 1), (2, 2))]


def test_changes_there_and_back_stay_in_their_order() -> None:
    work = "INSERT INTO t VALUES (1, NULL); UPDATE t SET id = 2; UPDATE t SET id = 1; UPDATE t SET id = 2"
    there, back = ((1, None), (2, None)), ((2, None), (1, None))
    assert captured_images(SELF, ("id", "up"), work)[1:] == [there, back, there]


def test_text_that_is_no_utf_8_is_put_in_order_too() -> None:
    sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t ON UPDATE CASCADE, v TEXT)"
    work = "INSERT INTO t VALUES (1, 1, CAST(x'ff' AS TEXT)); UPDATE t SET id = 2"
    assert captured_images(sql, ("id", "up", "v"), work)[-1][1] == (2, 2, b"\xff")


def test_a_trigger_that_writes_back_is_logged_after_what_set_it_off() -> None:
    """Neither the parent's update nor its delete undoes what the child's trigger made of it."""
    work = "INSERT INTO t VALUES (1, 0, 0), (3, 0, 0); UPDATE t SET id = 2 WHERE id = 1; DELETE FROM t WHERE id = 3"
    images = captured_images(KINDS["written back"].sql, ("id", "v", "n"), work)
    assert images[2:4] == [((1, 0, 0), (2, 0, 0)), ((2, 0, 0), (2, 0, 7))]
    assert images[4:] == [((3, 0, 0), None), (None, (3, 0, 0))]


def test_a_row_in_the_way_by_any_one_rule_is_seen() -> None:
    sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, w UNIQUE)"
    made = "INSERT INTO t VALUES (1, 'a', 'a'), (2, 'b', 'b'), (3, 'c', 'c'), (4, 'd', 'd'), (5, 'e', 'e');"
    replaced = "REPLACE INTO t VALUES (1, 'x', 'x'), (8, 'b', 'y'), (9, 'z', 'c');"
    moved = "UPDATE OR REPLACE t SET u = 'd' WHERE id = 8; UPDATE OR REPLACE t SET w = 'e' WHERE id = 9"
    images = captured_images(sql, ("id", "u", "w"), made + replaced + moved)
    assert [old[0] for old, new in images if new is None] == [1, 2, 3, 4, 5]
