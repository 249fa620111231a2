"""`tillsync sync`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import CentralFile, Json, TillFile, central_settings, print_json, till_settings

if TYPE_CHECKING:
    from orchestrator.core.world import World
    from orchestrator.service.lease import Lease
    from orchestrator.service.rounds import Agent
    from orchestrator.settings import Common

sync_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Rounds by hand.")

UntilIdle = Annotated[bool, typer.Option("--until-idle", help="Go on until nothing moves any more.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="With --until-idle: give up after so many seconds.")]


@sync_app.command("central")
def central(
    config: CentralFile = None, until_idle: UntilIdle = False, timeout: Timeout = 600, json: Json = False
) -> None:
    """One round of head office: takes in what the tills sent, publishes what changed.

    Examples:

        tillsync sync central

        tillsync sync central --until-idle --timeout 60
    """
    from orchestrator.central.agent import CentralAgent
    from orchestrator.core.world import real_world
    from orchestrator.service.lease import CentralLease

    settings, world = central_settings(config), real_world()
    _sync(CentralAgent(settings, world), CentralLease(settings, world), world, settings, until_idle, timeout, json)


@sync_app.command("till")
def till(config: TillFile = None, until_idle: UntilIdle = False, timeout: Timeout = 600, json: Json = False) -> None:
    """One round of a till: sends what it changed, takes what head office published.

    Examples:

        tillsync sync till

        tillsync sync till -c /etc/tillsync/till.toml --until-idle
    """
    from orchestrator.core.world import real_world
    from orchestrator.service.lease import TillLease
    from orchestrator.till.agent import TillAgent

    settings, world = till_settings(config), real_world()
    _sync(TillAgent(settings, world), TillLease(settings), world, settings, until_idle, timeout, json)


def _sync(
    agent: Agent, lease: Lease, world: World, settings: Common, until_idle: bool, timeout: float, json: bool
) -> None:
    from orchestrator.service import rounds

    seen: list[dict[str, Any]] = []

    def tell(report: Any) -> None:
        told = asdict(report)
        seen.append(told)
        if not json:
            typer.echo(_line(told), err=True)

    if until_idle:
        pause = settings.poll_ms / 1000
        moved = rounds.until_idle(agent, lease, world, timeout_seconds=timeout, pause_seconds=pause, seen=tell)
        summary = f"idle after {moved} rounds that moved something"
    else:
        tell(rounds.one(agent, lease))
        summary = "one round done"
    if json:
        print_json({"rounds": seen})
    else:
        typer.echo(summary)


def _line(told: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in told.items() if value) or "nothing moved"
