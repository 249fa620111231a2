"""`tillsync labels`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import DryRun, Json, TillFile, print_json, till_settings
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.service.printing import Printed


class Format(Enum):
    """What the printer, or the label program, takes."""

    pdf = "pdf"
    zpl = "zpl"
    csv = "csv"


def labels(
    format_: Annotated[Format, typer.Option("--format", help="pdf for sheets, zpl for a label printer, or csv.")],
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; standard output if not given.")] = None,
    sheet: Annotated[
        str | None,
        typer.Option("--sheet", help="a4-3x8, a4-3x7, a4-5x13, or roll-58x40; else as the settings say."),
    ] = None,
    skip: Annotated[
        int, typer.Option("--skip", min=0, max=200, help="Labels of the first sheet that are used up.")
    ] = 0,
    kind: Annotated[str, typer.Option("--kind", help="The kind of notices that labels are printed for.")] = "label",
    delimiter: Annotated[str, typer.Option("--delimiter", help="Between the fields of csv.")] = ";",
    bom: Annotated[bool, typer.Option("--bom", help="Begin csv with a mark by which Excel knows UTF-8.")] = False,
    ack: Annotated[bool, typer.Option("--ack", help="Acknowledge the notices of what was printed.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who prints; this login if not given.")] = None,
    config: TillFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Prints the labels that are due: rows of which head office changed a watched value.

    Examples:

        tillsync labels --format pdf --sheet a4-3x8 --out labels.pdf --ack

        tillsync labels --format zpl --ack > /dev/usb/lp0

        tillsync labels --format csv --bom --out labels.csv
    """
    from orchestrator.service import printing

    if len(delimiter) != 1:
        raise UsageError("TS-700", f"--delimiter {delimiter!r} is not one sign", hint="give ; or , or a tab")
    if json and out is None and not dry_run:
        raise UsageError("TS-700", "--json needs --out", hint="standard output cannot be both")
    if out is None and format_ is Format.pdf and not dry_run and sys.stdout.isatty():
        raise UsageError("TS-700", "a PDF is nothing for a terminal", hint="give --out labels.pdf")
    settings = till_settings(config)
    chosen = printing.Choice(format_.value, sheet, skip, kind, delimiter, bom)
    printed = printing.make(settings, chosen, dry_run=dry_run)
    if not dry_run:
        _write(printed.content, out)
        if ack:
            printing.acknowledge(settings, printed, by)
    _tell(printed, out, json=json, acked=ack and not dry_run, dry_run=dry_run)


def _write(content: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    try:
        out.write_bytes(content)
    except OSError as e:
        raise UsageError("TS-731", f"{out} cannot be written: {e.strerror}", hint="name another file") from None


def _tell(printed: Printed, out: Path | None, *, json: bool, acked: bool, dry_run: bool) -> None:
    gone = [n.as_dict() for n in printed.listed.gone]
    if json:
        told = [
            {"name": a.name, "price": a.price, "code": a.code, "table": a.table, "key": a.key, "notices": a.ids}
            for a in printed.listed.labels
        ]
        print_json({"labels": told, "gone": gone, "out": out, "acknowledged": acked, "done": not dry_run})
        return
    done = "nothing done; " if dry_run else ""
    typer.echo(f"{done}{len(printed.listed.labels)} labels{', acknowledged' if acked else ''}", err=True)
    if gone:
        rows = len({(n["table"], n["key"]) for n in gone})
        typer.echo(f"{rows} rows are gone: take their labels down, then `tillsync notices ack`", err=True)
