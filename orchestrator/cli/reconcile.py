"""`tillsync reconcile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import CentralFile, Json, Tables, central_settings

DIFFERS, UNREACHABLE = 3, 4


def reconcile(
    branch: Annotated[str | None, typer.Option("--branch", help="Only this till.", show_default=False)] = None,
    table: Tables = [],  # noqa: B006 - typer wants a list
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write the report as a page.", dir_okay=False, show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Wait so many seconds for the tills.")] = 120,
    last: Annotated[bool, typer.Option("--last", help="Ask nobody: show what the last comparison came to.")] = False,
    config: CentralFile = None,
    json: Json = False,
) -> None:
    """Compares head office with its tills, row by row, while everything goes on; ends with 3 where something differs.

    A till that is offline is shown as of its last answer, with its age; then it ends with 4, if nothing differs.

    Examples:

        tillsync reconcile

        tillsync reconcile --branch T7 --table item --json

        tillsync reconcile --html report.html
    """
    from orchestrator.central import history, reconcile_report
    from orchestrator.core import reconciliation
    from orchestrator.core.world import real_world
    from orchestrator.report import reconcile as reports
    from orchestrator.report.reconcile_page import page
    from orchestrator.service import comparing
    from orchestrator.service import office as offices

    with offices.opened(central_settings(config), real_world()) as office:
        nodes, tables = comparing.chosen(office, branch), reconcile_report.table_names(office.prepared, table)
        before = history.recent(office.conn)
        if last:
            report = comparing.known(office, nodes, tables)
        else:
            report = comparing.compare(office, nodes, tables, timeout_seconds=timeout, seen=_seen)
            scope = " ".join([*([branch] if branch else []), *tables])
            history.keep(office.conn, report, scope=scope)
    if html is not None:
        html.write_bytes(page(report, before))
    if json:
        typer.echo(reconciliation.encode(report).decode())
    else:
        reports.show(report, before)
    if not report.equal:
        raise typer.Exit(DIFFERS)
    if any(b.state != "compared" for b in report.branches):
        raise typer.Exit(UNREACHABLE)


def _seen(line: str) -> None:
    typer.echo(line, err=True)
