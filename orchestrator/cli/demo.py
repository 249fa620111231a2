"""`tillsync demo`."""

from __future__ import annotations

import json as jsons
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orchestrator.demo.outcome import show
from orchestrator.demo.run import Options, run_demo
from orchestrator.errors import Findings


def demo(
    tills: Annotated[int, typer.Option(help="How many tills.")] = 5,
    stores: Annotated[int, typer.Option(help="How many stores they stand in.")] = 2,
    days: Annotated[int | None, typer.Option(help="How many trading days; all 31 if not given.")] = None,
    day_seconds: Annotated[float, typer.Option(min=0, help="How long a day lasts at least.")] = 1.0,
    kill: Annotated[int, typer.Option(min=0, help="Kill every agent so many times (kill -9), at random moments.")] = 0,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", help="Where everything goes: a new or empty directory, removed unless --keep.", file_okay=False
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave databases, files and logs for a look.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", help="Where the comparison's page goes; the temporary directory if not given.", dir_okay=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replays a real month of a retail chain through central, relay and tills, and proves the outcome.

    Head office changes prices, assortments, contacts and promotions; the tills sell, close their days and order; some
    are offline for days, some agents are killed. Everything runs in processes of its own, on a PostgreSQL of its own.
    Ends with exit code 3 if a proof fails.

    Examples:

        tillsync demo

        tillsync demo --tills 12 --stores 3 --days 10

        tillsync demo --kill 5 --dir ./chain --keep
    """
    # A service manager's stop cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = Options(tills, stores, days, day_seconds, kill, directory, keep, html)
    result = run_demo(options, Console(stderr=True))
    if json:
        typer.echo(jsons.dumps(result.as_json(), indent=2))
    else:
        show(result, Console())
    failed = [proof.name for proof in result.proofs if not proof.holds]
    if failed:
        raise Findings(
            "TS-714", f"the demo's proof fails: {', '.join(failed)}", hint="run it with --keep and look at its logs"
        )
