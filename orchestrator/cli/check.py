"""`tillsync check`, `tillsync verify` and `tillsync repair-triggers`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    DryRun,
    EitherFile,
    Json,
    central_settings,
    is_till,
    print_json,
    till_settings,
)
from orchestrator.errors import Findings

if TYPE_CHECKING:
    from orchestrator.checks.finding import Finding


class Place(StrEnum):
    """What is checked."""

    central = "central"
    relay = "relay"
    till = "till"


class Side(StrEnum):
    """Where capture is."""

    central = "central"
    till = "till"


ThePlace = Annotated[Place | None, typer.Argument(help="What to check; as the settings file is, if not given.")]
TheSide = Annotated[Side | None, typer.Argument(help="Which side; as the settings file is, if not given.")]
OwnerDsn = Annotated[
    str | None,
    typer.Option("--admin-dsn", help="The tables' owner; \\[central] dsn if not given.", show_default=False),
]


def check(place: ThePlace = None, config: EitherFile = None, json: Json = False) -> None:
    """Looks for what would go wrong, and says what to do about each: keys, types, rights, settings, versions, clocks.

    Ends with exit code 3 where there is anything but advice. Changes nothing.

    Examples:

        tillsync check

        tillsync check relay -c /etc/tillsync/tillsync.toml

        tillsync check till -c till.toml --json
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import checking

    world = real_world()
    if place is Place.till or (place is None and is_till(config)):
        found = checking.of_till(till_settings(config), world)
    elif place is Place.relay:
        found = checking.of_relay(central_settings(config), world)
    else:
        found = checking.of_central(central_settings(config), world)
    _show(found, json, "nothing stands in the way")


def verify(side: TheSide = None, config: EitherFile = None, json: Json = False) -> None:
    """Compares what captures the tables with what would be generated now: missing, disabled, altered, too many.

    Ends with exit code 3 where they differ. The agents do the same in every round, and put right what they may.

    Examples:

        tillsync verify

        tillsync verify till -c till.toml --json
    """
    from orchestrator.service import checking

    found = (
        checking.verify_till(till_settings(config))
        if _is_till(side, config)
        else checking.verify_central(central_settings(config))
    )
    _show(found, json, "capture is as it should be")


def repair_triggers(
    side: TheSide = None,
    config: EitherFile = None,
    admin_dsn: OwnerDsn = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Makes triggers, logs and the plan fit the tables as they are now, and finds what was written meanwhile.

    The agents do it by themselves where their login may. What was written past the triggers goes with the next rounds.

    Examples:

        tillsync repair-triggers --dry-run

        tillsync repair-triggers central --admin-dsn postgresql://owner@hq/erp

        tillsync repair-triggers till -c till.toml
    """
    from orchestrator.core.world import real_world
    from orchestrator.service import checking

    done = (
        checking.repair_till(till_settings(config), real_world(), dry_run=dry_run)
        if _is_till(side, config)
        else checking.repair_central(central_settings(config), admin_dsn, dry_run=dry_run)
    )
    if json:
        print_json({"place": done.place, "repaired": done.what, "dry_run": dry_run})
        return
    for line in done.what:
        typer.echo(f"  {line}")
    verb = "nothing done; to be put right" if dry_run else "put right"
    typer.echo(f"{done.place}: {f'{len(done.what)} things {verb}' if done.what else 'nothing to put right'}")


def _is_till(side: Side | None, config: Path | None) -> bool:
    return side is Side.till or (side is None and is_till(config))


def _show(found: list[Finding], json: bool, all_well: str) -> None:
    """The findings, and exit code 3 where one of them is more than advice."""
    from orchestrator.report import findings
    from orchestrator.service.checking import problems

    wrong = problems(found)
    if json:
        print_json({"ok": not wrong, "findings": [asdict(f) for f in found]})
    elif found:
        findings.show([(f.subject, f.what, f.remedy, f.is_advice) for f in found])
    else:
        typer.echo(all_well)
    if wrong:
        raise Findings("TS-740", f"{len(wrong)} findings", hint="each has its remedy beside it")
