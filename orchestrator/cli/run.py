"""`tillsync run`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from orchestrator.cli import options
from orchestrator.cli.options import CentralFile, TillFile, central_settings, till_settings

if TYPE_CHECKING:
    from orchestrator.core.world import World
    from orchestrator.service.lease import Lease
    from orchestrator.service.rounds import Agent
    from orchestrator.settings import Common

run_app = typer.Typer(no_args_is_help=True, add_completion=False, help="The scheduled service.")


@run_app.command("central")
def central(config: CentralFile = None) -> None:
    """Head office's service: rounds every `poll_ms` until SIGTERM or Ctrl-C. Logs go to stderr.

    Examples:

        tillsync run central -c /etc/tillsync/tillsync.toml
    """
    from orchestrator.central.agent import CentralAgent
    from orchestrator.core.world import real_world
    from orchestrator.service.lease import CentralLease

    settings, world = central_settings(config), real_world()
    _run("central", CentralAgent(settings, world), CentralLease(settings, world), world, settings)


@run_app.command("till")
def till(config: TillFile = None) -> None:
    """A till's service: rounds every `poll_ms` until SIGTERM or Ctrl-C. Logs go to stderr.

    Examples:

        tillsync run till -c /etc/tillsync/till.toml
    """
    from orchestrator.core.world import real_world
    from orchestrator.service.lease import TillLease
    from orchestrator.till.agent import TillAgent

    settings, world = till_settings(config), real_world()
    _run(settings.node, TillAgent(settings, world), TillLease(settings), world, settings)


def _run(node: str, agent: Agent, lease: Lease, world: World, settings: Common) -> None:
    from orchestrator import log
    from orchestrator.service import scheduler

    log.configure(level="debug" if options.verbose else settings.log_level)
    labels = {"node": node, "run": f"{world.random63():016x}"[:8]}
    if not scheduler.run(agent, lease, world, settings.poll_ms, labels):
        # A round hangs in somebody else's hands. Every step of it can be lost: that is what the protocol is for.
        sys.stderr.flush()
        os._exit(0)
