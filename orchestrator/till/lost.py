"""Notices of changes that lost: the till's operator is told once what he wrote and what stands instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from orchestrator.till.parts import News
from orchestrator.till.target import Target, fill

KIND = "conflict"


def take(db: apsw.Connection, targets: Mapping[str, Target], news: Sequence[News], tick: int, at: str) -> None:
    """Enters what a tick says of them, within its transaction, so that nothing is told twice."""
    found = [_notice(targets.get(tab), tab, key, rest) for one in news for tab, key, *rest in one.lost]
    if found:
        db.executemany(fill("tell"), [(KIND, *values, tick, at) for values in found])


def _notice(target: Target | None, tab: str, key: Mapping[str, str], rest: Sequence[Any]) -> tuple[Any, ...]:
    """Under the till's names, where it knows them."""
    column, theirs, stands = rest
    if target is None:
        return tab, tab, msgspec.json.encode(list(key.values())).decode(), column, theirs, stands
    table = target.table
    own = [key.get(c.name) for c in table.till_key]
    name = next((c.till for c in table.columns if c.name == column), column)
    return tab, table.till, msgspec.json.encode(own).decode(), name, theirs, stands
