"""A change of plan or parameters, looked at before it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg

from orchestrator.central.rehearsal import rehearse
from orchestrator.central.schema import Prepared
from orchestrator.core.effects import Effect
from orchestrator.errors import PersonMustDecide
from orchestrator.settings import CentralSettings

REMOVAL_ROWS_MIN = 20
"""So few rows may go without a question, whatever their share."""


def foreseen(
    settings: CentralSettings, conn: psycopg.Connection, prepared: Prepared, change: Callable[[], None]
) -> list[Effect]:
    """What a change would do, which it makes on `conn`; it is taken back."""
    level = conn.isolation_level
    try:
        return rehearse(conn, prepared, change, settings.part_rows_max)
    finally:
        conn.isolation_level = level


def refuse_removal(effects: Sequence[Effect], share_max: float) -> None:
    """Raises PersonMustDecide TS-146 where branches would lose more than this share of a table's rows."""
    for effect in effects:
        if effect.go > max(REMOVAL_ROWS_MIN, share_max * effect.before):
            raise PersonMustDecide(
                "TS-146",
                f"{effect.go} of {effect.before} rows of {effect.table} would go from {', '.join(effect.branches)}",
                hint="nothing was done; look at --dry-run, then say --yes if it is meant",
            )
