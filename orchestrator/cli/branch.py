"""`tillsync branch`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import CentralFile, DryRun, Json, Yes, central_settings, pairs, print_json

if TYPE_CHECKING:
    from orchestrator.service.office import Office

branch_app = typer.Typer(no_args_is_help=True, add_completion=False, help="The tills, as head office knows them.")

Node = Annotated[str, typer.Argument(help="The till's name: letters, digits, _ and -.", show_default=False)]
Set = Annotated[
    list[str], typer.Option("--set", help="A node parameter, name=value; as often as needed.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write the till's settings there, readable by you alone.", dir_okay=False)
]
Database = Annotated[
    str, typer.Option("--database", help="The till application's file, as the till's settings name it.")
]
RelayDsn = Annotated[
    str | None,
    typer.Option("--relay-dsn", help="How tills reach the relay; \\[relay] dsn if not given.", show_default=False),
]


Seed = Annotated[
    Path | None,
    typer.Option("--seed", help="Make a ready file for the till there, loaded at head office.", dir_okay=False),
]
Schema = Annotated[
    Path | None,
    typer.Option("--schema", help="With --seed: the application's SQL, or its empty file.", dir_okay=False),
]


@branch_app.command("add")
def add(
    node: Node,
    sets: Set = [],  # noqa: B006 - typer wants a list
    out: Out = None,
    database: Database = "pos.db",
    relay_dsn: RelayDsn = None,
    seed: Seed = None,
    schema: Schema = None,
    config: CentralFile = None,
    dry_run: DryRun = False,
) -> None:
    """Registers a till with its parameters and an account of its own at the relay.

    Prints the till's settings file, or writes it with --out. It holds the account's password, which is kept
    nowhere else.

    Examples:

        tillsync branch add T1 --set store_id=1 --set price_group=A --out till.toml

        tillsync branch add T2 --set store_id=2 --set price_group=A --database /var/lib/pos/pos.db > till.toml

        tillsync branch add T3 --set store_id=2 --set price_group=A --out t3.toml --schema pos.sql --seed t3.db
    """
    from orchestrator.core.world import real_world
    from orchestrator.errors import UsageError
    from orchestrator.service import office as offices

    if (seed is None) != (schema is None):
        raise UsageError("TS-702", "--seed and --schema belong together", hint="--schema pos.sql --seed t3.db")
    settings = central_settings(config)
    with offices.opened(settings, real_world()) as office:
        if dry_run:
            offices.add(office, node, pairs(sets), dry_run=True)
            typer.echo(f"{node}: nothing done; it would be registered")
            return
        with offices.private_file(out) if out else nullcontext(sys.stdout) as file:
            dsn = offices.add(office, node, pairs(sets), relay_dsn=relay_dsn)
            file.write(offices.till_settings(settings, node, dsn, database))
        if seed is not None and schema is not None:
            _seeded(office, node, dsn, schema, seed)
    _say_where(out, node, "registered")


def _seeded(office: Office, node: str, dsn: str, schema: Path, seed: Path) -> None:
    from orchestrator.service import seed as seeds

    rows = seeds.make(office, node, dsn, schema, seed)
    typer.echo(f"{seed} is ready for {node}, with {rows} rows", err=True)


@branch_app.command("list")
def listing(config: CentralFile = None, json: Json = False) -> None:
    """Shows every branch with its state and parameters.

    Examples:

        tillsync branch list

        tillsync branch list --json
    """
    from orchestrator.core.world import real_world
    from orchestrator.report import render
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        branches = offices.listing(office)
        parameters = list(office.prepared.plan.parameters)
    if json:
        print_json({"branches": branches})
    else:
        rows = [[b["node"], b["state"], *(b["params"].get(p) for p in parameters)] for b in branches]
        render.table(["branch", "state", *parameters], rows)


@branch_app.command("set")
def change(
    node: Node,
    sets: Set = [],  # noqa: B006 - typer wants a list
    config: CentralFile = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Gives a branch other parameters; those that are not named stay. Its rows follow by themselves.

    Says which rows come and go, and refuses to take many away unless it is told that this is meant.

    Examples:

        tillsync branch set T1 --set price_group=B --dry-run

        tillsync branch set T1 --set price_group=B --yes
    """
    from orchestrator.core.world import real_world
    from orchestrator.report import effects as reports
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        after, effects = offices.change(office, node, pairs(sets), dry_run=dry_run, yes=yes)
    reports.show(effects)
    said = ", ".join(f"{name}={value}" for name, value in after.items())
    typer.echo(f"{node}: {'nothing done; it would have' if dry_run else 'now has'} {said}")


@branch_app.command("rotate")
def rotate(
    node: Node,
    out: Out = None,
    database: Database = "pos.db",
    relay_dsn: RelayDsn = None,
    config: CentralFile = None,
    dry_run: DryRun = False,
) -> None:
    """Gives a branch a new account and password. The old one ends at once; the till waits until it has the new file.

    Examples:

        tillsync branch rotate T1 --out till.toml
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import office as offices

    settings = central_settings(config)
    with offices.opened(settings, real_world()) as office:
        if dry_run:
            offices.rotate(office, node, dry_run=True)
            typer.echo(f"{node}: nothing done; it would get a new password")
            return
        with offices.private_file(out) if out else nullcontext(sys.stdout) as file:
            dsn = offices.rotate(office, node, relay_dsn=relay_dsn)
            file.write(offices.till_settings(settings, node, dsn, database))
    _say_where(out, node, "has a new account")


@branch_app.command("rejoin")
def rejoin(node: Node, config: CentralFile = None, dry_run: DryRun = False) -> None:
    """Lets a branch go on from another machine: its file was moved there, or a backup of it was put back there.

    The machine that comes next with the branch's account and file is the branch; the one before is refused.

    Examples:

        tillsync branch rejoin T1
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        offices.rejoin(office, node, dry_run=dry_run)
    typer.echo(f"{node}: {'nothing done; it would go on' if dry_run else 'goes on'} from the next machine that comes")


@branch_app.command("retire")
def retire(node: Node, config: CentralFile = None, dry_run: DryRun = False) -> None:
    """Ends a branch: its account and what it is sent. Everything that it sent stays at head office.

    Examples:

        tillsync branch retire T1
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        offices.retire(office, node, dry_run=dry_run)
    typer.echo(f"{node}: {'nothing done; it would be ' if dry_run else ''}retired")


def _say_where(out: Path | None, node: str, what: str) -> None:
    if out is not None:
        typer.echo(f"{node} {what}; its settings are in {out}, which holds its password", err=True)
