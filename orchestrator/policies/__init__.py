"""Conflict policies, one file each: pure functions, whose docstring is what a DBA reads before choosing.

A change that meets no other needs no policy: head office's value is still the till's base, so the till's is taken; or
both sides came to the same value, so nothing is to be done. Only what is left is judged here, column by column, by
the table's policy or the column's own. Whether a row exists at all is always the table's policy's to say.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.core.plan import PolicySpec, Table
from orchestrator.errors import ConfigError
from orchestrator.policies import (
    additive,
    append_only,
    branch_wins,
    central_wins,
    column_merge,
    function,
    manual,
    newest_wins,
    state_machine,
)
from orchestrator.policies.contest import Policy, Rules

_MAKERS: dict[str, Callable[[PolicySpec, Policy], Policy]] = {
    "append_only": append_only.make,
    "central_wins": central_wins.make,
    "branch_wins": branch_wins.make,
    "newest_wins": newest_wins.make,
    "column_merge": column_merge.make,
    "additive": additive.make,
    "state_machine": state_machine.make,
    "manual": manual.make,
    "function": function.make,
}
_FALLBACKS = {p.POLICY.name: p.POLICY for p in (central_wins, branch_wins, newest_wins, manual)}
_NUMBERS = ("int", "float", "numeric")

NAMES = tuple(_MAKERS)


def get(spec: PolicySpec) -> Policy:
    """The policy that a plan names. Raises ConfigError TS-138 where it, or its fallback, is none of ours."""
    maker, fallback = _MAKERS.get(spec.policy), _FALLBACKS.get(spec.fallback)
    if maker is None:
        raise ConfigError("TS-138", f"policy {spec.policy} is not in this version", hint=f"known: {', '.join(NAMES)}")
    if fallback is None:
        raise ConfigError(
            "TS-138",
            f"fallback {spec.fallback} of policy {spec.policy} cannot be one",
            hint=f"take one of {', '.join(_FALLBACKS)}",
        )
    return maker(spec, fallback)


def rules(table: Table) -> Rules:
    """The policies of a table of the plan."""
    own, columns = get(table.policy), {name: get(spec) for name, spec in table.column_policy.items()}
    if table.policy.policy == "additive":
        others = additive.for_others(own, _FALLBACKS[table.policy.fallback])
        columns = {c.name: others for c in table.columns if c.kind not in _NUMBERS} | columns
    return Rules(own, columns)
