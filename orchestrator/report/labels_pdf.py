"""Labels as PDF, drawn with reportlab: fonts with all of Latin, Greek and Cyrillic are embedded, barcodes are lines."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.labels import Label, Sheet, symbology
from orchestrator.errors import ConfigError, TillsyncError

FONTS = Path(__file__).with_name("fonts")
MM = 72 / 25.4
MODULE_MM, MODULE_MIN_MM = 0.33, 0.19
"""A barcode's narrowest line: the nominal one, and the least that a common scanner reads off a laser printer's page."""

ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a label is drawn, in points from the page's lower left corner. `f`: how much smaller than 70 x 37 mm."""

    x: float
    y: float
    width: float
    height: float
    f: float


def pdf_of(
    labels: Sequence[Label], sheet: Sheet, *, skip: int = 0, font: Path | None = None, bold: Path | None = None
) -> bytes:
    """`skip`: labels of the first sheet that are used up. `font`, `bold`: other TrueType fonts than our own.

    Raises TillsyncError TS-886 without reportlab, ConfigError TS-883 for a font that is none.
    """
    try:
        from reportlab.pdfgen.canvas import Canvas
    except ImportError:
        raise TillsyncError(
            "TS-886",
            "PDF needs reportlab, which is not here",
            hint="pip install 'tillsync[labels]', or take --format zpl or csv",
        ) from None
    _register("label", font or FONTS / "DejaVuSans.ttf")
    _register("label-bold", bold or FONTS / "DejaVuSans-Bold.ttf")
    made = io.BytesIO()
    page = (sheet.page[0] * MM, sheet.page[1] * MM)
    canvas = Canvas(made, pagesize=page, invariant=True, initialFontName="label", pageCompression=1)
    canvas.setTitle("Labels")
    for number, label in enumerate(labels, start=skip):
        place = number % sheet.count
        if place == 0 and number > skip:
            canvas.showPage()
        left, top = sheet.corner(place)
        f = min(sheet.height / 37, sheet.width / 58, 1.6)
        width, height = sheet.width * MM, sheet.height * MM
        _draw(canvas, Cell(left * MM, page[1] - top * MM - height, width, height, f), label)
    canvas.save()
    return made.getvalue()


def _register(name: str, file: Path) -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    try:
        pdfmetrics.registerFont(TTFont(name, str(file)))
    except (OSError, TTFError) as e:
        raise ConfigError("TS-883", f"{file} is no TrueType font: {e}", hint="correct [labels] font") from None


def _draw(canvas: Any, cell: Cell, label: Label) -> None:
    margin = max(2.5 * cell.f, 1.2) * MM
    x, width = cell.x + margin, cell.width - 2 * margin
    y = cell.y + cell.height - margin
    size = 9.5 * cell.f
    for line in _lines(label.name, "label", size, width, 2):
        y -= size
        canvas.setFont("label", size)
        canvas.drawString(x, y, line)
        y -= size * 0.15
    bottom = cell.y + margin
    barcode = _barcode(canvas, label.code, x, bottom, width, cell)
    price = _fitting(label.price, "label-bold", 22 * cell.f, width)
    middle = (cell.y + cell.height - margin - size * 2.3 + bottom + barcode) / 2
    base = middle - price * 0.36
    canvas.setFont("label-bold", price)
    canvas.drawRightString(x + width, base, label.price)
    below = [t for t in (label.unit, label.note) if t]
    free = width - _width(label.price, "label-bold", price) - 2 * MM
    small = 7 * cell.f
    canvas.setFont("label", small)
    for i, said in enumerate(below):
        line = _shortened(said, "label", small, free)
        canvas.drawString(x, base + (len(below) - 1 - i) * small * 1.15, line)


def _barcode(canvas: Any, code: str, x: float, y: float, width: float, cell: Cell) -> float:
    """Draws the code and its text at the bottom; how high that is. A code that no barcode fits is written."""
    found = symbology(code)
    letters = 7 * cell.f
    tall = 11 * cell.f * MM
    if found is not None:
        kind, content = found
        modules = {"ean13": 113, "ean8": 81}.get(kind) or _code128(content, 1, tall).width
        module = min(MODULE_MM * MM, width / modules)
        if module >= MODULE_MIN_MM * MM:
            if kind == "code128":
                _code128(content, module, tall - letters).drawOn(canvas, x, y + letters)
                canvas.setFont("label", letters)
                canvas.drawCentredString(x + module * modules / 2, y, _shortened(content, "label", letters, width))
            else:
                _ean(canvas, kind, content, x, y, module, tall, letters)
            return tall
    canvas.setFont("label", letters)
    canvas.drawString(x, y, _shortened(code, "label", letters, width))
    return letters


def _code128(content: str, module: float, tall: float) -> Any:
    from reportlab.graphics.barcode.code128 import Code128

    quiet = 10 * module
    return Code128(
        content, barWidth=module, barHeight=tall, quiet=True, lquiet=quiet, rquiet=quiet, humanReadable=False
    )


def _ean(canvas: Any, kind: str, content: str, x: float, y: float, module: float, tall: float, letters: float) -> None:
    from reportlab.graphics import renderPDF
    from reportlab.graphics.barcode.eanbc import Ean8BarcodeWidget, Ean13BarcodeWidget
    from reportlab.graphics.shapes import Drawing

    widget = (Ean13BarcodeWidget if kind == "ean13" else Ean8BarcodeWidget)(content)
    widget.barWidth, widget.barHeight = module, tall
    widget.fontName, widget.fontSize = "label", letters
    drawing = Drawing(module * 113, tall, initialFontName="label")
    drawing.add(widget)
    renderPDF.draw(drawing, canvas, x, y)


def _width(said: str, font: str, size: float) -> float:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    return float(stringWidth(said, font, size))


def _fitting(said: str, font: str, size: float, width: float) -> float:
    """The size, or the one at which it fits."""
    taken = _width(said, font, size)
    return size if taken <= width else size * width / taken


def _lines(said: str, font: str, size: float, width: float, most: int) -> list[str]:
    made = [""]
    for word in said.split(" "):
        longer = f"{made[-1]} {word}".strip()
        if _width(longer, font, size) <= width or not made[-1] or len(made) == most:
            made[-1] = longer
        else:
            made.append(word)
    return [_shortened(line, font, size, width) for line in made]


def _shortened(said: str, font: str, size: float, width: float) -> str:
    if _width(said, font, size) <= width:
        return said
    while said and _width(said + ELLIPSIS, font, size) > width:
        said = said[:-1]
    return said.rstrip() + ELLIPSIS if said else ""
