"""additive: a number is a sum of movements; what each side added or took away counts, in any order.

| at the till     | at head office        | outcome                                                              |
|-----------------|-----------------------|----------------------------------------------------------------------|
| number changed  | number changed        | head office's value + (the till's new - the till's old), below zero too |
| text changed    | same text changed     | `fallback`: central_wins unless it says another one                  |
| row changed     | row deleted           | stays deleted, recorded: a movement of what is not there any more    |
| row deleted     | row changed           | the row stays, recorded                                              |
| row made        | same key made         | the sum of both                                                      |

A sum is no conflict and is not recorded; that both sides came to the same number does not make their movements one. A
recount is a movement too: a till that writes 50 over 10 adds 40, so if head office added 5 meanwhile, 55 is the
outcome. numeric stays decimal to its last digit; text that looks like a number, a code or a telephone number, is text,
unless the column itself is declared additive. An empty number counts as nothing where it is the base; a till that
empties a number that head office changed is a conflict for `fallback`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation

from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Cell, Choice, Judges, Policy, Presence, Winner

# PostgreSQL's numeric has at most 131 072 digits before the point and 16 383 after it: no sum is ever rounded here.
_EXACT = Context(prec=150_000, Emax=MAX_EMAX, Emin=MIN_EMIN)


def row(presence: Presence) -> Winner:
    return Winner.CENTRAL


def make(spec: PolicySpec, fallback: Policy) -> Policy:
    def cell(c: Cell) -> Choice:
        total = _sum(c)
        if total is not None:
            return Choice(total, Winner.BOTH, conflict=False)
        return Choice(c.ours, Winner.BOTH, conflict=False) if c.ours == c.theirs else fallback.cell(c)

    return Policy("additive", cell, row, judges=Judges.MOVES)


def for_others(policy: Policy, fallback: Policy) -> Policy:
    """An additive table's policy for its columns that are no numbers."""
    return replace(policy, cell=fallback.cell, judges=fallback.judges)


def _sum(c: Cell) -> str | None:
    """ours + theirs - base as text; None where these are not numbers."""
    if c.theirs is None:
        return None
    try:
        ours, theirs, base = (_EXACT.create_decimal(_bare(v or "0")) for v in (c.ours, c.theirs, c.base))
        total = _EXACT.subtract(_EXACT.add(ours, theirs), base)
    except InvalidOperation:
        return None
    return _plain(total)


def _bare(text: str) -> str:
    """money is written $1,234.50, everything else as a number is."""
    return text.replace("$", "").replace(",", "") if "$" in text else text


def _plain(total: Decimal) -> str:
    return format(total, "f") if total.is_finite() else str(total)
