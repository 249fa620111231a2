"""Field cases of the books: what the tills closed is what head office has, whatever is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apsw
import msgspec
import pytest

from orchestrator.central import books as at_central
from orchestrator.central import parked, reconcile_report
from orchestrator.core.books import BookAnswer, BookAsk, compared, next_ask
from orchestrator.core.plan import Book
from orchestrator.core.reconciliation import BookComparison, BranchComparison
from orchestrator.errors import ConfigError
from orchestrator.settings import CentralSettings
from orchestrator.till import books as at_till
from orchestrator.till import state
from orchestrator.till.database import connect as open_till
from tests.integration.cases import books
from tests.integration.cases.books import BOOKS
from tests.integration.cases.shop import Shop, Till


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for the module: each test has tills and a branch of its own."""
    with books.opened(module_database, tmp_path_factory.mktemp("shop")) as made:
        yield made


def check(shop: Shop, till: Till) -> dict[str, BookComparison]:
    """All checks, both ends as they are now; nothing is on its way from head office."""
    plan, found = shop.prepared.plan, {}
    db = open_till(till.file)
    try:
        for book in plan.books:
            ask: BookAsk | None = BookAsk()
            while ask is not None:
                asked = ask
                sides = _sides(shop, till, db, book.name, ask)
                ask = next_ask(ask, *sides)
            found[book.name] = compared(book, asked, *sides)
        return found
    finally:
        db.close()


def _sides(shop: Shop, till: Till, db: apsw.Connection, name: str, ask: BookAsk) -> tuple[BookAnswer, BookAnswer]:
    plan, now = shop.prepared.plan, state.load(db)
    book = plan.book(name)
    assert book is not None
    params = {"branch_id": shop.sql("SELECT params->>'branch_id' FROM tillsync.node WHERE node = %s", till.node)[0][0]}
    with shop.conn.transaction():
        ours = at_central.evaluate(shop.conn, book, till.node, params, plan.parameters, ask)
    theirs = at_till.evaluate(db, plan.for_tills(), {name: ask}, now.tick, now.token)
    assert theirs is not None
    return ours, theirs[name]


def compare(shop: Shop, *tills: Till, rounds: int = 40) -> dict[str, BranchComparison]:
    """The whole chain compares these tills: questions go out with ticks, answers come back."""
    nodes = [till.node for till in tills]
    number = reconcile_report.start(shop.conn, shop.world, nodes)
    for _ in range(rounds):
        shop.sync(*tills)
        if not reconcile_report.open_nodes(shop.conn, number):
            break
    now = shop.world.now()
    report = reconcile_report.report(shop.conn, shop.prepared, now, dict.fromkeys(nodes, now), nodes=nodes)
    return {b.branch: b for b in report.branches}


def sell(till: Till, number: int, day: str, *sold_at: str, qty: float = 1.5, amount: float = 0.1) -> None:
    """Sales at these times of the till's clock, closed as one business day. Three items, one of them to a customer."""
    for at in sold_at:
        for item in (1, 2, 3):
            till.sql(
                "INSERT INTO sale (sold_at, day, item_id, contact_id, qty, amount, closure) VALUES (?, ?, ?, ?, ?, ?, ?)",
                *(at, day, item, 7 if item == 3 else None, qty, amount, number),
            )
    till.sql("BEGIN")
    total = till.sql("SELECT printf('%.2f', sum(amount)) FROM sale WHERE closure = ?", number)[0][0]
    till.sql(
        "INSERT INTO closure (number, day, total, closed_at) VALUES (?, ?, ?, ?)", number, day, total, f"{sold_at[-1]}Z"
    )
    till.sql(
        "INSERT INTO closure_line SELECT ?1, row_number() OVER (ORDER BY item_id, contact_id), item_id, contact_id,"
        " sum(qty), round(sum(amount), 2) FROM sale WHERE closure = ?1 GROUP BY item_id, contact_id",
        number,
    )
    till.sql("INSERT INTO receipt (day, amount) VALUES (?, ?)", day, float(total))
    till.sql("COMMIT")


def failing(found: dict[str, BookComparison]) -> dict[str, str]:
    return {name: c.note for name, c in found.items() if not c.ok or c.state != "compared"}


def test_b37_the_tills_own_business_day_counts(shop: Shop) -> None:
    till, other = shop.till("T1", "B1"), shop.till("T2", "B2")
    shop.settle()
    # 23:50 and 00:10 of the till's clock, in a zone far from head office's, are one business day.
    sell(till, 1, "2026-03-28", "2026-03-28T23:50:00", "2026-03-29T00:10:00")
    sell(till, 2, "2026-03-29", "2026-03-29T03:30:00", "2026-03-30T01:00:00")
    sell(other, 1, "2026-03-28", "2026-03-28T12:00:00")
    shop.settle()
    assert shop.sql("SELECT day::text, total FROM closure WHERE till = 'T1' ORDER BY number")[0][0] == "2026-03-28"
    for one in (till, other):
        found = check(shop, one)
        assert failing(found) == {}
        assert found["turnover"].groups == (6 if one is till else 3)
    shop.sql("UPDATE closure SET day = day + 1 WHERE till = 'T1' AND number = 1")
    found = check(shop, till)
    assert set(failing(found)) == {"numbers", "turnover", "totals", "receipts"}, "what moved has moved"
    assert {d.group["day"] for d in found["turnover"].differences} == {"2026-03-28", "2026-03-29"}


def test_b38_a_closure_that_is_here_before_its_receipts(shop: Shop) -> None:
    till = shop.till("T3", "B3")
    shop.settle()
    till.sql("INSERT INTO receipt VALUES (1, '2026-03-28', 30), (2, '2026-03-28', 40), (1003, '2026-03-28', 30)")
    till.sql(
        "INSERT INTO closure (number, day, total, closed_at) VALUES (1, '2026-03-28', '100', '2026-03-28T20:00:00Z')"
    )
    shop.settle()
    assert shop.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked' AND node = 'T3'") == [(1,)]
    found = check(shop, till)["receipts"]
    assert not found.ok
    assert [(d.value, d.central, d.till) for d in found.differences] == [("receipts", "70", "100")]
    assert found.note == "1 change of receipt is parked"
    assert shop.sql("SELECT number, total FROM closure WHERE till = 'T3'") == [(1, 100)], "stored once, as it was made"
    shop.sql("ALTER TABLE receipt DROP CONSTRAINT receipt_id_check")
    assert parked.retry(shop.conn, shop.prepared.plan, force=True) == 1, "as it is by itself a few seconds later"
    shop.settle()
    assert check(shop, till)["receipts"].ok


def test_b87_what_is_not_sent_yet_is_no_difference(shop: Shop) -> None:
    till = shop.till("T4", "B4")
    shop.settle()
    sell(till, 1, "2026-03-28", "2026-03-28T10:00:00")
    shop.settle()
    sell(till, 2, "2026-03-29", "2026-03-29T10:00:00")
    till.sql("UPDATE closure SET printed = 1")  # a column that stays at the till
    till.sql("UPDATE closure_line SET amount = 9 WHERE number = 1 AND line = 1")
    till.sql("DELETE FROM closure_line WHERE number = 1 AND line = 2")
    till.sql("INSERT OR REPLACE INTO closure VALUES (1, '2026-03-27', '77', '2026-03-28T10:00:00Z', 0)")
    found = check(shop, till)
    assert failing(found) == {}
    assert found["numbers"].groups == 1
    assert found["turnover"].groups == 3
    # The same over head office's answer: the append-only rows there stand, so they differ, and the new closure is there.
    shop.settle()
    found = check(shop, till)
    assert {"totals", "movements", "receipts"} <= set(failing(found))
    assert shop.sql("SELECT count(*) FROM closure WHERE till = 'T4'") == [(2,)]


def test_b87_orders_on_their_way_are_said_to_be(shop: Shop) -> None:
    till = shop.till("T5", "B5")
    shop.sql("INSERT INTO sales_order VALUES ('O1', 'B5', 'draft'), ('O2', 'B5', 'draft'), ('O9', 'B2', 'draft')")
    shop.settle()
    assert check(shop, till)["orders"].groups == 2
    till.sql("UPDATE sales_order SET status = 'sent' WHERE id = 'o1'")
    assert failing(check(shop, till)) == {}, "seen as it was before"
    shop.sql("UPDATE sales_order SET status = 'confirmed' WHERE id IN ('O1', 'O2')")
    shop.agent.round()
    found = check(shop, till)["orders"]
    assert (found.state, found.ok, found.note) == ("in_flight", True, "1 change of sales_order is on the way")
    shop.settle()
    assert failing(check(shop, till)) == {}
    till.sql("UPDATE tillsync_stream SET loaded_tick = 0 WHERE channel = 'orders'")  # it is to be loaded anew
    shop.sql("UPDATE sales_order SET status = 'shipped' WHERE id = 'O2'")
    assert check(shop, till)["orders"].state == "in_flight"
    shop.settle()
    assert check(shop, till)["orders"].state == "compared"


def test_b38_numbers_without_holes_and_a_row_that_head_office_lost(shop: Shop) -> None:
    till = shop.till("T6", "B6")
    shop.settle()
    for number in (1, 2, 3):
        sell(till, number, f"2026-03-{number:02}", f"2026-03-{number:02}T10:00:00")
    shop.settle()
    assert failing(check(shop, till)) == {}
    shop.sql("DELETE FROM closure_line WHERE till = 'T6' AND number = 2")
    shop.sql("DELETE FROM closure WHERE till = 'T6' AND number = 2")
    found = check(shop, till)
    assert {(d.value, d.central, d.till) for d in found["numbers"].differences} == {
        ("closures", "2", "3"),
        ("holes", "1", "0"),
    }
    assert {d.group["number"] for d in found["totals"].differences} == {"2"}
    assert "movements" not in failing(found), "it has moved"


def test_b37_the_chain_compares_its_books(shop: Shop) -> None:
    till, other = shop.till("T8", "B8"), shop.till("T9", "B9")
    shop.sql("INSERT INTO sales_order VALUES ('P1', 'B8', 'draft')")
    shop.settle(till, other)
    for number in range(1, 4):
        sell(till, number, f"2026-03-{number:02}", f"2026-03-{number:02}T23:50:00", f"2026-03-{number + 1:02}T00:10:00")
    shop.settle(till, other)
    till.sql("UPDATE sales_order SET status = 'sent' WHERE id = 'P1'")  # on its way while it is compared
    sell(till, 4, "2026-03-04", "2026-03-04T20:00:00")
    found = compare(shop, till, other)
    assert {name: b.state for name, b in found.items()} == {"T8": "compared", "T9": "compared"}
    assert [(c.book, c.ok, c.state) for c in found["T8"].books] == [(b["name"], True, "compared") for b in BOOKS]
    assert found["T8"].equal
    shop.sql("UPDATE closure_line SET amount = 77 WHERE till = 'T8' AND number = 2 AND line = 3")
    shop.sql("UPDATE sales_order SET status = 'lost' WHERE id = 'P1'")
    found = compare(shop, till, other)
    assert {c.book for c in found["T8"].books if not c.ok} == {"turnover", "totals"}
    (turnover,) = [c for c in found["T8"].books if c.book == "turnover"]
    (difference,) = turnover.differences
    assert difference.group == {"day": "2026-03-02", "item_id": "3", "contact_id": "7"}
    assert (difference.value, difference.central, difference.till) == ("amount", "77", "0.2")
    assert found["T9"].equal


def test_a_till_only_reads(shop: Shop) -> None:
    till = shop.till("T7", "B7")
    shop.settle()
    plan = shop.prepared.plan

    def said(text: str) -> BookAnswer:
        """What a plan with this check makes the till say."""
        book = Book("x", "", (), plan.books[0].columns[:1], "", text)
        db = open_till(till.file)
        try:
            now = state.load(db)
            changed = msgspec.structs.replace(plan, books=(book,))
            assert at_till.evaluate(db, changed, {"x": BookAsk()}, now.tick + 1, now.token) is None
            answers = at_till.evaluate(db, changed, {"x": BookAsk()}, now.tick, now.token)
            assert answers is not None
            return answers["x"]
        finally:
            db.close()

    for text, refused in (
        ("DELETE FROM closure RETURNING 1", "not authorized"),
        ("SELECT body FROM tillsync_plan", "prohibited"),
        ("SELECT token FROM tillsync_state", "prohibited"),
        ("SELECT name FROM sqlite_master", "prohibited"),
        ("PRAGMA journal_mode = delete", "not authorized"),
        ("ATTACH '/etc/passwd' AS x", "not authorized"),
        ("SELECT 1 FROM nowhere", "no such table"),
        ("SELECT 1, 2", "it gives 2 columns"),
    ):
        assert refused in said(text).failed, text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(at_till, "SECONDS_MAX", 0.2)
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        assert said(endless).failed == "it took too long"
    assert said("SELECT count(*) FROM daily").buckets
    sell(till, 1, "2026-03-28", "2026-03-28T10:00:00")
    past = said("SELECT count(*) FROM daily")
    assert (past.in_flight, past.failed) == ({"public.closure": 1}, ""), "a view of the application's looks past ours"


def test_head_office_only_reads_and_not_for_long(shop: Shop) -> None:
    columns = shop.prepared.plan.books[0].columns[:1]
    shop.sql("CREATE FUNCTION trim_scale(int) RETURNS int LANGUAGE sql AS 'INSERT INTO item VALUES ($1) RETURNING id'")
    with shop.conn.transaction():
        shop.conn.execute("INSERT INTO item VALUES (91)")
        before = shop.conn.execute("SHOW statement_timeout").fetchone()
        writes = Book("x", "", (), columns, "SELECT public.trim_scale(5)", "")
        assert "read-only" in at_central.evaluate(shop.conn, writes, "T1", {}, {}, BookAsk()).failed
        wrong = Book("x", "", (), columns, "SELECT 1 / 0", "")
        assert "division by zero" in at_central.evaluate(shop.conn, wrong, "T1", {}, {}, BookAsk()).failed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(at_central, "SECONDS_MAX", 0.1)
            slow = Book("x", "", (), columns, "SELECT count(*) FROM generate_series(1, 1000000000)", "")
            assert at_central.evaluate(shop.conn, slow, "T1", {}, {}, BookAsk()).failed == "it took too long"
        assert shop.conn.execute("SHOW statement_timeout").fetchone() == before
        shop.conn.execute("INSERT INTO item VALUES (92)")
    assert shop.sql("SELECT id FROM item ORDER BY id") == [(91,), (92,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"central": "SELECT count(*) FROM clsure"}, 'TS-822 book numbers: relation "clsure" does not exist'),
        ({"central": "SELECT now() AS x"}, "TS-820"),
        ({"group": ["day"]}, "TS-821 book numbers: its columns are closures"),
        ({"central": "SELECT 1 AS a, 2 AS a"}, "TS-821 book numbers: two columns are named a"),
        ({"till": "DELETE FROM closure"}, "TS-820 book numbers, the till's SQL: it is not one SELECT"),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(shop: Shop, change: dict[str, object], said: str) -> None:
    settings = CentralSettings(**{**shop.settings.model_dump(), "book": [{**BOOKS[0], **change}]})
    with pytest.raises(ConfigError) as raised:
        at_central.described(shop.conn, settings.book, settings.parameters)
    assert said in str(raised.value)
