"""Checks of the books: what their SQL may say, and how two ends narrow down to what differs."""

from __future__ import annotations

import random

import pytest

from orchestrator.core import books
from orchestrator.core.book_language import End, check, with_nulls, with_parameters
from orchestrator.core.books import BookAnswer, BookAsk, answer, compared, fitted, next_ask, texts_of
from orchestrator.core.digest import Texts
from orchestrator.core.plan import Book, Column
from orchestrator.core.reconciliation import DIFFERENCES_MAX
from orchestrator.errors import ConfigError

PARAMETERS = {"node": "text", "store_id": "integer"}
BOOK = Book(
    "turnover",
    "sums agree",
    ("day", "item_id"),
    (
        Column("day", "date", "date", "day"),
        Column("item_id", "integer", "int", "item_id"),
        Column("amount", "numeric(14,2)", "numeric", "amount"),
    ),
    "",
    "",
)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("central", "SELECT day, sum(amount)::numeric(14,2) AS amount FROM closure WHERE till = :node GROUP BY day"),
        ("central", "WITH x AS (SELECT 1 AS a) SELECT count(*) FILTER (WHERE a > 1) FROM x LEFT JOIN t USING (a)"),
        ("central", "SELECT a, b - lag(b) OVER (PARTITION BY a ORDER BY b) FROM t UNION ALL SELECT 1, :store_id"),
        ("central", "SELECT (sold_at AT TIME ZONE 'Europe/Bratislava')::date, to_char(d, 'YYYY') FROM t LIMIT 5"),
        ("till", "SELECT c.day, sum(CAST(round(l.amount * 100) AS INTEGER)) / 100.0 FROM closure c GROUP BY 1"),
        ("till", "SELECT day FROM t WHERE day > (SELECT date(max(day), '-35 days') FROM t)"),
        ("till", "SELECT printf('%.2f', sum(a)), strftime('%Y', b), date(c), iif(a, b, c), ifnull(a, 0) FROM t"),
    ],
)
def test_what_a_check_may_say(end: End, text: str) -> None:
    check("b", end, text, PARAMETERS)


@pytest.mark.parametrize(
    ("end", "text", "said"),
    [
        ("central", "DELETE FROM closure", "it is not one SELECT"),
        ("central", "WITH d AS (DELETE FROM closure RETURNING *) SELECT * FROM d", "DELETE"),
        ("central", "SELECT 1; SELECT 2", "it is not one SELECT"),
        ("central", "SELECT * INTO x FROM y", "INTO"),
        ("central", "SELECT * FROM y FOR UPDATE", "LOCKS"),
        ("central", "SELECT pg_sleep(5)", "function pg_sleep()"),
        ("central", "SELECT nextval('s')", "function nextval()"),
        ("central", "SELECT * FROM pg_read_file('x')", "function pg_read_file()"),
        ("central", "SELECT set_config('role', 'x', true)", "function set_config()"),
        ("central", "SELECT now()", "current_timestamp()"),
        ("central", "COPY x TO PROGRAM 'y'", "it is not one SELECT"),
        ("central", "SELECT :nde", "there is no parameter :nde"),
        ("central", "SELECT %(node)s", "there is no parameter"),
        ("central", "SELECT (", "it does not parse"),
        ("till", "SELECT date('now')", "the time of day is not allowed"),
        ("till", "SELECT julianday()", "the time of day is not allowed"),
        ("till", "SELECT strftime('%Y', ' NOW ')", "the time of day is not allowed"),
        ("till", "PRAGMA journal_mode = off", "it is not one SELECT"),
        ("till", "ATTACH 'x' AS y", "it is not one SELECT"),
        ("till", "SELECT load_extension('x')", "function load_extension()"),
        ("till", "SELECT * FROM pragma_table_info('x')", "function pragma_table_info()"),
        ("till", "SELECT * FROM main.closure", "named with its database"),
        ("till", "SELECT :store_id", "there is no parameter :store_id"),
    ],
)
def test_what_it_may_not(end: End, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="TS-820") as raised:
        check("b", end, text, PARAMETERS if end == "central" else {"node": "text"})
    assert said in str(raised.value)


def test_parameters_are_filled_in_and_nothing_else() -> None:
    text = "SELECT ':node', a::text, 5 % 2 FROM t WHERE x LIKE '%y' AND till = :node -- :node"
    filled = with_parameters(text, {"node": "text"}, "central")
    assert "till = CAST(%(node)s AS text)" in filled
    assert "':node', a::text, 5 %% 2" in filled
    assert "'%%y'" in filled
    assert "CAST(NULL AS text)" in with_nulls(text, {"node": "text"})
    assert "5 % 2" in with_nulls(text, {"node": "text"})


def talk(
    central: list[Texts], till: list[Texts], **till_says: dict[str, int]
) -> tuple[list[BookAsk], list[BookAnswer]]:
    """The whole conversation of two ends."""
    ask: BookAsk | None = BookAsk()
    asks, answers = [], []
    while ask is not None:
        one, other = answer(BOOK, central, ask), answer(BOOK, till, ask)
        other = BookAnswer(other.groups, other.buckets, other.rows, other.cut, other.failed, **till_says)
        asks.append(ask)
        answers = [one, other]
        ask = next_ask(ask, one, other)
    return asks, answers


def rows(number: int) -> list[Texts]:
    return [("2026-03-13", str(item), f"{item}.5") for item in range(number)]


def test_ends_that_agree_say_it_in_one_digest() -> None:
    shuffled = rows(6_000)
    random.Random(1).shuffle(shuffled)
    asks, answers = talk(rows(6_000), shuffled)
    assert asks == [BookAsk()]
    assert len(answers[1].buckets) == 1
    found = compared(BOOK, asks[-1], *answers)
    assert (found.ok, found.groups, found.differences) == (True, 6_000, ())


@pytest.mark.parametrize("number", [3, 6_000])
def test_what_differs_is_found_and_nothing_else(number: int) -> None:
    till = rows(number)
    till[1] = ("2026-03-13", "1", "999")
    del till[0]
    till.append(("2026-03-14", "7", None))
    asks, answers = talk(rows(number), till)
    assert len(asks) == (2 if number < 100 else 3)
    found = compared(BOOK, asks[-1], *answers)
    assert not found.ok
    assert {(d.group["day"], d.group["item_id"], d.value, d.central, d.till) for d in found.differences} == {
        ("2026-03-13", "0", "amount", "0.5", None),
        ("2026-03-13", "1", "amount", "1.5", "999"),
        ("2026-03-14", "7", "amount", None, None),
    }


def test_many_differences_are_cut_and_said_to_be() -> None:
    asks, answers = talk(rows(6_000), [])
    found = compared(BOOK, asks[-1], *answers)
    assert not found.ok
    assert found.truncated
    assert len(found.differences) == DIFFERENCES_MAX
    assert len(answers[0].rows) <= books.ROWS_MAX


def test_rows_on_their_way_are_no_difference_and_parked_ones_explain_one() -> None:
    asks, answers = talk(rows(3), rows(2), in_flight={"public.sales_order": 2})
    found = compared(BOOK, asks[-1], *answers)
    assert (found.ok, found.state) == (True, "in_flight")
    assert found.note == "2 changes of sales_order are on the way"
    asks, answers = talk(rows(3), rows(2), parked={"public.receipt": 1})
    found = compared(BOOK, asks[-1], *answers)
    assert (found.ok, found.state, found.note) == (False, "compared", "1 change of receipt is parked")
    asks, answers = talk(rows(3), rows(3), in_flight={"public.sales_order": 2})
    assert compared(BOOK, asks[-1], *answers).state == "compared", "it holds as it is"


def test_a_check_that_cannot_be_made_does_not_hold() -> None:
    double = [*rows(2), ("2026-03-13", "1", "8")]
    found = compared(BOOK, BookAsk(), answer(BOOK, rows(2), BookAsk()), answer(BOOK, double, BookAsk()))
    assert (found.ok, found.state) == (False, "failed")
    assert found.note == "till: two rows for day 2026-03-13, item_id 1"


def test_a_tills_values_are_those_of_head_office() -> None:
    (texts,) = texts_of(BOOK, [("2026-03-13 00:00:00", 42.0, 0.1 + 0.2)])
    assert texts == ("2026-03-13", "42", "0.3"), "a double's noise is no money"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (BookAsk(rows=True), BookAnswer(1, rows=(("2026-03-13", "1"),))),
        (BookAsk(rows=True), BookAnswer(1, rows=((),))),
        (BookAsk(rows=True), BookAnswer(2, rows=(("2026-03-13", "1", "5"), ("2026-03-13", "1", "6")))),
        (BookAsk(), BookAnswer(1, rows=(("2026-03-13", "1", "5"),))),
        (BookAsk(rows=True), BookAnswer(1, rows=tuple(rows(books.ROWS_MAX + 1)))),
    ],
)
def test_an_answer_that_somebody_made_up_is_a_check_that_failed(ask: BookAsk, said: BookAnswer) -> None:
    found = compared(BOOK, ask, answer(BOOK, rows(2), ask), fitted(BOOK, ask, said, {"public.closure"}))
    assert (found.ok, found.state, found.note) == (False, "failed", "till: its answer does not fit the check")


def test_what_a_till_says_beside_is_cut_to_what_can_be() -> None:
    said = BookAnswer(failed="x" * 9_999, in_flight={"public.closure": 1, "<b>": 2}, parked={"y" * 99: 1})
    kept = fitted(BOOK, BookAsk(), said, {"public.closure"})
    assert (len(kept.failed), kept.in_flight, kept.parked) == (300, {"public.closure": 1}, {})
