"""Applying ticks: the till's own unanswered changes stand, and whatever can be in the way is met without a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import msgspec
import pytest

from orchestrator.core import wire
from orchestrator.core.changes import Position
from orchestrator.core.world import World
from orchestrator.relay.messages import Part
from orchestrator.settings import TillSettings
from orchestrator.till import changelog, schema, state
from orchestrator.till.pull import pull
from orchestrator.till.push import push
from tests.unit.till.conftest import PLAN
from tests.unit.till.listed_relay import ListedRelay, delta, echo, snapshot

STREAMS = ((1, "catalogue"), (2, "shared"))
ITEM = ("public.item", ("id", "code", "name", "price"))
CONTACT = ("public.contact", ("id", "phone", "name"))
TableOf = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(params=["small", "large"])
def relay(request: pytest.FixtureRequest) -> ListedRelay:
    """What the tests say holds for ticks that come at once, and for those that come part by part."""
    made = ListedRelay(PLAN, STREAMS, lists_all=request.param == "large")
    made.tick(
        snapshot(1, *ITEM, [[1, "A", "apple", "1.00"], [2, "B", "bean", "2.00"]]),
        snapshot(2, *CONTACT, [["c1", "111", "Ann"]]),
    )
    return made


@pytest.fixture
def till(db: apsw.Connection, relay: ListedRelay, world: World, settings: TillSettings) -> Callable[[], None]:
    """A round of the till's."""

    def turn() -> None:
        push(db, relay, world, settings, relay.hello())
        pull(db, relay, world)

    turn()
    return turn


def news(*, held: list[tuple[int, int, str]] = [], free: list[tuple[int, int]] = []) -> Part:  # noqa: B006
    body = {"t": "", "c": [], "held": held, "free": free}
    return Part(0, "echo", 0, wire.pack(msgspec.json.encode(body)))


def problems(app: apsw.Connection) -> list[tuple[Any, ...]]:
    return app.execute("SELECT central, key, kind FROM tillsync_problem ORDER BY 1, 2").fetchall()


def test_a_row_with_own_changes_stands_until_central_has_answered(
    app: apsw.Connection, db: apsw.Connection, relay: ListedRelay, till: Callable[[], None], table_of: TableOf
) -> None:
    app.execute("UPDATE contact SET name = 'Anna' WHERE id = 'c1'")
    app.execute("INSERT INTO contact (id, phone, name) VALUES ('c2', '222', 'Bea')")
    relay.tick(delta(2, *CONTACT, put=[["c1", "111", "Eve"], ["c2", "999", "Eva"], ["c3", "333", "Cid"]]))
    till()
    assert [r[2] for r in table_of("contact")] == ["Anna", "Bea", "Cid"]
    relay.tick(delta(2, *CONTACT, cut=[["c1"], ["c3"]]))
    till()
    assert [r[2] for r in table_of("contact")] == ["Anna", "Bea"]
    relay.ack = changelog.last(db) or relay.ack
    relay.tick(echo(*CONTACT, put=[["c2", "222", "Bea"]], cut=[["c1"]]))
    till()
    assert [r[:3] for r in table_of("contact")] == [("c2", "222", "Bea")]


def test_a_snapshot_takes_what_is_not_in_it_but_nothing_of_the_tills_own(
    app: apsw.Connection, relay: ListedRelay, till: Callable[[], None], db: apsw.Connection, table_of: TableOf
) -> None:
    relay.tick(delta(2, *CONTACT, put=[["c5", "555", "Eli"], ["c6", "666", "Fay"]]))
    till()
    app.execute("UPDATE contact SET name = 'Elias' WHERE id = 'c5'")
    db.execute("UPDATE tillsync_stream SET loaded_tick = NULL WHERE stream = 2")
    relay.tick(snapshot(2, *CONTACT, [["c1", "111", "Ann"], ["c7", "777", "Gus"]]))
    till()
    assert [r[0] for r in table_of("contact")] == ["c1", "c5", "c7"]
    assert table_of("contact")[1][2] == "Elias"


def test_a_row_that_central_has_parked_stays_as_the_till_wrote_it(
    app: apsw.Connection, relay: ListedRelay, till: Callable[[], None], db: apsw.Connection, table_of: TableOf
) -> None:
    app.execute("UPDATE contact SET name = 'too long' WHERE id = 'c1'")
    till()
    parked = relay.ack = changelog.last(db) or relay.ack
    relay.tick(news(held=[(*parked, "too long")]), echo(*CONTACT, put=[["c1", "111", "Ann"]]))
    till()
    assert table_of("contact")[0][2] == "too long"
    relay.tick(delta(2, *CONTACT, put=[["c1", "112", "Ann"]]))
    till()
    db.execute("UPDATE tillsync_stream SET loaded_tick = NULL WHERE stream = 2")
    relay.tick(snapshot(2, *CONTACT, []))
    till()
    assert table_of("contact")[0][:3] == ("c1", "111", "too long")
    assert app.execute("SELECT reason FROM tillsync_held").fetchall() == [("too long",)]
    relay.tick(news(free=[parked]), echo(*CONTACT, put=[["c1", "112", "short"]]))
    till()
    assert table_of("contact")[0][:3] == ("c1", "112", "short")
    assert app.execute("SELECT count(*) FROM tillsync_held").fetchall() == [(0,)]


def test_b17_unique_values_change_hands_within_a_tick(
    app: apsw.Connection, relay: ListedRelay, till: Callable[[], None], table_of: TableOf
) -> None:
    app.execute("UPDATE item SET shelf = 'Z' WHERE id = 1")
    relay.tick(delta(1, *ITEM, put=[[1, "B", "apple", "1.00"], [2, "A", "bean", "2.00"]]))
    till()
    assert table_of("item") == [(1, "B", "apple", "1.00", "Z"), (2, "A", "bean", "2.00", "A")]
    relay.tick(delta(1, *ITEM, put=[[1, "C", "apple", "1.00"], [2, "B", "bean", "2.00"], [3, "A", "corn", "3.00"]]))
    till()
    assert [(r[0], r[1]) for r in table_of("item")] == [(1, "C"), (2, "B"), (3, "A")]
    relay.tick(delta(1, *ITEM, put=[[4, "C", "dill", "4.00"]], cut=[[1]]))
    till()
    assert [(r[0], r[1]) for r in table_of("item")] == [(2, "B"), (3, "A"), (4, "C")]
    assert problems(app) == []


def test_a_row_that_waits_and_is_deleted_by_the_next_tick_of_the_same_pull_never_comes(
    app: apsw.Connection, relay: ListedRelay, till: Callable[[], None], table_of: TableOf
) -> None:
    app.execute("INSERT INTO contact (id, phone, name) VALUES ('mine', '777', 'Own')")
    relay.tick(delta(2, *CONTACT, put=[["c7", "777", "Gus"]]))
    relay.tick(delta(2, *CONTACT, cut=[["c7"]]))
    till()
    assert problems(app) == []
    app.execute("DELETE FROM contact WHERE id = 'mine'")
    relay.tick(delta(2, *CONTACT, put=[["c9", "999", "Ida"]]))
    till()
    assert [r[0] for r in table_of("contact")] == ["c1", "c9"]


def test_a_row_whose_unique_value_is_the_tills_own_waits_and_comes_when_it_is_free(
    app: apsw.Connection, relay: ListedRelay, till: Callable[[], None], table_of: TableOf
) -> None:
    app.execute("INSERT INTO contact (id, phone, name) VALUES ('mine', '777', 'Own')")
    relay.tick(delta(2, *CONTACT, put=[["c7", "777", "Gus"], ["c8", "888", "Hal"]]))
    till()
    assert [r[0] for r in table_of("contact")] == ["c1", "c8", "mine"]
    assert problems(app) == [("public.contact", '["c7"]', "waiting")]
    app.execute("UPDATE contact SET phone = '778' WHERE id = 'mine'")
    relay.tick()
    till()
    assert [r[0] for r in table_of("contact")] == ["c1", "c7", "c8", "mine"]
    assert problems(app) == []


def test_columns_that_only_the_till_has_stay_and_its_own_triggers_fire(
    app: apsw.Connection, relay: ListedRelay, till: Callable[[], None], table_of: TableOf
) -> None:
    app.execute("CREATE TABLE seen_by_app (id, price)")
    app.execute(
        "CREATE TRIGGER app_sees AFTER UPDATE ON item BEGIN INSERT INTO seen_by_app VALUES (NEW.id, NEW.price); END"
    )
    app.execute("UPDATE item SET shelf = 'Q' WHERE id = 2")
    relay.tick(delta(1, *ITEM, put=[[1, "A", "apple", "1.00"], [2, "B", "bean", "2.50"]]))
    till()
    assert table_of("item")[1] == (2, "B", "bean", "2.50", "Q")
    assert app.execute("SELECT * FROM seen_by_app WHERE price = '2.50'").fetchall() == [(2, "2.50")]
    assert not app.execute("SELECT 1 FROM seen_by_app WHERE id = 1").fetchall(), "a row that is the same is not written"


def test_notices_tell_the_net_change_once(
    app: apsw.Connection, relay: ListedRelay, till: Callable[[], None], db: apsw.Connection
) -> None:
    said = 'SELECT kind, key, "column", old, new FROM tillsync_notice ORDER BY id'
    assert app.execute(said).fetchall() == [], "a first load is no news"
    relay.tick(delta(1, *ITEM, put=[[1, "A", "apple", "1.10"], [2, "B", "bean", "2.00"], [3, "C", "corn", "3.00"]]))
    till()
    assert app.execute(said).fetchall() == [
        ("label", "[3]", "name", None, "corn"),
        ("label", "[1]", "price", "1.00", "1.10"),
        ("label", "[3]", "price", None, "3.00"),
    ]


def test_nothing_that_is_applied_is_captured_and_capture_is_never_seen_at_rest(
    app: apsw.Connection, db: apsw.Connection, relay: ListedRelay, till: Callable[[], None], world: World
) -> None:
    many = [[n, f"code {n}", "x" * 60, "1.00"] for n in range(10, 5_010)]
    triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
    before = app.execute(triggers).fetchall()
    seen: list[Any] = []

    def look(point: str) -> None:
        if point in ("apply.begun", "apply.tick", "apply.rows"):
            seen.append(app.execute("SELECT applying FROM tillsync_state").fetchall())

    relay.tick(delta(1, *ITEM, put=many))
    if app.pragma("journal_mode") == "wal":
        pull(db, relay, World(world.now, world.monotonic, world.random63, world.sleep, look))
        assert set(map(str, seen)) == {"[(0,)]"}
    else:
        till()
    assert app.execute("SELECT count(*) FROM tillsync_changelog").fetchall() == [(0,)]
    assert sorted(app.execute(triggers).fetchall()) == sorted(before), "lifted triggers come back as they were"
    app.execute("UPDATE item SET name = 'mine' WHERE id = 10")
    assert app.execute("SELECT op FROM tillsync_changelog").fetchall() == [("U",)]


class Dies(Exception):
    pass


@pytest.mark.parametrize("point", ["apply.begun", "apply.tick", "apply.rows"])
def test_a_crash_within_an_apply_leaves_nothing_of_it(
    app: apsw.Connection,
    db: apsw.Connection,
    relay: ListedRelay,
    till: Callable[[], None],
    world: World,
    point: str,
    table_of: TableOf,
) -> None:
    def crash(at: str) -> None:
        if at == point:
            raise Dies

    before, stood = table_of("item"), state.load(db)
    relay.tick(delta(1, *ITEM, put=[[n, f"code {n}", "x" * 60, "1.00"] for n in range(10, 5_010)], cut=[[1]]))
    with pytest.raises(Dies):
        pull(db, relay, World(world.now, world.monotonic, world.random63, world.sleep, crash))
    assert (table_of("item"), state.load(db)) == (before, stood)
    app.execute("INSERT INTO sale VALUES (1, 1, 5)")
    assert app.execute("SELECT op FROM tillsync_changelog").fetchall() == [("I",)]
    till()
    assert len(table_of("item")) == 5_001


def test_an_ack_of_a_history_that_this_file_does_not_have_makes_it_send_again(
    app: apsw.Connection, db: apsw.Connection, relay: ListedRelay, till: Callable[[], None], world: World
) -> None:
    app.execute("INSERT INTO sale VALUES (1, 1, 5)")
    till()
    app.execute("INSERT INTO sale VALUES (2, 1, 6)")
    relay.ack = Position(99, 12345)
    relay.tick()
    sent = len(relay.changes())
    pull(db, relay, world)
    assert state.load(db).resend is not None
    assert state.load(db).ack == Position(0, 0), "it is not taken for an answer"
    till()
    assert len(relay.changes()) > sent


def test_a_gap_that_central_tells_of_is_filled(
    app: apsw.Connection, db: apsw.Connection, relay: ListedRelay, till: Callable[[], None]
) -> None:
    app.execute("INSERT INTO sale VALUES (1, 1, 5)")
    till()
    first = relay.changes()
    relay.tick(gap=True)
    till()
    till()
    assert [c.seq for c in relay.changes()] == [c.seq for c in first] * 2


def test_an_orphan_is_reported_and_forgotten_when_its_parent_comes(
    app: apsw.Connection, db: apsw.Connection, world: World, relay: ListedRelay
) -> None:
    app.execute("DROP TABLE item")
    app.execute(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, name TEXT REFERENCES groups (id), price TEXT)"
    )
    app.execute("CREATE TABLE groups (id TEXT PRIMARY KEY)")
    schema.install(db, PLAN, world, node="T1")
    pull(db, relay, world)
    assert problems(app) == [("public.item", "[1]", "orphan"), ("public.item", "[2]", "orphan")]
    app.execute("INSERT INTO groups VALUES ('apple'), ('bean')")
    relay.tick(delta(1, *ITEM, put=[[1, "A", "apple", "1.50"]]))
    pull(db, relay, world)
    assert problems(app) == []
