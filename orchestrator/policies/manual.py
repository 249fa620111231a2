"""manual: where both sides changed the same, a person decides; until then head office's stands.

| at the till    | at head office        | outcome, until a person has decided                                   |
|----------------|-----------------------|-----------------------------------------------------------------------|
| column changed | same column changed   | head office's value; other columns that only the till changed are taken |
| row changed    | row deleted           | stays deleted; the till loses the row                                 |
| row deleted    | row changed           | the row stays; the till gets it back                                  |
| row made       | same key made         | head office's row                                                     |

Every case is recorded with both images and is open: `tillsync status` counts it until `tillsync conflicts restore` has
put the till's in its place, or `tillsync conflicts close` has let head office's stand. Both ends agree meanwhile.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Cell, Choice, Policy, Presence, Winner


def cell(c: Cell) -> Choice:
    return Choice(c.ours, Winner.CENTRAL, is_open=True)


def row(presence: Presence) -> Winner:
    return Winner.CENTRAL


POLICY = Policy("manual", cell, row, is_open=True)


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    return POLICY
