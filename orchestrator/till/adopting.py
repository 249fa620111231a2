"""Rows that a till had before its first load and that differ from head office's, in a table where the branch wins.

Elsewhere head office's values are put over them. Here they are entered as the till's own changes of what head office
has: so they stand, go up, and win there, as they would have had they been made a moment later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import shapes
from orchestrator.till.target import Layout, Target, fill


def own_values_win(target: Target) -> bool:
    """Whether a difference is decided for the till."""
    return target.channel.goes_up and target.table.policy.policy == "branch_wins"


def enter(db: apsw.Connection, found: Layout, arrived: Iterable[Sequence[Any]]) -> None:
    """Enters the rows that are there and differ from those that arrived."""
    bound = {n: f"?{i}" for i, n in enumerate(found.names, 1)}
    is_key = found.target.is_key("held.", found.key_values)
    db.executemany(_sql(db, found, bound, f"{found.target.name} AS held", is_key), arrived)


def enter_staged(db: apsw.Connection, found: Layout, staged: str) -> None:
    """As `enter`, for rows that are laid out in the table `staged` as c1, c2, .."""
    bound = {n: f"s.c{i}" for i, n in enumerate(found.names, 1)}
    key = [f"+s.c{p + 1}" for p in found.key_places]
    is_key = found.target.is_key("held.", key)
    db.execute(_sql(db, found, bound, f"{staged} AS s CROSS JOIN {found.target.name} AS held", is_key))


def _sql(db: apsw.Connection, found: Layout, arrived: dict[str, str], source: str, is_key: str) -> str:
    stored = max((s for s in shapes.load(db).values() if s.shape.table == found.target.table.name), key=lambda s: s.id)
    width = range(1, len(stored.till_columns) + 1)
    return fill(
        "adopt",
        shape=str(stored.id),
        log_old=", ".join(f"o{i}" for i in width),
        log_new=", ".join(f"n{i}" for i in width),
        old=", ".join(arrived.get(n, f"held.{q(n)}") for n in stored.till_columns),
        new=", ".join(f"held.{q(n)}" for n in stored.till_columns),
        source=source,
        is_key=is_key,
        differs=" OR ".join(found.differs(n, f"held.{q(n)}", arrived[n]) for n in found.written) or "0",
    )
