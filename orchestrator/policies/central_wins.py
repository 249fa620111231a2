"""central_wins: where both sides changed the same, head office's stands.

| at the till    | at head office        | outcome                                                               |
|----------------|-----------------------|-----------------------------------------------------------------------|
| column changed | same column changed   | head office's value; other columns that only the till changed are taken |
| row changed    | row deleted           | stays deleted; the till loses the row                                 |
| row deleted    | row changed           | the row stays; the till gets it back                                  |
| row made       | same key made         | head office's row                                                     |

Every case is recorded with both images. For data that head office is responsible for and a till may suggest.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Cell, Choice, Policy, Presence, Winner


def cell(c: Cell) -> Choice:
    return Choice(c.ours, Winner.CENTRAL)


def row(presence: Presence) -> Winner:
    return Winner.CENTRAL


POLICY = Policy("central_wins", cell, row)


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    return POLICY
