"""`tillsync parked`."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import CentralFile, DryRun, Json, central_settings, print_json
from orchestrator.errors import UsageError

parked_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Changes that head office could not take.")


@parked_app.command("list")
def list_(
    branch: Annotated[str | None, typer.Option("--branch", help="Of this till.", show_default=False)] = None,
    all_: Annotated[bool, typer.Option("--all", help="Those that came in or were given up, too.")] = False,
    config: CentralFile = None,
    json: Json = False,
) -> None:
    """Lists parked changes with the reason. They are tried again by themselves.

    Examples:

        tillsync parked list --branch T1

        tillsync parked list --all --json
    """
    from orchestrator.core.world import real_world
    from orchestrator.report import render
    from orchestrator.service import deciding
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        found = deciding.parked_of(office, branch, every=all_)
    if json:
        print_json({"parked": found})
        return
    rows = [
        [
            p["id"],
            f"{p['at']:%Y-%m-%d %H:%M}",
            p["node"],
            f"{p['tab'].removeprefix('public.')} {', '.join(map(str, p['key'].values()))}",
            {"I": "new", "U": "changed", "D": "deleted"}[p["op"]],
            p["reason"],
            p["tries"],
            p["state"],
        ]
        for p in found
    ]
    render.table(["id", "at", "branch", "row", "change", "reason", "tries", "state"], rows)


@parked_app.command("retry")
def retry(
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers of parked changes.", show_default=False)] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    config: CentralFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Tries parked changes again at once, each with its document.

    Examples:

        tillsync parked retry 17

        tillsync parked retry --all --dry-run
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import deciding
    from orchestrator.service import office as offices

    if bool(numbers) == all_:
        raise UsageError("TS-700", "give the numbers of changes, or --all", hint="see `tillsync parked list`")
    with offices.opened(central_settings(config), real_world()) as office:
        released = deciding.retry(office, numbers or (), dry_run=dry_run)
    if json:
        print_json({"released": released, "done": not dry_run})
    else:
        typer.echo(f"nothing done; {released} would be tried" if dry_run else f"{released} taken in")


@parked_app.command("drop")
def drop(
    numbers: Annotated[list[int], typer.Argument(help="Numbers of parked changes.", show_default=False)],
    config: CentralFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Gives parked changes up, each with its document. They stay on record, and the till gets what head office has.

    Examples:

        tillsync parked drop 17 --dry-run
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import deciding
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        dropped = deciding.drop(office, numbers, dry_run=dry_run)
    if json:
        print_json({"dropped": dropped, "done": not dry_run})
    else:
        typer.echo(f"{'nothing done; ' if dry_run else ''}{len(dropped)} given up")
