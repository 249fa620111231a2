"""`tillsync conflicts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import CentralFile, DryRun, Force, Json, central_settings, print_json
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

conflicts_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Changes of one row that met.")

Number = Annotated[int, typer.Argument(help="The conflict's number.", show_default=False)]
Branch = Annotated[str | None, typer.Option("--branch", help="Of this till.", show_default=False)]


@conflicts_app.command("list")
def list_(
    branch: Branch = None,
    table: Annotated[str | None, typer.Option("--table", help="Of this table.", show_default=False)] = None,
    open_: Annotated[bool, typer.Option("--open", help="Those that wait for a person.")] = False,
    config: CentralFile = None,
    json: Json = False,
) -> None:
    """Lists conflicts, the newest first: which row, who won, and by which policy.

    Examples:

        tillsync conflicts list --open

        tillsync conflicts list --branch T1 --table contact --json
    """
    from orchestrator.core.world import real_world
    from orchestrator.report import render
    from orchestrator.service import deciding
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        found = deciding.conflicts_of(office, branch, table, only_open=open_)
    if json:
        print_json({"conflicts": found})
        return
    headers = ["id", "at", "branch", "row", "columns", "policy", "winner", "state"]
    render.table(headers, [_line(c) for c in found])


@conflicts_app.command("show")
def show(number: Number, config: CentralFile = None, json: Json = False) -> None:
    """Shows a conflict: column by column the value that the till started from, its own, head office's, and what stands.

    Examples:

        tillsync conflicts show 17
    """
    from orchestrator.core.world import real_world
    from orchestrator.report import render
    from orchestrator.service import deciding
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        found = deciding.conflict(office, number)
    if json:
        print_json(found)
        return
    render.table(["id", "at", "branch", "row", "columns", "policy", "winner", "state"], [_line(found)])
    if found["note"]:
        typer.echo(found["note"])
    images = [found[side] or {} for side in ("base", "theirs", "ours", "outcome")]
    names = list(dict.fromkeys(name for image in images for name in image))
    rows = [[("* " if n in found["columns"] else "") + n, *(image.get(n) for image in images)] for n in names]
    render.table(["column", "before", "till", "head office", "stands"], rows)


@conflicts_app.command("restore")
def restore(
    number: Number,
    side: Annotated[str | None, typer.Option("--side", help="till or central; the loser's if not given.")] = None,
    force: Force = False,
    config: CentralFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Puts the values of the side that lost in place of those that stand, in the columns that were judged.

    It is a change of head office's, and goes to the tills as any other.

    Examples:

        tillsync conflicts restore 17 --dry-run

        tillsync conflicts restore 17 --side till
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import deciding
    from orchestrator.service import office as offices

    if side not in (None, "till", "central"):
        raise UsageError("TS-700", f"--side {side} is neither till nor central", hint="say which values to take")
    with offices.opened(central_settings(config), real_world()) as office:
        done = deciding.restore(office, number, side, force=force, dry_run=dry_run)
    image = None if done.image is None else dict(done.image)
    if json:
        print_json({"conflict": number, "side": done.side, "row": image, "done": not dry_run})
        return
    what = "the row goes" if image is None else ", ".join(f"{name} = {value}" for name, value in image.items())
    typer.echo(f"{'nothing done; it would be' if dry_run else 'done'}: {done.side}'s: {what}")


@conflicts_app.command("close")
def close(
    numbers: Annotated[list[int], typer.Argument(help="Numbers of open conflicts.", show_default=False)],
    config: CentralFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Decides open conflicts: what stands is right.

    Examples:

        tillsync conflicts close 17 18
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import deciding
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        closed = deciding.close(office, numbers, dry_run=dry_run)
    if json:
        print_json({"closed": closed, "done": not dry_run})
    else:
        typer.echo(f"{'nothing done; ' if dry_run else ''}{len(closed)} closed")


def _line(c: Mapping[str, Any]) -> list[Any]:
    row = f"{c['tab'].removeprefix('public.')} {', '.join(map(str, c['key'].values()))}"
    return [
        c["id"],
        f"{c['at']:%Y-%m-%d %H:%M}",
        c["node"],
        row,
        ", ".join(c["columns"]),
        c["policy"],
        c["winner"],
        c["state"],
    ]
