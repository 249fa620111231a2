"""`tillsync service`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    CENTRAL_FILE,
    TILL_FILE,
    DryRun,
    EitherFile,
    Json,
    central_settings,
    print_json,
    till_settings,
)
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.service.units import Unit

service_app = typer.Typer(no_args_is_help=True, add_completion=False, help="The service under the system's manager.")


class Side(StrEnum):
    """Whose service."""

    central = "central"
    till = "till"


WhoseService = Annotated[Side, typer.Argument(help="central or till.", show_default=False)]
Directory = Annotated[
    Path | None,
    typer.Option(help="Where the unit goes; /etc/systemd/system if not given, where it is started, too."),
]
User = Annotated[
    str | None, typer.Option(help="Of a till: the account to run as; who owns the till's file if not given.")
]


@service_app.command("install")
def install(
    side: WhoseService,
    config: EitherFile = None,
    user: User = None,
    directory: Directory = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Makes a service of `tillsync run`, which starts with the machine: a hardened unit of systemd, or on Windows a
    service of a till.

    Examples:

        tillsync service install central -c /etc/tillsync/tillsync.toml --dry-run

        tillsync service install till -c /etc/tillsync/till.toml
    """
    if sys.platform == "win32":
        _on_windows(side, config, dry_run=dry_run, json=json, remove=False)
        return
    from orchestrator.service import units

    unit = _unit(side, config, user)
    target = directory or units.SYSTEM
    if dry_run:
        _tell([unit.text] if not json else [], unit.name, json=json, text=unit.text)
        return
    _tell(units.install(unit, target, start=units.manages(target)), unit.name, json=json)


@service_app.command("uninstall")
def uninstall(
    side: WhoseService,
    config: EitherFile = None,
    directory: Directory = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Stops the service and takes its unit away; data and settings stay.

    Examples:

        tillsync service uninstall till -c /etc/tillsync/till.toml
    """
    if sys.platform == "win32":
        _on_windows(side, config, dry_run=dry_run, json=json, remove=True)
        return
    from orchestrator.service import units

    target = directory or units.SYSTEM
    name = "tillsync-central.service" if side is Side.central else f"tillsync-{till_settings(config).node}.service"
    if dry_run:
        there = (target / name).exists()
        _tell([f"would remove {target / name}" if there else "nothing to do"], name, json=json)
        return
    _tell(units.uninstall(name, target, stop=units.manages(target)) or ["nothing to do"], name, json=json)


def _unit(side: Side, config: Path | None, user: str | None) -> Unit:
    """What is installed has settings that can be read."""
    from orchestrator.service import units

    if side is Side.central:
        central_settings(config)
        return units.central((config or CENTRAL_FILE).absolute())
    return units.till((config or TILL_FILE).absolute(), till_settings(config), user)


def _on_windows(side: Side, config: Path | None, *, dry_run: bool, json: bool, remove: bool) -> None:
    from orchestrator.service import windows

    if side is not Side.till:
        raise UsageError("TS-848", "head office's service does not run on Windows", hint="run it on Linux")
    node = till_settings(config).node
    name = windows.name_of(node)
    if dry_run:
        _tell([f"would {'remove' if remove else 'install'} the service {name}"], name, json=json)
        return
    done = windows.uninstall(node) if remove else windows.install(node, (config or TILL_FILE).absolute())
    _tell(done, name, json=json)


def _tell(done: list[str], name: str, *, json: bool, text: str = "") -> None:
    if json:
        print_json({"unit": name, "done": done, **({"text": text} if text else {})})
    else:
        typer.echo("\n".join(done))
