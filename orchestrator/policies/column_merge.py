"""column_merge: both sides keep what they changed; an edit is never lost to a delete.

| at the till    | at head office          | outcome                                                             |
|----------------|-------------------------|---------------------------------------------------------------------|
| column changed | another column changed  | both, and no conflict                                               |
| column changed | same column changed     | `fallback` for that column: central_wins unless it says another one |
| row changed    | row deleted             | the row comes back whole, as the till has it                        |
| row deleted    | row changed             | the row stays; the till gets it back                                |
| row made       | same key made           | `fallback` for the columns that differ                              |

All but the first are recorded with both images. A row that comes back has the defaults in columns that the till does
not have. Every policy keeps columns apart like this; what column_merge adds
is that a delete loses to an edit, whoever made it.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Kind, Policy, Presence, Winner


def row(presence: Presence) -> Winner:
    """The side that has edited the row, and so keeps it alive."""
    return Winner.TILL if presence.kind is Kind.GONE_HERE else Winner.CENTRAL


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    return Policy("column_merge", fallback.cell, row)
