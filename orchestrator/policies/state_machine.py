"""state_machine: a column walks through declared states, and only forward.

`column_policy = { status = { policy = "state_machine", states = ["draft", "sent", "shipped", "received"] } }`

| at the till             | at head office          | outcome                                                        |
|-------------------------|-------------------------|----------------------------------------------------------------|
| a later state           | unchanged               | the till's                                                     |
| a state                 | another state           | the one that stands further on in `states`, recorded           |
| an earlier state        | whatever                | head office's stays, recorded: nothing goes back               |
| a state not in `states` | a declared state        | head office's stays, recorded                                  |
| any state               | one not in `states`     | head office's stays, recorded: only it may use such a state    |
| neither is in `states`  |                         | `fallback`                                                     |

Steps may be skipped: a till that was offline sends `received` where head office still has `sent`. Whether the row
exists (deleted on one side, changed on the other): an edit is not lost to a delete, as with column_merge. Use it for a
column; as a table's policy it leaves the other columns to `fallback`.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies import column_merge
from orchestrator.policies.contest import Cell, Choice, Judges, Policy, Winner


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    """The policy over the states of `spec`, in their order."""
    rank = {state: place for place, state in enumerate(spec.states)}

    def cell(c: Cell) -> Choice:
        theirs = rank.get(c.theirs) if c.theirs is not None else None
        ours = -1 if c.ours is None else rank.get(c.ours)  # an empty status is before every state
        if theirs is None and (ours is None or ours < 0):
            return _unjudged(c, fallback)
        if theirs is not None and ours is not None and theirs > ours:
            return Choice(c.theirs, Winner.TILL, conflict=c.moved_here)
        return Choice(c.ours, Winner.CENTRAL)

    return Policy("state_machine", cell, column_merge.row, judges=Judges.EVERY_CHANGE)


def _unjudged(c: Cell, fallback: Policy) -> Choice:
    """Values that are no states: the till's where head office has not moved, else what the fallback says."""
    return fallback.cell(c) if c.moved_here else Choice(c.theirs, Winner.TILL, conflict=False)
