"""`tillsync explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import EitherFile, Json, central_settings, is_till, print_json, till_settings


def explain(
    table: Annotated[str, typer.Argument(help="Head office's table, in public unless its schema is named.")],
    key: Annotated[
        list[str], typer.Argument(help="The row's key: its values in order, or name=value; a,b is two values.")
    ],
    branch: Annotated[
        str | None, typer.Option("--branch", help="Say what of the filter gives it to this till, or keeps it away.")
    ] = None,
    config: EitherFile = None,
    json: Json = False,
) -> None:
    """Tells the life of a row: captured when, in which tick, at which tills; or which term of the filter keeps it away.

    With a till's settings it tells what is known at that till.

    Examples:

        tillsync explain item 4711

        tillsync explain price list_id=3 item_id=4711 --branch T7

        tillsync explain item 4711 -c till.toml
    """
    from orchestrator.report import life as reports

    told = _at_till(config, table, key) if is_till(config) else _at_central(config, table, key, branch)
    if json:
        print_json(told)
    else:
        reports.show(told)


def _at_central(config: Path | None, table: str, key: list[str], branch: str | None) -> dict[str, Any]:
    from orchestrator.core.world import real_world
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        return offices.explain(office, table, key, branch)


def _at_till(config: Path | None, table: str, key: list[str]) -> dict[str, Any]:
    from orchestrator.errors import ConfigError
    from orchestrator.till.database import connect
    from orchestrator.till.life import life

    settings = till_settings(config)
    db = connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        told = life(db, table, key)
    finally:
        db.close()
    if told is None:
        raise ConfigError("TS-147", f"this till has no table for {table}", hint="look at `tillsync status`")
    return told
