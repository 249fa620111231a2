"""What a change of plan or parameters does to the tills, for a person."""

from __future__ import annotations

from collections.abc import Sequence

from rich.filesize import decimal

from orchestrator.core.effects import Effect
from orchestrator.report import render

BRANCHES_SHOWN = 5


def show(effects: Sequence[Effect]) -> None:
    """A line for each table and group of branches that anything changes for."""
    headers = ["channel", "parameters", "branches", "table", "rows before", "come", "go", "sent", "at the relay"]
    rows = [
        [
            e.channel,
            ", ".join(f"{name}={value}" for name, value in e.parameters.items()),
            _branches(e.branches),
            e.table,
            e.before,
            e.come,
            e.go,
            e.sent,
            decimal(e.bytes),
        ]
        for e in effects
    ]
    if rows:
        render.table(headers, rows)
    else:
        render.console().print("no row comes to a till, and none goes")


def _branches(names: Sequence[str]) -> str:
    more = len(names) - BRANCHES_SHOWN
    return ", ".join(names[:BRANCHES_SHOWN]) + (f" and {more} more" if more > 0 else "")
