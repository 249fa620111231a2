"""`tillsync config`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from orchestrator.cli.options import (
    CENTRAL_FILE,
    TILL_FILE,
    CentralFile,
    DryRun,
    EitherFile,
    Json,
    Yes,
    central_settings,
    is_till,
    print_json,
    till_settings,
)

config_app = typer.Typer(no_args_is_help=True, add_completion=False, help="The settings files.")


class Side(StrEnum):
    """Whose settings file."""

    central = "central"
    till = "till"


@config_app.command("check")
def check(
    config: EitherFile = None,
    json: Json = False,
    offline: Annotated[bool, typer.Option("--offline", help="Check the form alone; ask no database.")] = False,
) -> None:
    """Checks a settings file: its form, and head office's plan against the tables that its database has.

    Examples:

        tillsync config check

        tillsync config check -c till.toml --offline
    """
    if is_till(config):
        settings = till_settings(config)
        found: dict[str, Any] = {"ok": True, "node": settings.node, "database": str(settings.till.database)}
        said = f"settings of till {settings.node} are in order"
    else:
        found, said = _central(config, offline, json)
    if json:
        print_json(found)
    else:
        typer.echo(said)


@config_app.command("apply")
def apply(config: CentralFile = None, dry_run: DryRun = False, yes: Yes = False, json: Json = False) -> None:
    """Brings head office up to its settings, after saying which rows come to the tills and which go.

    Refuses to take many rows away unless it is told that this is meant.

    Examples:

        tillsync config apply --dry-run

        tillsync config apply --yes --json
    """
    from dataclasses import asdict

    from orchestrator.report import effects as reports
    from orchestrator.service import setup

    done, effects = setup.apply_settings(central_settings(config), dry_run=dry_run, yes=yes)
    if json:
        print_json({**done.as_json(), "done": not dry_run, "effects": [asdict(e) for e in effects]})
        return
    reports.show(effects)
    what = f"plan {done.plan_version}" if done.plan_changed else "the plan stays as it is"
    typer.echo(f"{done.place}: {what}{', nothing done' if dry_run else ''}")


@config_app.command("schema")
def schema(side: Annotated[Side, typer.Argument(help="Whose settings file.")] = Side.central) -> None:
    """Prints the JSON schema of a settings file, for editors.

    Examples:

        tillsync config schema > tillsync.schema.json

        tillsync config schema till
    """
    from orchestrator.settings import CentralSettings, TillSettings, json_schema

    print_json(json_schema(TillSettings if side is Side.till else CentralSettings))


@config_app.command("show")
def show(
    config: EitherFile = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    json: Json = False,
) -> None:
    """Shows every setting as it counts, defaults included; secrets are masked.

    Examples:

        tillsync config show

        tillsync config show -c till.toml --origin
    """
    from orchestrator.report import render
    from orchestrator.settings import CentralSettings, TillSettings, listing

    till = is_till(config)
    kind = TillSettings if till else CentralSettings
    rows = list(listing(kind, config or (TILL_FILE if till else CENTRAL_FILE)))
    if json:
        print_json({key: {"value": value, "origin": where} if origin else value for key, value, where in rows})
    elif origin:
        render.table(["setting", "value", "from"], rows)
    else:
        render.table(["setting", "value"], [row[:2] for row in rows])


def _central(config: Any, offline: bool, json: bool) -> tuple[dict[str, Any], str]:
    from orchestrator.postgres import place_of
    from orchestrator.report import plan as plans
    from orchestrator.report import render
    from orchestrator.service import setup

    settings = central_settings(config)
    if offline:
        return {"ok": True}, "the form of the settings is in order"
    prepared = setup.planned(settings)
    summary = plans.summary(prepared.plan, prepared.filters)
    if not json:
        rows = [
            [
                c["name"],
                c["direction"],
                ", ".join(c["streams_by"]),
                t["name"],
                t["till_name"],
                len(t["columns"]),
                t["policy"],
            ]
            for c in summary["channels"]
            for t in c["tables"]
        ]
        render.table(["channel", "direction", "streams by", "table", "at the till", "columns", "policy"], rows)
    return {"ok": True, "plan": summary}, f"the settings are in order, and fit {place_of(settings.central.dsn)}"
