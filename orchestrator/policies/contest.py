"""What a policy is asked, and what it may answer.

A till and head office wrote the same row without knowing of each other. Three images are at hand: the base that the
till started from, the till's row (theirs) and head office's (ours). Values are their canonical texts; whether two of
them differ was decided by the database, which knows the types, so `1.0` and `1.00` never meet a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.plan import PolicySpec

Answer = Mapping[str, str | None]
"""A row as a function of the DBA's wants it: values as text, by column. Columns may be left out."""

NO_ROW: Answer = {}


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
    newer: the till's change was made after head office's. answers: what functions of the DBA's made of the whole row,
    None for no row; only those that a policy of the table names.
    """

    base: str | None
    theirs: str | None
    ours: str | None
    moved_here: bool
    name: str = ""
    newer: bool = False
    answers: Mapping[str, Answer | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """The value of one cell, whose it is, and whether anybody lost something that a person should see.

    is_open: the value stands until a person has decided.
    """

    value: str | None
    winner: Winner
    conflict: bool = True
    is_open: bool = False


@dataclass(frozen=True)
class Presence:
    """Whether a row exists must be judged: one side changed it, on the other it is gone. See Cell for the rest."""

    kind: Kind
    newer: bool = False
    answers: Mapping[str, Answer | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """A policy, ready to be asked.

    cell: the value of one column. row: who decides whether the row exists, for GONE_HERE and GONE_THERE.
    deletes: whether a till may delete rows of the table at all; where not, its deletes are its own housekeeping.
    is_open: what it says of a row stands until a person has decided. function: the DBA's, whose answer it needs.
    """

    name: str
    cell: Callable[[Cell], Choice]
    row: Callable[[Presence], Winner]
    judges: Judges = Judges.CLASHES
    deletes: bool = True
    is_open: bool = False
    function: str = ""


@dataclass(frozen=True)
class Decision:
    """What becomes of the row: `keep` as it is, `put` (values of the judged columns), `make` or `delete` it."""

    action: str
    values: Mapping[str, str | None]
    winner: Winner
    conflict: bool
    is_open: bool = False


@dataclass(frozen=True)
class Rules:
    """The policies of one table: its own, and those of the columns that have another."""

    table: Policy
    columns: Mapping[str, Policy]

    def of(self, column: str) -> Policy:
        return self.columns.get(column, self.table)

    @property
    def functions(self) -> tuple[str, ...]:
        """The DBA's functions that they ask."""
        return tuple(sorted({p.function for p in (self.table, *self.columns.values()) if p.function}))


PolicyFor = Callable[[PolicySpec], Policy]


def decide(presence: Presence, cells: Mapping[str, Cell], rules: Rules) -> Decision:
    """Judge one row. `cells` are the columns that need a judgement; the others are merged already."""
    kind, table = presence.kind, rules.table
    if kind in (Kind.GONE_HERE, Kind.GONE_THERE):
        winner = table.row(presence)
        if winner is Winner.CENTRAL:
            return Decision("keep", {}, winner, conflict=True, is_open=table.is_open)
        return Decision("make" if kind is Kind.GONE_HERE else "delete", {}, winner, conflict=True)
    if table.function and presence.answers.get(table.function, NO_ROW) is None:
        return Decision("delete", {}, Winner.BOTH, conflict=True)
    choices = {name: rules.of(name).cell(cell) for name, cell in cells.items()}
    winners = {choice.winner for choice in choices.values()}
    return Decision(
        "put",
        {name: choice.value for name, choice in choices.items()},
        winners.pop() if len(winners) == 1 else Winner.BOTH,
        conflict=any(choice.conflict for choice in choices.values()),
        is_open=any(choice.is_open for choice in choices.values()),
    )
