"""newest_wins: where both sides changed the same, the change that was made later stands, row by row.

| at the till    | at head office        | outcome                                                               |
|----------------|-----------------------|-----------------------------------------------------------------------|
| column changed | same column changed   | the value of the row that was changed later                           |
| row changed    | row deleted           | comes back as the till has it, or stays deleted: what was done later  |
| row deleted    | row changed           | deleted, or stays: what was done later                                |
| row made       | same key made         | the values of the row that was made later, in the columns that differ |

A change bears a stamp of a hybrid logical clock: the till's wall clock when it was captured, put right by the clock's
skew against the relay, never later than when it was sent, and later than the stamp of the row that it was made upon. So
a till whose clock is an hour ahead does not win for an hour, and one that is behind does not lose. Equal stamps: a till
beats head office, and of two tills the one whose name comes later, in whatever order they arrive. A row that is applied
is no edit and bears the stamp of its change. Every case is recorded with both images, and with what was wrong with the
clock where a stamp had to be cut. For tables that go both ways.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Cell, Choice, Policy, Presence, Winner


def cell(c: Cell) -> Choice:
    return Choice(c.theirs, Winner.TILL) if c.newer else Choice(c.ours, Winner.CENTRAL)


def row(presence: Presence) -> Winner:
    return Winner.TILL if presence.newer else Winner.CENTRAL


POLICY = Policy("newest_wins", cell, row)


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    return POLICY
