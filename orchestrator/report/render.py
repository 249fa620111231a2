"""The only formatter: what a person reads at a terminal or in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A table on stdout, as wide as its content where it goes into a pipe; numbers to the right."""
    made = Table(*headers, box=box.SIMPLE_HEAD, title=title, title_justify="left")
    lines = [list(row) for row in rows]
    for place, column in enumerate(made.columns):
        column.overflow = "fold"
        if lines and all(isinstance(row[place], int | float) or row[place] is None for row in lines):
            column.justify = "right"
    for row in lines:
        made.add_row(*("" if value is None else str(value) for value in row))
    console().print(made)


def console() -> Console:
    """Stdout without guesses about what the content means. NO_COLOR is heeded."""
    made = Console(markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = 400
    return made
