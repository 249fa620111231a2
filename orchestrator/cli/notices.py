"""`tillsync notices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import DryRun, Json, TillFile, print_json, till_settings
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.till.noticed import Notice

notices_app = typer.Typer(no_args_is_help=True, add_completion=False, help="What the till's operator must see.")

Kind = Annotated[str | None, typer.Option("--kind", help="Only notices of this kind, such as label.")]
By = Annotated[str | None, typer.Option("--by", help="Who acknowledges; this login if not given.", show_default=False)]


@notices_app.command("list")
def list_(
    kind: Kind = None,
    acked: Annotated[bool, typer.Option("--acked", help="What was acknowledged, and by whom, instead.")] = False,
    config: TillFile = None,
    json: Json = False,
) -> None:
    """Lists values that head office changed and that nobody has acknowledged: their net change since somebody did.

    Examples:

        tillsync notices list

        tillsync notices list --kind label --json

        tillsync notices list --acked
    """
    from orchestrator.report import render
    from orchestrator.service import counter
    from orchestrator.till import labels, noticed

    settings = till_settings(config)
    with counter.opened(settings) as db:
        found = noticed.past(db, kind) if acked else noticed.due(db, kind)
        names = labels.names(db, settings.labels, found)
    if json:
        print_json({"notices": [{**n.as_dict(), "name": name} for n, name in zip(found, names, strict=True)]})
        return
    headers = ["id", "kind", "row", "name", "column", "was", "is", "since"] + (["acknowledged", "by"] if acked else [])
    lines = [_line(n, name) + ([n.acked, n.acked_by] if acked else []) for n, name in zip(found, names, strict=True)]
    render.table(headers, lines)


@notices_app.command("ack")
def ack(
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of notices.", show_default=False)] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are due.")] = False,
    kind: Kind = None,
    by: By = None,
    config: TillFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Acknowledges notices: somebody has seen to them.

    What changed after it was listed stays due.

    Examples:

        tillsync notices ack 17 18 --by Anna

        tillsync notices ack --all --kind label --dry-run
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import counter
    from orchestrator.till import noticed

    if bool(ids) == all_:
        raise UsageError("TS-700", "give the numbers of notices, or --all", hint="see `tillsync notices list`")
    with counter.opened(till_settings(config)) as db:
        chosen = [n.id for n in noticed.due(db, kind)] if all_ else list(ids or ())
        who = by or counter.login()
        if not dry_run:
            noticed.ack(db, chosen, who, real_world().now())
    if json:
        print_json({"acknowledged": chosen, "by": who, "done": not dry_run})
    else:
        typer.echo(f"{'nothing done; ' if dry_run else ''}{len(chosen)} notices acknowledged by {who}")


def _line(notice: Notice, name: str) -> list[object]:
    key = ", ".join(map(str, notice.key))
    return [
        notice.id,
        notice.kind,
        f"{notice.till} {key}",
        name,
        notice.column,
        notice.old,
        notice.new,
        notice.since[:16],
    ]
