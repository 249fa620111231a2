"""`tillsync reload`."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import CentralFile, DryRun, Json, central_settings, print_json


def reload(
    branch: Annotated[str, typer.Argument(help="The till.", show_default=False)],
    channel: Annotated[str | None, typer.Option("--channel", help="Only this channel.", show_default=False)] = None,
    config: CentralFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Has a till take its rows anew, as a difference to what it has. What it has not sent yet stays, and is sent.

    Examples:

        tillsync reload T1

        tillsync reload T1 --channel catalogue
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        channels = offices.reload(office, branch, channel, dry_run=dry_run)
    if json:
        print_json({"branch": branch, "channels": channels, "done": not dry_run})
    else:
        said = "nothing done; it would take anew" if dry_run else "takes anew in its next rounds"
        typer.echo(f"{branch}: {said}: {', '.join(channels)}")
