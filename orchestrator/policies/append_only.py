"""append_only: a row is written once and never changes: closures, receipts, movements.

| at the till | at head office              | outcome                                                          |
|-------------|-----------------------------|------------------------------------------------------------------|
| row made    | nothing                     | taken                                                            |
| row made    | same key, same content      | nothing to do: it has been sent before                           |
| row made    | same key, other content     | head office's row stands, the till's is kept in the conflict     |
| row changed | unchanged, changed or gone  | refused; the till's new row is kept in the conflict              |
| row deleted | whatever                    | head office keeps its row: a till tidies up after itself; not a conflict |
| row made and deleted, then sent | nothing | taken: it was sold, whenever the network was there               |

The default of tables in channels that only go up. A correction is a row of its own, with a key of its own.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Cell, Choice, Judges, Policy, Presence, Winner


def cell(c: Cell) -> Choice:
    return Choice(c.ours, Winner.CENTRAL)


def row(presence: Presence) -> Winner:
    return Winner.CENTRAL


POLICY = Policy("append_only", cell, row, judges=Judges.EVERY_CHANGE, deletes=False)


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    return POLICY
