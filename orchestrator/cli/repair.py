"""`tillsync repair`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import CentralFile, Json, Tables, central_settings, print_json

if TYPE_CHECKING:
    from orchestrator.central.reconcile_repair import Step

WAYS = {
    "down": "head office tells the till anew",
    "up": "the till sends it anew",
    "reload": "the till takes the channel anew",
}


def repair(
    branch: Annotated[str | None, typer.Option("--branch", help="Only this till.", show_default=False)] = None,
    table: Tables = [],  # noqa: B006 - typer wants a list
    key: Annotated[
        list[str],
        typer.Option("--key", help="Only this row of the table: a,b or name=value.", show_default=False),
    ] = [],  # noqa: B006 - typer wants a list
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this it is only said.")] = False,
    config: CentralFile = None,
    json: Json = False,
) -> None:
    """Puts right what the last `tillsync reconcile` found: prints a plan, and with --apply does it.

    Everything goes through the normal stream: head office tells a till anew about a row, or the till sends it anew and
    its table's policy merges it. Nothing that only a till has is deleted at head office.

    Examples:

        tillsync repair

        tillsync repair --branch T7 --table item --key 4711 --apply
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import office as offices
    from orchestrator.service import repairing

    with offices.opened(central_settings(config), real_world()) as office:
        steps = repairing.plan(office, branch, table, key)
        failed = repairing.apply(office, steps) if apply else []
    if json:
        print_json({"steps": [asdict(step) for step in steps], "done": apply, "failed": failed})
    else:
        _show(steps, done=apply)
    for line in failed:
        typer.echo(line, err=True)


def _show(steps: list[Step], *, done: bool) -> None:
    from orchestrator.report import render

    if not steps:
        typer.echo("nothing is known to differ; `tillsync reconcile` compares")
        return
    rows = [[s.branch, s.table.removeprefix("public."), WAYS[s.way], s.policy, s.rows, s.bytes] for s in steps]
    render.table(["till", "table", "what is done", "policy", "rows", "bytes, about"], rows)
    typer.echo("the next rounds carry it; then compare again" if done else "nothing is done yet: --apply does it")
