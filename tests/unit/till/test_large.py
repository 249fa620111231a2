"""Large ticks: fetched part by part into the side file, compared there, and put in one short transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from orchestrator.core.world import World
from orchestrator.errors import TillsyncError, Unreachable
from orchestrator.till import large, staging, state
from orchestrator.till.pull import FETCH_SECONDS_MAX, pull
from tests.unit.till.conftest import PLAN
from tests.unit.till.listed_relay import ListedRelay, delta, snapshot

STREAMS = ((1, "catalogue"), (2, "shared"))
ITEM = ("public.item", ("id", "code", "name", "price"))
CONTACT = ("public.contact", ("id", "phone", "name"))
TableOf = Callable[[str], list[tuple[Any, ...]]]


def items(*numbers: int, price: str = "1.00") -> list[list[Any]]:
    return [[n, f"code {n}", f"item {n}", price] for n in numbers]


@pytest.fixture
def relay() -> ListedRelay:
    made = ListedRelay(PLAN, STREAMS, lists_all=True)
    made.tick(snapshot(1, *ITEM, items(*range(1, 51))), snapshot(2, *CONTACT, [["c1", "111", "Ann"]]))
    return made


def clock(world: World, *, step: float) -> World:
    """A world in which every look at the clock takes so many seconds."""
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += step
        return now

    return World(world.now, monotonic, world.random63, world.sleep, world.crash)


def test_b77_a_first_load_goes_on_where_it_was_interrupted(
    db: apsw.Connection, relay: ListedRelay, world: World, table_of: TableOf
) -> None:
    relay.ticks.clear()
    relay.tick(*(snapshot(1, *ITEM, items(*range(k, k + 10))) for k in range(1, 101, 10)), snapshot(2, *CONTACT, []))
    slow = clock(world, step=FETCH_SECONDS_MAX / 3)
    rounds = 0
    while not table_of("item"):
        assert staging.waiting_tick(db) is None or state.load(db).tick == 0, "not loaded is not said to be"
        pull(db, relay, slow)
        rounds += 1
        relay.tick(delta(1, *ITEM, put=items(1, price=f"{rounds}.00")))
    assert rounds > 2
    asked = [(p.stream, p.part) for p in relay.asked if p.kind == "snapshot"]
    assert len(asked) == len(set(asked)) == 11, "no part is fetched twice"
    for _ in range(rounds):
        pull(db, relay, world)
    assert len(table_of("item")) == 100
    assert table_of("item")[0][3] == f"{rounds}.00"
    assert staging.waiting_tick(db) is None


class Dies(Exception):
    pass


@pytest.mark.parametrize("point", ["pull.staged", "apply.begun", "apply.slice", "apply.rows"])
def test_a_crash_at_any_point_of_a_first_load_is_made_good(
    db: apsw.Connection, relay: ListedRelay, world: World, table_of: TableOf, point: str, till_file: Path
) -> None:
    def crash(at: str) -> None:
        if at == point:
            raise Dies

    with pytest.raises(Dies):
        pull(db, relay, World(world.now, world.monotonic, world.random63, world.sleep, crash))
    assert Path(f"{till_file}-tillsync-stage").is_file()
    fetched = len(relay.asked)
    pull(db, relay, world)
    assert len(relay.asked) == fetched, "what is here is not fetched again"
    assert [r[0] for r in table_of("item")] == list(range(1, 51))
    assert not Path(f"{till_file}-tillsync-stage").exists()


def test_a_damaged_side_file_is_made_anew(
    db: apsw.Connection, relay: ListedRelay, world: World, table_of: TableOf, till_file: Path
) -> None:
    Path(f"{till_file}-tillsync-stage").write_bytes(b"no database at all, but a text of some length" * 100)
    pull(db, relay, world)
    assert len(table_of("item")) == 50


def test_parts_that_the_relay_has_purged_are_said_and_what_follows_is_taken(
    db: apsw.Connection, relay: ListedRelay, world: World, table_of: TableOf
) -> None:
    pull(db, relay, world)
    head = relay.tick(delta(1, *ITEM, put=items(1, price="5.00")))
    parts = relay.parts
    relay.parts = lambda n, first: [] if n == head.n else parts(n, first)  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="TS-533"):
        pull(db, relay, world)
    assert state.load(db).tick == head.n - 1


def test_a_first_load_comes_in_slices_and_what_is_there_already_is_not_written(
    db: apsw.Connection, app: apsw.Connection, relay: ListedRelay, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.execute(
        "CREATE TABLE written (id); CREATE TRIGGER w AFTER INSERT ON item BEGIN INSERT INTO written VALUES (NEW.id); END"
    )
    app.execute("INSERT INTO item (id, code, name, price) VALUES (7, 'code 7', 'item 7', '1.00')")
    db.execute("UPDATE tillsync_state SET ack_seq = 1, ack_nonce = (SELECT nonce FROM tillsync_changelog)")
    relay.ack = state.load(db).ack
    relay.tick(delta(1, *ITEM, put=items(1)))
    seen: list[Any] = []

    def crash(at: str) -> None:
        if at == "apply.slice":
            seen.append(app.execute("SELECT count(*) FROM item").fetchall()[0][0])

    monkeypatch.setattr(large, "SLICE_ROWS", 10)
    app.execute("DELETE FROM written")
    pull(db, relay, World(world.now, lambda: 0.0, world.random63, world.sleep, crash))
    assert seen[0] == 11
    assert len(seen) > 1
    assert sorted(i for (i,) in app.execute("SELECT id FROM written")) == [n for n in range(1, 51) if n != 7]


def test_a_row_that_the_application_writes_after_the_comparison_stands(
    db: apsw.Connection, app: apsw.Connection, relay: ListedRelay, world: World, table_of: TableOf
) -> None:
    """Between comparison and lock: an own change of a compared row, a new row with its key, and a value in the way."""
    pull(db, relay, world)
    relay.tick(
        delta(2, *CONTACT, put=[["c1", "112", "Eve"], ["c2", "222", "Bob"], ["c3", "333", "Cid"], ["c4", "444", "Dan"]])
    )

    def crash(at: str) -> None:
        if at == "apply.compared" and not app.execute("SELECT 1 FROM contact WHERE id = 'c2'").fetchall():
            app.execute("UPDATE contact SET name = 'Anna' WHERE id = 'c1'")
            app.execute("INSERT INTO contact (id, phone, name) VALUES ('c2', '229', 'Bea')")
            app.execute("INSERT INTO contact (id, phone, name) VALUES ('mine', '333', 'Own')")

    pull(db, relay, World(world.now, world.monotonic, world.random63, world.sleep, crash))
    assert [r[:3] for r in table_of("contact")] == [
        ("c1", "111", "Anna"),
        ("c2", "229", "Bea"),
        ("c4", "444", "Dan"),
        ("mine", "333", "Own"),
    ]
    assert app.execute("SELECT key, kind FROM tillsync_problem").fetchall() == [('["c3"]', "waiting")]


def test_only_the_columns_that_differ_are_written(
    db: apsw.Connection, app: apsw.Connection, relay: ListedRelay, world: World
) -> None:
    """An UPDATE OF trigger of the application's tells which columns a statement names: an index on another costs nothing."""
    pull(db, relay, world)
    app.execute(
        "CREATE TABLE named (col); CREATE TRIGGER n AFTER UPDATE OF code, name ON item BEGIN INSERT INTO named VALUES (1); END"
    )
    relay.tick(delta(1, *ITEM, put=items(*range(1, 51), price="2.00")))
    pull(db, relay, world)
    assert app.execute("SELECT count(*) FROM item WHERE price = '2.00'").fetchall() == [(50,)]
    assert app.execute("SELECT count(*) FROM named").fetchall() == [(0,)]


def test_a_tick_in_two_shapes_is_refused(db: apsw.Connection, relay: ListedRelay, world: World) -> None:
    pull(db, relay, world)
    relay.tick(delta(1, *ITEM, put=items(1)), delta(1, ITEM[0], ("id", "code"), put=[[2, "b"]]))
    with pytest.raises(TillsyncError, match="TS-530"):
        pull(db, relay, world)
