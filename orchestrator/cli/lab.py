"""`tillsync lab`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import Json, print_json

if TYPE_CHECKING:
    from orchestrator.lab.engine import Service

lab_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="A chain in containers, to be looked at and broken."
)

Name = Annotated[
    str, typer.Argument(help="A container's name: central, t1, relay, ...", metavar="SERVICE", show_default=False)
]


@lab_app.command("up")
def up(
    days: Annotated[int, typer.Option("--days", min=1, help="Trading days that the tills live through.")] = 10,
    day_seconds: Annotated[float, typer.Option("--day-seconds", min=0, help="How long a day lasts.")] = 6.0,
    grafana: Annotated[bool, typer.Option("--grafana", help="Grafana as well; its image is pulled.")] = False,
) -> None:
    """Builds the images of this checkout and starts head office, relay, PgBouncer, three tills that sell, Prometheus.

    The base images are taken from BASE_IMAGE and SERVER_IMAGE, where those are set.

    Examples:

        tillsync lab up

        tillsync lab up --days 25 --day-seconds 20 --grafana
    """
    from orchestrator.lab import compose

    profile = ("--profile", "grafana") if grafana else ()
    settings = {"LAB_DAYS": str(days), "LAB_DAY_SECONDS": f"{day_seconds:g}"}
    compose.run(*profile, "up", "-d", "--build", settings=settings)
    typer.echo("the lab is up: `tillsync lab status`; Prometheus is at http://127.0.0.1:9090")


@lab_app.command("down")
def down() -> None:
    """Removes the lab with all its data. The images stay.

    Examples:

        tillsync lab down
    """
    from orchestrator.lab import compose

    compose.run("--profile", "grafana", "down", "--volumes", "--remove-orphans")


@lab_app.command("partition")
def partition(service: Name) -> None:
    """Cuts a container off the line between shops and head office. Who is cut off goes on selling.

    Examples:

        tillsync lab partition t1
    """
    from orchestrator.lab import engine

    with engine.opened() as lab:
        lab.partition(service)
    typer.echo(f"{service} is cut off; `tillsync lab heal {service}` ends it")


@lab_app.command("heal")
def heal(service: Name) -> None:
    """Puts a container back on the line.

    Examples:

        tillsync lab heal t1
    """
    from orchestrator.lab import engine

    with engine.opened() as lab:
        lab.heal(service)
    typer.echo(f"{service} is on the line")


@lab_app.command("kill")
def kill(service: Name) -> None:
    """Kills a container in the midst of what it does (SIGKILL), and starts it again.

    Examples:

        tillsync lab kill central
    """
    from orchestrator.lab import engine

    with engine.opened() as lab:
        lab.kill(service)
    typer.echo(f"{service} was killed and is started again")


@lab_app.command("status")
def status(json: Json = False) -> None:
    """Shows the containers, and how much of each till is still on its way.

    Examples:

        tillsync lab status --json
    """
    from dataclasses import asdict

    from orchestrator.errors import TillsyncError
    from orchestrator.lab import chain, engine

    with engine.opened() as lab:
        services = lab.services()
        try:
            moving: dict[str, int] | None = chain.on_the_way(chain.status(lab)) if services else None
        except TillsyncError:
            moving = None  # head office is not at work
    if json:
        print_json({"services": [asdict(s) for s in services], "on_the_way": moving})
    else:
        _show(services, moving)


@lab_app.command("prove")
def prove(json: Json = False) -> None:
    """Proves that head office and the tills agree, with questions of its own. Nothing may be on its way.

    Exit code 3 where a proof fails.

    Examples:

        tillsync lab prove
    """
    from orchestrator.errors import Findings
    from orchestrator.lab import chain, engine

    with engine.opened() as lab:
        proofs = chain.prove(lab)
    failed = [p["name"] for p in proofs if p["failures"]]
    if json:
        print_json({"proofs": proofs})
    for proof in () if json else proofs:
        typer.echo(f"{'FAILS' if proof['failures'] else 'holds'}  {proof['claim']} ({proof['checked']})")
        for failure in proof["failures"]:
            typer.echo(f"       {failure}")
    if failed:
        raise Findings("TS-904", f"these proofs fail: {', '.join(failed)}", hint="is something still on its way?")


def _show(services: list[Service], moving: dict[str, int] | None) -> None:
    from orchestrator.report import render

    rows = [[s.name, s.state, s.health or "", "cut off" if s.is_cut_off else "", str(s.restarts)] for s in services]
    render.table(["service", "state", "health", "line", "restarts"], rows)
    if moving is None:
        typer.echo("head office does not say what is on its way")
    else:
        typer.echo("on its way: " + (", ".join(f"{node} {n}" for node, n in moving.items()) or "nothing"))
