"""What a policy is asked, and what it may answer.

A till and head office wrote the same row without knowing of each other. Three images are at hand: the base that the
till started from, the till's row (theirs) and head office's (ours). Values are their canonical texts; whether two of
them differ was decided by the database, which knows the types, so `1.0` and `1.00` never meet a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.plan import PolicySpec


class Kind(StrEnum):
    """How two changes of one row meet."""

    BOTH_CHANGED = "both changed it"
    BOTH_MADE = "both made it"
    GONE_HERE = "head office has no such row, the till changed it"
    GONE_THERE = "the till deleted it, head office changed it"


class Winner(StrEnum):
    CENTRAL = "central"
    TILL = "till"
    BOTH = "both"


class Judges(StrEnum):
    """When a column needs its policy.

    CLASHES: both sides changed it, to different values. MOVES: both sides changed it, be it to the same value: two
    tills that sold three each both say 7. EVERY_CHANGE: the till changed it, whatever head office did.
    """

    CLASHES = "clashes"
    MOVES = "moves"
    EVERY_CHANGE = "every change"


@dataclass(frozen=True)
class Cell:
    """One column that must be judged. `base` is None too where the till had no row before.

    moved_here: head office's value is not the base. Theirs and ours differ, but for a policy that judges MOVES.
    """

    base: str | None
    theirs: str | None
    ours: str | None
    moved_here: bool


@dataclass(frozen=True)
class Choice:
    """The value of one cell, whose it is, and whether anybody lost something that a person should see."""

    value: str | None
    winner: Winner
    conflict: bool = True


@dataclass(frozen=True)
class Policy:
    """A policy, ready to be asked.

    cell: the value of one column. row: who decides whether the row exists, for GONE_HERE and GONE_THERE.
    deletes: whether a till may delete rows of the table at all; where not, its deletes are its own housekeeping.
    """

    name: str
    cell: Callable[[Cell], Choice]
    row: Callable[[Kind], Winner]
    judges: Judges = Judges.CLASHES
    deletes: bool = True


@dataclass(frozen=True)
class Decision:
    """What becomes of the row: `keep` as it is, `put` (values of the judged columns), `make` or `delete` it."""

    action: str
    values: Mapping[str, str | None]
    winner: Winner
    conflict: bool


@dataclass(frozen=True)
class Rules:
    """The policies of one table: its own, and those of the columns that have another."""

    table: Policy
    columns: Mapping[str, Policy]

    def of(self, column: str) -> Policy:
        return self.columns.get(column, self.table)


PolicyFor = Callable[[PolicySpec], Policy]


def decide(kind: Kind, cells: Mapping[str, Cell], rules: Rules) -> Decision:
    """Judge one row. `cells` are the columns that need a judgement; the others are merged already."""
    if kind in (Kind.GONE_HERE, Kind.GONE_THERE):
        winner = rules.table.row(kind)
        if winner is Winner.CENTRAL:
            return Decision("keep", {}, winner, conflict=True)
        return Decision("make" if kind is Kind.GONE_HERE else "delete", {}, winner, conflict=True)
    choices = {name: rules.of(name).cell(cell) for name, cell in cells.items()}
    winners = {choice.winner for choice in choices.values()}
    return Decision(
        "put",
        {name: choice.value for name, choice in choices.items()},
        winners.pop() if len(winners) == 1 else Winner.BOTH,
        conflict=any(choice.conflict for choice in choices.values()),
    )
