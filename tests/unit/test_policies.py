"""The policies, each against the table in its docstring."""

from __future__ import annotations

import inspect
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import policies
from orchestrator.core.plan import PolicySpec
from orchestrator.core.planning import POLICIES
from orchestrator.errors import ConfigError
from orchestrator.policies.contest import Cell, Choice, Decision, Judges, Kind, Policy, Presence, Rules, Winner, decide

NO_POLICIES = {"__init__", "contest", "merging", "table"}
FILES = {f.stem for f in Path(policies.__file__).parent.glob("*.py")} - NO_POLICIES
MODULES = {name: import_module(f"orchestrator.policies.{name}") for name in sorted(FILES)}
STATES = ("draft", "sent", "confirmed", "shipped", "received")
BOTH = (Kind.BOTH_CHANGED, Kind.BOTH_MADE)
CELL = Cell("old", "theirs", "ours", moved_here=True)


def policy(name: str, fallback: str = "central_wins") -> Policy:
    return policies.get(PolicySpec(name, STATES if name == "state_machine" else (), fallback))


def decided(name: str, kind: Kind, **cells: Cell) -> Decision:
    return decide(Presence(kind), cells, Rules(policy(name), {}))


def test_the_registry_has_what_the_plan_knows_and_nothing_else() -> None:
    assert set(policies.NAMES) == set(POLICIES) == set(MODULES)
    with pytest.raises(ConfigError, match=r"TS-138 policy newest is not in this version"):
        policies.get(PolicySpec("newest"))
    with pytest.raises(ConfigError, match=r"TS-138 fallback additive of policy column_merge cannot be one"):
        policies.get(PolicySpec("column_merge", fallback="additive"))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_policys_docstring_is_its_manual_page(name: str) -> None:
    page = inspect.getdoc(MODULES[name]) or ""
    assert page.startswith(f"{name}: ")
    assert "| at the till" in page


@pytest.mark.parametrize(
    ("name", "gone_here", "gone_there"),
    [
        ("central_wins", "keep", "keep"),
        ("branch_wins", "make", "delete"),
        ("column_merge", "make", "keep"),
        ("state_machine", "make", "keep"),
        ("additive", "keep", "keep"),
        ("append_only", "keep", "keep"),
    ],
)
def test_who_says_whether_a_row_exists(name: str, gone_here: str, gone_there: str) -> None:
    here, there = decided(name, Kind.GONE_HERE), decided(name, Kind.GONE_THERE)
    assert (here.action, there.action) == (gone_here, gone_there)
    assert here.conflict
    assert there.conflict
    assert here.winner is (Winner.TILL if gone_here == "make" else Winner.CENTRAL)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("name", "fallback", "value", "winner"),
    [
        ("central_wins", "central_wins", "ours", Winner.CENTRAL),
        ("branch_wins", "central_wins", "theirs", Winner.TILL),
        ("column_merge", "central_wins", "ours", Winner.CENTRAL),
        ("column_merge", "branch_wins", "theirs", Winner.TILL),
        ("append_only", "central_wins", "ours", Winner.CENTRAL),
        ("additive", "central_wins", "ours", Winner.CENTRAL),
        ("additive", "branch_wins", "theirs", Winner.TILL),
        ("state_machine", "branch_wins", "theirs", Winner.TILL),
    ],
)
def test_one_column_that_both_sides_changed(kind: Kind, name: str, fallback: str, value: str, winner: Winner) -> None:
    decision = decide(Presence(kind), {"note": CELL}, Rules(policy(name, fallback), {}))
    assert decision == Decision("put", {"note": value}, winner, conflict=True)


def test_columns_may_have_policies_of_their_own_and_the_winner_is_then_both() -> None:
    rules = Rules(policy("central_wins"), {"note": policy("branch_wins")})
    decision = decide(Presence(Kind.BOTH_CHANGED), {"note": CELL, "name": CELL}, rules)
    assert decision == Decision("put", {"note": "theirs", "name": "ours"}, Winner.BOTH, conflict=True)


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "total"),
    [
        ("10", "7", "15", "12"),
        ("10", "3", "5", "-2"),
        ("10", "50", "15", "55"),  # a recount is a movement of 40
        ("10", "7", "7", "4"),  # both sold three
        (None, "3", "4", "7"),
        ("0.1", "0.3", "0.2", "0.4"),
        (
            "0.00000000000000000000000000001",
            "1",
            "99999999999999999999",
            "99999999999999999999.99999999999999999999999999999",
        ),
        ("1", "NaN", "2", "NaN"),
        ("1e2", "1e3", "0", "900"),
    ],
)
def test_additive_sums_what_each_side_moved(base: str | None, theirs: str, ours: str, total: str) -> None:
    assert policy("additive").cell(Cell(base, theirs, ours, True)) == Choice(total, Winner.BOTH, conflict=False)


@pytest.mark.parametrize(
    ("base", "theirs", "ours"), [("1", None, "2"), ("a", "b", "c"), ("1", "Infinity", "-Infinity")]
)
def test_additive_leaves_what_has_no_sum_to_its_fallback(base: str, theirs: str | None, ours: str) -> None:
    assert policy("additive").cell(Cell(base, theirs, ours, True)) == Choice(ours, Winner.CENTRAL)
    assert policy("additive", "branch_wins").cell(Cell(base, theirs, ours, True)) == Choice(theirs, Winner.TILL)


@given(st.lists(st.decimals(-(10**9), 10**9, places=3), min_size=1, max_size=6))
def test_additive_comes_to_the_same_in_any_order(moves: list[Decimal]) -> None:
    base = Decimal("10.000")
    for order in (moves, moves[::-1]):
        ours = str(base)
        for move in order:
            ours = policy("additive").cell(Cell(str(base), str(base + move), ours, True)).value or ""
        assert Decimal(ours) == base + sum(moves)


@pytest.mark.parametrize(
    ("theirs", "ours", "moved_here", "choice"),
    [
        ("sent", "draft", False, Choice("sent", Winner.TILL, conflict=False)),
        ("received", "draft", False, Choice("received", Winner.TILL, conflict=False)),
        ("shipped", "confirmed", True, Choice("shipped", Winner.TILL)),
        ("sent", "confirmed", True, Choice("confirmed", Winner.CENTRAL)),
        ("draft", "sent", False, Choice("sent", Winner.CENTRAL)),
        ("lost", "sent", True, Choice("sent", Winner.CENTRAL)),
        ("lost", "draft", False, Choice("draft", Winner.CENTRAL)),
        ("sent", "closed", True, Choice("closed", Winner.CENTRAL)),
        (None, "sent", False, Choice("sent", Winner.CENTRAL)),
        ("draft", None, False, Choice("draft", Winner.TILL, conflict=False)),
        ("x", "y", True, Choice("y", Winner.CENTRAL)),
        ("x", "y", False, Choice("x", Winner.TILL, conflict=False)),
        ("x", None, False, Choice("x", Winner.TILL, conflict=False)),
    ],
)
def test_state_machine_only_goes_forward(
    theirs: str | None, ours: str | None, moved_here: bool, choice: Choice
) -> None:
    assert policy("state_machine").cell(Cell("draft", theirs, ours, moved_here)) == choice


@given(st.permutations([*STATES, *STATES[1:3]]))
def test_state_machine_ends_at_the_furthest_state_in_any_order(order: list[str]) -> None:
    ours = "draft"
    for theirs in order:
        if theirs != ours:
            ours = policy("state_machine").cell(Cell("draft", theirs, ours, ours != "draft")).value or ""
    assert ours == "received"


def test_append_only_judges_every_change_and_lets_a_till_tidy_up() -> None:
    assert policy("append_only").judges is Judges.EVERY_CHANGE
    assert not policy("append_only").deletes
    assert policy("additive").judges is Judges.MOVES
    assert policy("central_wins").judges is Judges.CLASHES
    assert policy("central_wins").deletes
