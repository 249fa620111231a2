"""`tillsync status`."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import EitherFile, Json, central_settings, is_till, print_json, till_settings


def status(
    ready_for: Annotated[
        str | None, typer.Option("--ready-for", help="Which tills hold what is valid on this day, at head office.")
    ] = None,
    config: EitherFile = None,
    json: Json = False,
) -> None:
    """Shows where everything stands: at head office every branch, at a till the till.

    Examples:

        tillsync status

        tillsync status -c till.toml --json

        tillsync status --ready-for 2026-03-01
    """
    if ready_for is not None:
        from orchestrator.cli.ready import ready_for as tell

        tell(config, ready_for, json=json)
        return
    from orchestrator.core.world import real_world
    from orchestrator.report import status as reports
    from orchestrator.service import standing

    if is_till(config):
        till = standing.of_till(till_settings(config), real_world())
        print_json(till) if json else reports.show_till(till)
    else:
        chain = standing.of_central(central_settings(config), real_world())
        print_json(chain) if json else reports.show_central(chain)
