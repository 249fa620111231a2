"""Printing what is due: labels from the till's file, in the format that is asked for; acknowledged once written."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core import labels as cut
from orchestrator.core.labels import Sheet
from orchestrator.core.world import real_world
from orchestrator.errors import UsageError
from orchestrator.report import labels_csv, labels_pdf, labels_zpl
from orchestrator.service import counter
from orchestrator.settings import TillSettings
from orchestrator.till import labels, noticed
from orchestrator.till.labels import Listed


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be printed and how. format: pdf, zpl or csv. sheet: None for the one of the settings."""

    format: str
    sheet: str | None = None
    skip: int = 0
    kind: str = "label"
    delimiter: str = ";"
    bom: bool = False


@dataclass(frozen=True, slots=True)
class Printed:
    """The file's content, and what is on it."""

    listed: Listed
    content: bytes


def make(settings: TillSettings, choice: Choice, *, dry_run: bool = False) -> Printed:
    """The labels that are due. Raises UsageError TS-884 or TS-885 for a sheet that is none, or not for this format."""
    sheet = _sheet(settings, choice)
    with counter.opened(settings) as db:
        listed = labels.listed(db, settings.labels, choice.kind)
    return Printed(listed, b"" if dry_run else _content(settings, choice, sheet, listed))


def acknowledge(settings: TillSettings, printed: Printed, by: str | None = None) -> None:
    """What was printed has been seen to; what changed since it was listed stays due."""
    ids = [i for label in printed.listed.labels for i in label.ids]
    with counter.opened(settings) as db:
        noticed.ack(db, ids, by or counter.login(), real_world().now())


def _sheet(settings: TillSettings, choice: Choice) -> Sheet:
    own = settings.labels.roll if choice.format == "zpl" else settings.labels.sheet
    sheet = cut.sheet(choice.sheet or own)
    if choice.format == "zpl" and not sheet.is_roll:
        raise UsageError("TS-885", f"zpl is for a roll, and {sheet.name} is a sheet", hint="give --sheet roll-58x40")
    return sheet


def _content(settings: TillSettings, choice: Choice, sheet: Sheet, listed: Listed) -> bytes:
    own = settings.labels
    match choice.format:
        case "pdf":
            skip = choice.skip % sheet.count
            return labels_pdf.pdf_of(listed.labels, sheet, skip=skip, font=own.font, bold=own.font_bold)
        case "zpl":
            return labels_zpl.zpl_of(listed.labels, sheet, dpi=own.dpi, font=own.zpl_font)
        case _:
            return labels_csv.csv_of(listed.labels, delimiter=choice.delimiter, bom=choice.bom)
