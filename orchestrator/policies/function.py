"""function: where both sides changed the same, a function of the DBA's at head office decides.

`policy = { policy = "function", function = "public.resolve_contact" }`, and there
`resolve_contact(base jsonb, theirs jsonb, ours jsonb) RETURNS jsonb`: the row as the till had it, as the till has it,
and as head office has it, each NULL where there is no such row; only columns that travel.

| at the till    | at head office      | outcome                                                              |
|----------------|---------------------|----------------------------------------------------------------------|
| column changed | same column changed | the answer's value; NULL deletes the row                             |
| row changed    | row deleted         | answer NULL: stays deleted; a row: comes back as the till has it     |
| row deleted    | row changed         | answer NULL: deleted; a row: stays                                   |
| row made       | same key made       | the answer's values in the columns that differ; NULL deletes the row |

It is asked about the rows that meet, and only the columns that both sides changed are taken from its answer; one that
it leaves out stays as head office has it. As a column's policy it decides that column. Every case is recorded with both
images. A row for which it fails is parked with what it said. It must decide by its arguments alone: a retry asks again.
"""

from __future__ import annotations

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import NO_ROW, Cell, Choice, Kind, Policy, Presence, Winner


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    """The policy that asks the function of `spec`."""

    def cell(c: Cell) -> Choice:
        value = (c.answers.get(spec.function) or NO_ROW).get(c.name, c.ours)
        if value == c.ours:
            return Choice(value, Winner.CENTRAL)
        return Choice(value, Winner.TILL if value == c.theirs else Winner.BOTH)

    def row(presence: Presence) -> Winner:
        is_wanted = presence.answers.get(spec.function) is not None
        return Winner.TILL if is_wanted == (presence.kind is Kind.GONE_HERE) else Winner.CENTRAL

    return Policy("function", cell, row, function=spec.function)
