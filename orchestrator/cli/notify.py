"""`tillsync notify`."""

from __future__ import annotations

import typer

from orchestrator.cli.options import CentralFile, Json, central_settings, print_json

notify_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who hears of troubles.")


@notify_app.callback()
def _notify() -> None:
    """Who hears of troubles."""


@notify_app.command("test")
def send_test(config: CentralFile = None, json: Json = False) -> None:
    """Sends a message each way that the settings name, at once, and says whether it went. Exits 4 where one did not.

    Examples:

        tillsync notify test

        tillsync notify test -c /etc/tillsync/tillsync.toml --json
    """
    from orchestrator.core.world import real_world
    from orchestrator.errors import Unreachable
    from orchestrator.service import notify

    faults = notify.tried(central_settings(config).notify, real_world())
    if json:
        print_json({"ways": [{"way": way, "error": fault or None} for way, fault in faults.items()]})
    else:
        for way, fault in faults.items():
            typer.echo(f"{way}: {fault or 'it went'}")
    if lost := [way for way, fault in faults.items() if fault]:
        raise Unreachable("TS-864", f"no message went by {', '.join(lost)}", hint="correct `[notify]`, or look there")
