"""What commands have in common: options, settings, printing. Heavy things are imported when a command runs."""

from __future__ import annotations

import json as jsons
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.settings import CentralSettings, TillSettings

verbose = False
"""Set by `-v` before a command runs."""

CENTRAL_FILE, TILL_FILE = Path("tillsync.toml"), Path("till.toml")

CentralFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Head office's settings file; tillsync.toml if not given.")
]
TillFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="The till's settings file; till.toml if not given.")
]
EitherFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A settings file; tillsync.toml or till.toml if not given, as is there."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Sql = Annotated[bool, typer.Option("--sql", help="Print the script for a DBA who runs it himself, and do nothing.")]
Tables = Annotated[
    list[str],
    typer.Option("--table", help="Only this table of head office's; as often as needed.", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", help="Go on although many rows are taken from tills.")]
Force = Annotated[bool, typer.Option("--force", help="Go on although something would be lost.")]
AdminDsn = Annotated[
    str | None,
    typer.Option("--admin-dsn", help="The relay's administrator; \\[relay] dsn if not given.", show_default=False),
]


def central_settings(path: Path | None) -> CentralSettings:
    """Head office's settings, from the file that is named or `tillsync.toml`."""
    from orchestrator.settings import CentralSettings

    return CentralSettings.load(path or CENTRAL_FILE)


def till_settings(path: Path | None) -> TillSettings:
    """A till's settings, from the file that is named or `till.toml`."""
    from orchestrator.settings import TillSettings

    return TillSettings.load(path or TILL_FILE)


def is_till(path: Path | None) -> bool:
    """Whether a settings file, or the one that is here, is a till's: it has a table `till` or a `node`."""
    import tomllib

    if path is None:
        return TILL_FILE.exists() and not CENTRAL_FILE.exists()
    try:
        return bool(tomllib.loads(path.read_text(encoding="utf-8")).keys() & {"till", "node"})
    except (OSError, ValueError):
        return False  # whoever reads it says what is wrong


def pairs(given: Sequence[str]) -> dict[str, str]:
    """`--set name=value` as a mapping. Raises UsageError TS-701 for anything else."""
    made = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise UsageError("TS-701", f"--set {one} is not name=value", hint="write it as --set store_id=1")
        made[name.strip()] = value
    return made


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout."""
    typer.echo(jsons.dumps(value, indent=2, ensure_ascii=False, default=str))
