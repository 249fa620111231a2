"""Comparing head office with its tills, through the whole chain, while both go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from orchestrator.central import reconcile_report
from orchestrator.core.world import real_world
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from tests.integration.cases.reconciling import compared, filled, known, repaired, shop_of, tables_of, told, unseen
from tests.integration.cases.shop import Died, Shop, Till, dying_at

pytestmark = pytest.mark.xdist_group("reconcile")


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One chain for all tests here: each of them leaves both ends equal."""
    made = shop_of(module_database, real_world(), tmp_path_factory.mktemp("chain"))
    filled(made, "T1", "B1")
    filled(made, "T2", "B2")
    yield made
    made.close()


@pytest.fixture
def till(shop: Shop) -> Till:
    return shop.tills["T1"]


def test_b87_what_agrees_is_equal(shop: Shop) -> None:
    report = compared(shop)
    assert report.equal
    for node in ("T1", "T2"):
        rows = {n: (t.central_rows, t.till_rows) for n, t in tables_of(report, node).items()}
        assert rows.pop("receipt") == (60, 30), "of which nobody knows whose they are"
        assert rows == {
            "item": (300, 300),
            "price_list": (0, 0),
            "price": (0, 0),
            "contact": (20, 20),
            "sales_order": (30, 30),
            "stock": (0, 0),
            "closure": (30, 30),
            "spelled": (0, 0),
        }


def test_b87_injected_differences_are_all_found_and_nothing_else(shop: Shop, till: Till) -> None:
    unseen(till, "UPDATE item SET name = 'wrong' WHERE id = 7")
    unseen(till, "DELETE FROM item WHERE id = 9")
    unseen(till, "INSERT INTO item VALUES (9999, 'x', 'extra', 1)")
    unseen(till, "UPDATE contact SET email = NULL, city = '' WHERE id = 'K3'")
    unseen(till, "INSERT INTO closure VALUES (99, '2026-03-02', 1)")
    unseen(till, "INSERT INTO receipt VALUES ('T1 lost', 3, '2026-03-01')")
    numbers = itertools.count(1)

    def selling() -> None:
        till.sql("UPDATE contact SET email = ? WHERE id = 'K5'", f"mail {next(numbers)}")
        till.sql("INSERT INTO sales_order VALUES (?, 'B1', 'n', 'draft', 'x', 1)", f"new {next(numbers)}")
        shop.sql("UPDATE item SET name = %s WHERE id = 11", f"name {next(numbers)}")

    report = compared(shop, meanwhile=selling)
    assert not report.equal
    found = tables_of(report)
    assert told(found["item"]) == [("different", "7", "name"), ("extra", "9999"), ("missing", "9")]
    assert told(found["contact"]) == [("different", "K3", "email", "city")]
    assert told(found["closure"]) == [("extra", "99")]
    assert told(found["receipt"]) == [("extra", "T1 lost")]
    assert found["sales_order"].equal
    assert found["contact"].in_flight == 1
    (different,) = found["contact"].differences
    assert [(c.central, c.till) for c in different.columns] == [("a@b", None), ("Wien", "")]
    assert all(t.equal for t in tables_of(report, "T2").values())
    assert repaired(shop) == [("closure", "up", 1), ("contact", "down", 1), ("item", "down", 3), ("receipt", "up", 1)]
    assert compared(shop).equal


def test_b87_one_value_in_many_spellings_is_one_value(shop: Shop, till: Till) -> None:
    tag = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"
    first = ("1.10", 0.36640625, 0.36640625, "t", "2024-01-01 00:00:00", "2024-01-01 10:00:00", "2024-01-01 10:00:00")
    second = (1.1, 1e23, "0.1", 1, "2024-01-01", "2024-01-01T10:00", "2024-01-01T11:00:00.50+01:00")
    third = (1.23455, "NaN", 16777217, "off", "infinity", "2024-01-01 10:00:00.000", "2024-01-01T10:00:00Z")
    rest = (tag, b"\x00\xff", "Zo\u00eb", "ab   ", 1999, 1_704_103_200_123, "2024-07-01 11:00:00")
    for number, start in enumerate((first, second, third), 1):
        marks = ", ".join("?" * 15)
        till.sql(f"INSERT INTO spelled VALUES ({marks})", number, *start, *rest)
    till.sql(
        "INSERT INTO spelled VALUES (4, '-0', -0.0, 0, 0, NULL, NULL, NULL, ?, 'text', '', '', 0, 0, NULL)",
        f"{{{tag}}}",
    )
    till.sql("INSERT INTO spelled (id) VALUES (5)")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM spelled") == [(5,)], "nothing was parked"
    assert compared(shop, till, tables=("spelled",)).equal
    unseen(till, "UPDATE spelled SET name = ? WHERE id = 1", "Zoe\u0308")
    unseen(till, "UPDATE spelled SET price = 1.2, f = 0.2 WHERE id = 2")
    unseen(till, "UPDATE spelled SET ms = ms + 1 WHERE id = 3")
    unseen(till, "UPDATE spelled SET name = NULL, yes = 'maybe' WHERE id = 4")
    unseen(till, "UPDATE spelled SET name = '' WHERE id = 5")
    found = tables_of(compared(shop, till, tables=("spelled",)))["spelled"]
    assert told(found) == [
        ("different", "1", "name"),
        ("different", "2", "price", "f"),
        ("different", "3", "ms"),
        ("different", "4", "yes", "name"),
        ("different", "5", "name"),
    ]
    by_key = {d.key["id"]: d for d in found.differences}
    assert "NFC, NFD" in by_key["1"].note
    assert "NULL against an empty text" in by_key["5"].note
    assert [(c.central, c.till) for c in by_key["2"].columns] == [("1.1", "1.2"), ("0.1", "0.2")]
    till.sql("DELETE FROM spelled")
    shop.sql("DELETE FROM spelled")
    shop.settle()


def test_rows_that_a_till_tidied_away_are_no_difference(shop: Shop, till: Till) -> None:
    till.sql("DELETE FROM closure WHERE number <= 10 OR number = 20")
    till.sql("DELETE FROM receipt WHERE id LIKE 'T1 1%'")
    shop.settle()
    report = compared(shop)
    assert report.equal
    assert tables_of(report)["closure"].central_rows - tables_of(report)["closure"].till_rows == 11
    unseen(till, "UPDATE closure SET total = 11 WHERE number = 21")
    unseen(till, "UPDATE receipt SET day = '2026-03-09' WHERE id = 'T1 2'")
    shop.sql("DELETE FROM closure WHERE number = 22 AND till = 'T1'")
    shop.sql("DELETE FROM receipt WHERE id = 'T1 3'")
    found = tables_of(compared(shop))
    assert told(found["closure"]) == [("different", "21", "total"), ("extra", "22")]
    assert told(found["receipt"]) == [("different", "T1 2", "day"), ("extra", "T1 3")]
    assert repaired(shop) == [("closure", "up", 2), ("receipt", "up", 2)]
    report = compared(shop)
    assert report.equal, "what cannot be both is in the conflicts, for a person"
    assert (tables_of(report)["closure"].conflicts, tables_of(report)["receipt"].conflicts) == (1, 1)
    assert shop.sql("SELECT total FROM closure WHERE number = 21 AND till = 'T1'") != [(11,)]


def test_b38_a_row_that_head_office_could_not_take_is_parked_and_no_difference(shop: Shop, till: Till) -> None:
    shop.sql("ALTER TABLE closure ADD CONSTRAINT sane CHECK (total < 100000)")
    till.sql("INSERT INTO closure VALUES (50, '2026-03-03', 999999)")
    till.sql("INSERT INTO closure VALUES (51, '2026-03-03', 5)")
    shop.settle()
    report = compared(shop, till)
    closure = tables_of(report)["closure"]
    assert (report.equal, closure.parked, closure.extra) == (True, 1, 0)
    shop.sql("ALTER TABLE closure DROP CONSTRAINT sane")
    shop.agent._is_mended = True  # as after any change of the table that is noticed
    shop.settle()
    assert tables_of(compared(shop, till))["closure"].parked == 0


def test_a_till_that_is_away_is_told_as_of_its_last_answer(shop: Shop) -> None:
    assert compared(shop).equal
    reconcile_report.start(shop.conn, shop.world, ["T2"])
    shop.agent.round()
    (branch,) = known(shop, "T2", alive=False).branches
    assert (branch.state, branch.equal) == ("offline", True)
    assert branch.age_seconds is not None
    assert branch.age_seconds > 0
    assert branch.tick is not None
    (branch,) = known(shop, "T2").branches
    assert branch.state == "waiting"
    shop.settle()
    (branch,) = known(shop, "T2").branches
    assert branch.state == "compared", "it comes back and answers what it was asked"


@pytest.mark.parametrize(
    "point", ["publish.routed", "publish.intent", "publish.relay", "apply.tick", "apply.committed"]
)
def test_a_comparison_survives_a_kill_at_either_end(shop: Shop, till: Till, point: str) -> None:
    reconcile_report.start(shop.conn, shop.world, ["T1"])
    if point.startswith("publish"):
        shop.restart(dying_at(shop.world, point))
        with pytest.raises(Died):
            shop.agent.round()
        shop.restart()
    else:
        shop.agent.round()
        till.restart(dying_at(shop.world, point))
        with pytest.raises(Died):
            till.sync()
        till.restart()
    shop.settle()
    (branch,) = known(shop, "T1").branches
    assert (branch.state, branch.equal) == ("compared", True)


def test_a_till_whose_file_lacks_a_column_is_compared_in_the_others(shop: Shop, till: Till) -> None:
    till.sql("CREATE TABLE fewer (id TEXT PRIMARY KEY, phone TEXT UNIQUE, name TEXT, email TEXT)")
    till.sql("INSERT INTO fewer SELECT id, phone, name, email FROM contact")
    till.sql("DROP TABLE contact")
    till.sql("ALTER TABLE fewer RENAME TO contact")
    shop.settle()
    contact = tables_of(compared(shop))["contact"]
    assert contact.equal
    assert contact.note == "not compared, since the till does not have it: city"
    unseen(till, "UPDATE contact SET email = 'x' WHERE id = 'K9'")
    report = compared(shop)
    assert told(tables_of(report)["contact"]) == [("different", "K9", "email")]
    assert tables_of(report, "T2")["contact"].equal
    assert repaired(shop) == [("contact", "down", 1)]
    till.sql("ALTER TABLE contact ADD COLUMN city TEXT")
    shop.settle()
    assert compared(shop).equal


def test_more_than_fits_an_answer_is_cut_and_said_to_be(
    shop: Shop, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.till.reconcile_rows.ROWS_MAX", 40)
    monkeypatch.setattr("orchestrator.till.reconcile.BYTES_MAX", 1_500)
    unseen(till, "UPDATE item SET name = name || '!' WHERE id <= 150")
    item = tables_of(compared(shop, till, tables=("item",)))["item"]
    assert (item.truncated, item.equal, item.missing, item.extra) == (True, False, 0, 0)
    assert 0 < item.different < 150
    assert repaired(shop, "item") == [("item", "reload", 300)]
    monkeypatch.undo()
    assert compared(shop).equal


def test_a_side_that_cannot_be_made_is_given_up_and_ticks_go_on(
    shop: Shop, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.central.reconcile_side.central_text", lambda column, reference: "(1 / 0)::text")
    began = shop.sql("SELECT clock_timestamp()")[0][0]
    number = reconcile_report.start(shop.conn, shop.world, ["T1"])
    shop.sql("UPDATE item SET name = 'goes on' WHERE id = 3")
    shop.settle()
    assert till.sql("SELECT name FROM item WHERE id = 3") == [("goes on",)]
    assert not reconcile_report.open_nodes(shop.conn, number)
    now = shop.world.now()
    (branch,) = reconcile_report.report(shop.conn, shop.prepared, now, {"T1": now}, nodes=["T1"], since=began).branches
    assert branch.state == "waiting", "what an earlier one came to is not taken for its result"
    monkeypatch.undo()
    assert compared(shop).equal


def test_a_file_without_the_table_gets_it_and_a_relay_of_an_earlier_version_goes_on(shop: Shop, till: Till) -> None:
    till.sql("DROP TABLE tillsync_asked")
    assert compared(shop, till).equal
    with connect(shop.relay_dsn, "administrator") as relay:
        relay.execute("DROP FUNCTION relay.put_result(bytea)")
    number = reconcile_report.start(shop.conn, shop.world, ["T1"])
    shop.sql("UPDATE item SET name = 'for all' WHERE id = 4")
    shop.settle()
    assert till.sql("SELECT name FROM item WHERE id = 4") == [("for all",)]
    assert reconcile_report.open_nodes(shop.conn, number) == {"T1"}
    relay_schema.install(shop.relay_dsn, shop.relay_dsn)
    assert compared(shop).equal
