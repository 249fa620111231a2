"""`tillsync install` and `tillsync uninstall`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    AdminDsn,
    CentralFile,
    DryRun,
    Force,
    Json,
    Sql,
    TillFile,
    central_settings,
    print_json,
    till_settings,
)

if TYPE_CHECKING:
    from orchestrator.service.setup import Done

install_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Puts tables and triggers into a database, whole or not at all."
)
uninstall_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Takes everything of ours out of a database."
)


@install_app.command("central")
def central(config: CentralFile = None, sql: Sql = False, dry_run: DryRun = False, json: Json = False) -> None:
    """Makes head office's database fit its settings: our schema, capture triggers, and the plan.

    Running it again changes nothing; after a change of the settings it brings the database up to them.

    Examples:

        tillsync install central --dry-run

        tillsync install central -c /etc/tillsync/tillsync.toml

        tillsync install central --sql | psql erp
    """
    from orchestrator.service import setup

    settings = central_settings(config)
    if sql:
        typer.echo(setup.central_script(settings), nl=False)
    else:
        _say(setup.install_central(settings, dry_run=dry_run), "installed", dry_run, json)


@install_app.command("relay")
def relay(
    config: CentralFile = None,
    admin_dsn: AdminDsn = None,
    sql: Sql = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Makes a database the sync server, and registers head office's login there.

    The administrator owns the database and may create roles; the login is made where it does not exist.

    Examples:

        tillsync install relay --admin-dsn postgresql://postgres@relay.example/tillsync

        tillsync install relay --sql | psql -h relay.example tillsync
    """
    from orchestrator.service import setup

    settings = central_settings(config)
    if sql:
        typer.echo(setup.relay_script(settings), nl=False)
    else:
        _say(setup.install_relay(settings, admin_dsn, dry_run=dry_run), "installed", dry_run, json)


@install_app.command("till")
def till(
    config: TillFile = None,
    sql: Sql = False,
    dry_run: DryRun = False,
    json: Json = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Go on without the tables and columns that the till's file does not have.")
    ] = False,
) -> None:
    """Puts our tables and triggers into the till's file, as the plan asks that head office has published.

    The till's application may be at work meanwhile. With --partial a till whose application is older than the plan
    takes part with what it has; the rest comes when it has it.

    Examples:

        tillsync install till -c /etc/tillsync/till.toml

        tillsync install till --sql > install.sql
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import setup

    settings = till_settings(config)
    if sql:
        typer.echo(setup.till_script(settings, real_world(), partial=partial), nl=False)
    else:
        _say(setup.install_till(settings, real_world(), dry_run=dry_run, partial=partial), "installed", dry_run, json)


@uninstall_app.command("central")
def uninstall_central(
    config: CentralFile = None, dry_run: DryRun = False, force: Force = False, json: Json = False
) -> None:
    """Removes triggers and schema from head office's database. Your tables and rows stay as they are.

    Examples:

        tillsync uninstall central --dry-run
    """
    from orchestrator.service import setup

    _say(setup.uninstall_central(central_settings(config), dry_run=dry_run, force=force), "removed", dry_run, json)


@uninstall_app.command("relay")
def uninstall_relay(
    config: CentralFile = None,
    admin_dsn: AdminDsn = None,
    dry_run: DryRun = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Removes the sync server's schema and the branches' logins. Head office's login stays.

    Examples:

        tillsync uninstall relay --admin-dsn postgresql://postgres@relay.example/tillsync
    """
    from orchestrator.service import setup

    done = setup.uninstall_relay(central_settings(config), admin_dsn, dry_run=dry_run, force=force)
    _say(done, "removed", dry_run, json)


@uninstall_app.command("till")
def uninstall_till(config: TillFile = None, dry_run: DryRun = False, force: Force = False, json: Json = False) -> None:
    """Removes our tables and triggers from the till's file. The application's tables and rows stay as they are.

    Examples:

        tillsync uninstall till -c till.toml
    """
    from orchestrator.service import setup

    _say(setup.uninstall_till(till_settings(config), dry_run=dry_run, force=force), "removed", dry_run, json)


def _say(done: Done, verb: str, dry_run: bool, json: bool) -> None:
    if json:
        print_json({**done.as_json(), "dry_run": dry_run})
        return
    version = f", plan version {done.plan_version}" if done.plan_version else ""
    typer.echo(f"{done.place}: {'nothing done; it would be ' if dry_run else ''}{verb}{version}; {done.changes}")
    for lack in done.lacks:
        typer.echo(f"  without: {lack}")
    if dry_run:
        for sign, names in (("+", done.changes.created), ("~", done.changes.altered), ("-", done.changes.dropped)):
            for name in names:
                typer.echo(f"  {sign} {name}")
