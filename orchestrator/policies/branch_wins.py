"""branch_wins: where both sides changed the same, the till's stands.

| at the till    | at head office        | outcome                                                               |
|----------------|-----------------------|-----------------------------------------------------------------------|
| column changed | same column changed   | the till's value; other columns that only head office changed stay    |
| row changed    | row deleted           | the row comes back whole, as the till has it                          |
| row deleted    | row changed           | deleted                                                               |
| row made       | same key made         | the till's values in head office's row                                |

A row that comes back has the defaults in columns that the till does not have. Every case is recorded with both images.
For data that is a store's own, such as its orders. Between two tills of one store the later upload stands.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Cell, Choice, Policy, Presence, Winner


def cell(c: Cell) -> Choice:
    return Choice(c.theirs, Winner.TILL)


def row(presence: Presence) -> Winner:
    return Winner.TILL


POLICY = Policy("branch_wins", cell, row)


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    return POLICY
