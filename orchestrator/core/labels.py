"""Labels as data: what is on one, which barcode its code takes, how prices are written, how sheets are cut. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from orchestrator.errors import UsageError

Symbology = Literal["ean13", "ean8", "code128"]

CODE128_MAX = 40
"""Longer codes are not scanned from a shelf."""

PLAIN = re.compile(r"[ -~]+")
NARROW_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Label:
    """One label. `ids`: the notices that it settles. `valid_from`: the day on which its price takes effect, ISO."""

    table: str
    key: tuple[Any, ...]
    name: str
    price: str
    unit: str
    code: str
    note: str
    valid_from: str | None
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """How a page is cut, in millimetres; a roll is a page of one label."""

    name: str
    columns: int
    rows: int
    width: float
    height: float
    left: float = 0
    top: float = 0
    pitch: float = 0
    page: tuple[float, float] = (210, 297)

    @property
    def count(self) -> int:
        return self.columns * self.rows

    @property
    def is_roll(self) -> bool:
        return self.count == 1

    def corner(self, place: int) -> tuple[float, float]:
        """The upper left corner of a label on its page, from the page's upper left corner."""
        row, column = divmod(place, self.columns)
        return self.left + column * (self.pitch or self.width), self.top + row * self.height


SHEETS = {
    s.name: s
    for s in (
        Sheet("a4-3x8", 3, 8, 70, 37, top=0.5),
        Sheet("a4-5x13", 5, 13, 38.1, 21.2, left=4.75, top=10.7, pitch=40.6),
        Sheet("a4-3x7", 3, 7, 63.5, 38.1, left=7.25, top=15.15, pitch=66),
    )
}
ROLL = re.compile(r"roll-(\d{2,3})x(\d{2,3})")


def sheet(name: str) -> Sheet:
    """A sheet by its name, or `roll-58x40` for a roll of labels of that size. Raises UsageError TS-884."""
    if name in SHEETS:
        return SHEETS[name]
    size = ROLL.fullmatch(name)
    if size is None or not all(20 <= int(n) <= 200 for n in size.groups()):
        known = ", ".join(SHEETS)
        raise UsageError(
            "TS-884",
            f"{name!r} is no sheet of labels",
            hint=f"it is one of {known}, or roll-58x40: width x height in mm",
        )
    width, height = (float(n) for n in size.groups())
    return Sheet(name, 1, 1, width, height, page=(width, height))


def symbology(code: str) -> tuple[Symbology, str] | None:
    """Which barcode a code is printed as, and with which content; None for one that no barcode takes.

    A number whose check digit is wrong is no article number, and goes as Code 128: what is scanned is always the code.
    """
    digits = f"0{code}" if len(code) == 12 else code
    if len(digits) in (8, 13) and digits.isascii() and digits.isdigit() and int(digits[-1]) == check_digit(digits[:-1]):
        return ("ean13" if len(digits) == 13 else "ean8"), digits
    if len(code) <= CODE128_MAX and PLAIN.fullmatch(code) and code == code.strip():
        return "code128", code
    return None


def check_digit(digits: str) -> int:
    """The check digit of an article number, from its other digits (GS1 General Specifications 7.9)."""
    weighted = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return -weighted % 10


def price_text(value: Any, currency: str, *, comma: bool) -> str:
    """A price as it is read on a shelf: at least two decimals, thousands apart; what is no number stays as it is."""
    if value is None:
        return ""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return text(value)
    if not amount.is_finite():
        return text(value)
    whole, _, part = f"{amount:,f}".partition(".")
    part = part.rstrip("0").ljust(2, "0")
    whole, mark = (whole.replace(",", NARROW_SPACE), ",") if comma else (whole, ".")
    return f"{whole}{mark}{part}" + (f"{NARROW_SPACE}{currency}" if currency else "")


def text(value: Any) -> str:
    """A value in one line, without signs that no printer has."""
    said = "" if value is None else value.hex() if isinstance(value, bytes) else str(value)
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())
