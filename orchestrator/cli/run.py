"""`tillsync run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from orchestrator.cli import options
from orchestrator.cli.options import CentralFile, TillFile, central_settings, till_settings

if TYPE_CHECKING:
    from orchestrator.service.running import Parts

run_app = typer.Typer(no_args_is_help=True, add_completion=False, help="The scheduled service.")


@run_app.command("central")
def central(config: CentralFile = None) -> None:
    """Head office's service: rounds every `poll_ms` until SIGTERM or Ctrl-C; SIGHUP reads the settings anew. Logs go to
    stderr.

    Examples:

        tillsync run central -c /etc/tillsync/tillsync.toml
    """
    from orchestrator.service import running

    _run(lambda: running.central(central_settings(config)))


@run_app.command("till")
def till(config: TillFile = None) -> None:
    """A till's service: rounds every `poll_ms` until SIGTERM or Ctrl-C; SIGHUP reads the settings anew. Logs go to
    stderr.

    Examples:

        tillsync run till -c /etc/tillsync/till.toml
    """
    from orchestrator.service import running

    _run(lambda: running.till(till_settings(config)))


def _run(make: Callable[[], Parts]) -> None:
    from orchestrator.service import running

    if not running.run(make, verbose=options.verbose):
        # A round hangs in somebody else's hands. Every step of it can be lost: that is what the protocol is for.
        sys.stderr.flush()
        os._exit(0)
