"""`tillsync backup` and `tillsync restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import DryRun, Json, TillFile, print_json, till_settings
from orchestrator.errors import PersonMustDecide, UsageError

if TYPE_CHECKING:
    from orchestrator.settings import TillSettings
    from orchestrator.till.backup import Copy

To = Annotated[
    Path | None, typer.Option("--to", help="The directory; \\[backup] directory if not given.", show_default=False)
]


def backup(
    to: To = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="How many backups stay.", show_default=False)
    ] = None,
    same_device: Annotated[
        bool, typer.Option("--same-device", help="Also onto the disk that the till's file is on.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="Only list the backups that there are.")] = False,
    config: TillFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Copies the till's file to another medium while the till sells, checks the copy, and keeps the newest few.

    Examples:

        tillsync backup --to /media/stick/tills

        tillsync backup -c /etc/tillsync/till.toml --keep 30

        tillsync backup --list --json
    """
    from orchestrator.core.world import real_world
    from orchestrator.till import backup as backups

    settings = till_settings(config)
    directory = _directory(settings, to)
    if listing:
        _list(backups.listed(directory, settings.node), json=json)
        return
    allowed = same_device or settings.backup.same_device
    backups.check_place(settings.till.database, directory, same_device=allowed)
    if dry_run:
        told: dict[str, Any] = {"directory": directory, "done": False}
        line = f"nothing done; {settings.till.database} would be copied to {directory}"
    else:
        made = backups.backup(settings, real_world(), directory, keep=keep or settings.backup.keep, same_device=allowed)
        told = {**_told(made), "done": True}
        line = f"{made.path}: {made.bytes} bytes, whole, at tick {made.tick}"
    print_json(told) if json else typer.echo(line)


def restore(
    file: Annotated[
        Path | None, typer.Argument(help="A backup; the newest that is whole if not given.", show_default=False)
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--from", help="Where backups are; \\[backup] directory if not given.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, put it back.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although the file that is there has changes that the relay does not have.")
    ] = False,
    config: TillFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Puts a backup of the till's file back; the file that is there is kept aside.

    What was sold since the backup and sent comes back from the relay in the next round. Stop the till's application and
    its service first.

    Examples:

        tillsync restore --dry-run

        tillsync restore --from /media/stick/tills --yes

        tillsync restore /media/stick/tills/T1-20260301T200000Z.db --yes
    """
    from orchestrator.core.world import real_world
    from orchestrator.service.lease import TillLease
    from orchestrator.till import putback

    settings = till_settings(config)
    where = to or settings.backup.directory
    plan = putback.foreseen(settings, real_world(), file, where)
    if not dry_run:
        if not yes:
            raise PersonMustDecide(
                "TS-893",
                f"this puts {settings.till.database} back to {plan.copy.at:%Y-%m-%d %H:%M} UTC",
                hint="look at it with --dry-run, then give --yes",
            )
        lease = TillLease(settings)
        lease.hold()
        try:
            putback.put_back(settings, plan, force=force)
        finally:
            lease.release()
    if json:
        told = {**_told(plan.copy), "aside": plan.aside, "unsent_here": plan.unsent, "is_whole": plan.is_whole}
        print_json({**told, "done": not dry_run})
        return
    there = "can be read" if plan.is_whole else "is damaged or gone"
    unsent = f", and has {plan.unsent} changes that the relay does not have" if plan.unsent else ""
    typer.echo(f"{settings.till.database} {there}{unsent}")
    typer.echo(f"{'nothing done; ' if dry_run else ''}put back: {plan.copy.path} of {plan.copy.at:%Y-%m-%d %H:%M} UTC")
    if plan.aside is not None and not dry_run:
        typer.echo(f"the file as it was: {plan.aside}")


def _directory(settings: TillSettings, given: Path | None) -> Path:
    directory = given or settings.backup.directory
    if directory is None:
        raise UsageError("TS-888", "no directory for backups", hint="give --to, or set [backup] directory")
    return directory


def _list(files: list[Path], *, json: bool) -> None:
    from orchestrator.report import render
    from orchestrator.till.backup import made_at

    if json:
        print_json({"backups": [{"path": f, "at": made_at(f), "bytes": f.stat().st_size} for f in files]})
    else:
        render.table(["backup", "made at", "bytes"], [[f, made_at(f), f.stat().st_size] for f in files])


def _told(made: Copy) -> dict[str, Any]:
    return {
        "path": made.path,
        "at": made.at,
        "node": made.node,
        "tick": made.tick,
        "bytes": made.bytes,
        "unsent": made.unsent,
    }
