"""`tillsync bench`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from orchestrator.cli.options import Json, print_json

bench_app = typer.Typer(
    no_args_is_help=True,
    help="Measures, each time against a floor in the same run. Makes its own databases, and leaves nothing.",
)

Rows = Annotated[int, typer.Option(min=1, max=100_000, help="How many rows a round moves.")]
Rounds = Annotated[int, typer.Option(min=1, help="How many rounds; the figures are their medians.")]


@bench_app.command()
def down(rows: Rows = 100_000, rounds: Rounds = 5, json: Json = False) -> None:
    """Prices changed at head office until a till has them, against COPY out and executemany into SQLite.

    Examples:

        tillsync bench down --json
    """
    _measure("down", json, rows=rows, rounds=rounds)


@bench_app.command()
def up(rows: Rows = 100_000, rounds: Rounds = 5, json: Json = False) -> None:
    """Receipt lines from a till's file into head office's table, against COPY into PostgreSQL.

    Examples:

        tillsync bench up --json
    """
    _measure("up", json, rows=rows, rounds=rounds)


@bench_app.command()
def capture(rows: Rows = 100_000, rounds: Rounds = 5, json: Json = False) -> None:
    """What the triggers cost the applications: each statement against the same one without them.

    Examples:

        tillsync bench capture --json
    """
    _measure("capture", json, rows=rows, rounds=rounds)


@bench_app.command()
def latency(
    updates: Annotated[int, typer.Option(min=2, max=10_000, help="How many single updates, one after another.")] = 50,
    json: Json = False,
) -> None:
    """One changed price, from head office's commit until the till's file shows it, while both agents poll.

    Examples:

        tillsync bench latency --json
    """
    _measure("latency", json, updates=updates)


@bench_app.command()
def locks(rows: Rows = 100_000, rounds: Rounds = 5, json: Json = False) -> None:
    """A till that sells while a tick of so many rows comes, against the same till with no sync: its commits' times.

    Examples:

        tillsync bench locks --json
    """
    _measure("locks", json, rows=rows, rounds=rounds)


@bench_app.command()
def chain(
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="How many prices change.")] = 10_000, json: Json = False
) -> None:
    """What 100, 1 000 and 10 000 tills cost head office and the relay: first load, changed prices, a store that moves.

    Examples:

        tillsync bench chain --json
    """
    _measure("chain", json, rows=rows)


@bench_app.command()
def reconcile(rows: Rows = 100_000, rounds: Rounds = 5, json: Json = False) -> None:
    """Comparing a till's table of so many rows with head office's, against reading it; and the bytes at the relay.

    Examples:

        tillsync bench reconcile --json
    """
    _measure("reconcile", json, rows=rows, rounds=rounds)


@bench_app.command()
def memory(rows: Rows = 100_000, json: Json = False) -> None:
    """The most that each agent's process holds while so many rows go down and so many come up.

    Examples:

        tillsync bench memory --json
    """
    _measure("memory", json, rows=rows)


def _measure(name: str, json: bool, **options: int) -> None:
    measured = import_module(f"orchestrator.bench.{name}").run(**options, seen=_seen)
    if json:
        print_json(measured)
        return
    from orchestrator.report import render

    render.table(("figure", "value"), _flat(measured))


def _seen(line: str) -> None:
    typer.echo(line, err=True)


def _flat(measured: dict[str, Any]) -> list[tuple[str, Any]]:
    """{"a": 1, "b": {"c": 2}} -> [("a", 1), ("b c", 2)]."""
    flat = []
    for name, value in measured.items():
        flat += [(f"{name} {k}", v) for k, v in value.items()] if isinstance(value, dict) else [(name, value)]
    return flat
