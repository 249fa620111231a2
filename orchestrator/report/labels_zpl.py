"""Labels in ZPL II, for thermal printers: UTF-8 (^CI28), text and barcodes drawn by the printer."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.labels import Label, Sheet, symbology

MARGIN_MM = 2.0
MODULE_MM, MODULE_MIN_MM = 0.27, 0.16
TALL_MIN_MM = 4
ELLIPSIS = ".."
LETTER_WIDTH = 0.55
"""A mean letter of the printer's scalable font 0, by its height; what does not fit by that is cut."""

ESCAPED = {"_": "_5F", "^": "_5E", "~": "_7E"}
NOT_IN_CODE128 = frozenset(">^~")
"""Signs that begin something else within the field of a barcode; printers do not agree on how to write them."""


def zpl_of(labels: Sequence[Label], sheet: Sheet, *, dpi: int = 203, font: str = "0") -> bytes:
    """One format per label. `font`: of the printer's, by its letter or its file."""
    return "".join(_label(label, sheet, dpi / 25.4, font) for label in labels).encode()


def _label(label: Label, sheet: Sheet, dots: float, font: str) -> str:
    """`dots` to the millimetre."""

    def written(y: int, height: int, said: str) -> str:
        chosen = f"^A{font}N,{height},{height}" if len(font) == 1 else f"^A@N,{height},{height},{font}"
        return f"^FO{margin},{y}{chosen}^FH_^FD{escaped(said)}^FS"

    width, height, margin = (round(mm * dots) for mm in (sheet.width, sheet.height, MARGIN_MM))
    inner = width - 2 * margin
    letter = max(round(height * 0.10), 16)
    lines = [f"^XA^CI28^PW{width}^LL{height}^LH0,0"]
    y = margin
    for line in wrapped(label.name, _letters(inner, letter), 2):
        lines.append(written(y, letter, line))
        y += round(letter * 1.1)
    y = margin + round(letter * 2.3)
    price = min(round(height * 0.22), int(inner / (max(len(label.price), 1) * LETTER_WIDTH)))
    lines.append(written(y, price, label.price))
    y += round(height * 0.23)
    small = round(letter * 0.8)
    if below := " ".join(t for t in (label.unit, label.note) if t):
        lines.append(written(y, small, cut(below, _letters(inner, small))))
    y += letter
    barcode = _barcode(label.code, margin, y, inner, height - y - margin - round(2.5 * dots), dots)
    if barcode is None and label.code:
        barcode = written(height - margin - small, small, cut(label.code, _letters(inner, small)))
    return "\n".join([*lines, *([barcode] if barcode else []), "^XZ", ""])


def _barcode(code: str, x: int, y: int, inner: int, tall: int, dots: float) -> str | None:
    """None where no barcode takes the code, or fits; it stands as text then."""
    found = symbology(code)
    if found is None or tall < dots * TALL_MIN_MM:
        return None
    kind, content = found
    if kind == "code128" and NOT_IN_CODE128 & set(content):
        return None
    is_number = kind == "code128" and content.isdigit() and len(content) % 2 == 0
    letters = len(content) // 2 if is_number else len(content)
    modules = {"ean13": 113, "ean8": 81}.get(kind, 11 * letters + 55)
    module = min(round(MODULE_MM * dots), inner // modules)
    if module < MODULE_MIN_MM * dots:
        return None  # nothing would read it
    at = f"^FO{x + 11 * module},{y}^BY{module}"
    if is_number:
        return f"{at}^BCN,{tall},Y,N,N,N^FD>;{content}^FS"
    if kind == "code128":
        return f"{at}^BCN,{tall},Y,N,N,N^FH_^FD>:{escaped(content)}^FS"
    command = "^BEN" if kind == "ean13" else "^B8N"
    return f"{at}{command},{tall},Y,N^FD{content[:-1]}^FS"  # the printer adds the check digit


def _letters(width: float, height: float) -> int:
    """How many letters of a height fit."""
    return int(width / (height * LETTER_WIDTH))


def escaped(said: str) -> str:
    """What a field may hold: signs that begin commands, and the escape itself, as their numbers."""
    return "".join(ESCAPED.get(c, c) for c in said.replace("\N{NO-BREAK SPACE}", " "))


def wrapped(said: str, letters: int, lines: int) -> list[str]:
    """At most so many lines of so many letters, broken between words where there are any."""
    words, made = said.split(" "), [""]
    for word in words:
        longer = f"{made[-1]} {word}".strip()
        if len(longer) <= letters or not made[-1]:
            made[-1] = longer
        elif len(made) < lines:
            made.append(word)
        else:
            made[-1] = longer
    return [cut(line, letters) for line in made]


def cut(said: str, letters: int) -> str:
    """`said`, or as much of it as fits, with a sign that there is more."""
    return said if len(said) <= letters else said[: max(letters - len(ELLIPSIS), 0)].rstrip() + ELLIPSIS
