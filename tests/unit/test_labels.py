"""Labels: what is drawn decodes back to the item's code, whatever its name holds; sheets are cut where the paper is."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp

from orchestrator.core import labels as cut
from orchestrator.core.labels import Label, price_text, symbology
from orchestrator.errors import ConfigError, UsageError
from orchestrator.report.labels_csv import csv_of
from orchestrator.report.labels_pdf import pdf_of
from orchestrator.report.labels_zpl import zpl_of
from orchestrator.settings_parts import LabelSettings

DPI = 300
SLOVAK = "ĽĹŠČŤŽÝÁÍÉÚÄÔŇĎ ľĺščťžýáíéúäôňďŕ"
EAN13, EAN8, UPC = "8590123456782", "40063812", "036000291452"
CODES = {EAN13: EAN13, EAN8: EAN8, UPC: f"0{UPC}", "85123A": "85123A", "12345678901234567890": "12345678901234567890"}


def label(code: str, name: str = "Rožok grahamový", price: str = "1 234,50 €", note: str = "") -> Label:
    return Label("public.item", (1,), name, price, "kus", code, note, None)


def scanned(pdf: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        pages = [page.render(scale=DPI / 72).to_pil() for page in document]
        return [found.text for page in pages for found in zxingcpp.read_barcodes(page)]
    finally:
        document.close()


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    finally:
        document.close()


@pytest.mark.parametrize("sheet", [*cut.SHEETS, "roll-58x40", "roll-38x25"])
def test_what_is_drawn_scans_back_to_the_code(sheet: str) -> None:
    long = SLOVAK * 4
    pdf = pdf_of([label(code, long, note=long) for code in CODES], cut.sheet(sheet))
    assert sorted(scanned(pdf)) == sorted(CODES.values())


def test_the_text_is_there_in_slovak_and_what_is_too_long_ends_in_dots() -> None:
    said = text_of(pdf_of([label(EAN13, SLOVAK), label("čž", "x" * 500)], cut.sheet("a4-3x8")))
    assert SLOVAK in said.replace("\r\n", " ")
    assert "1 234,50 €" in said.replace("\N{NO-BREAK SPACE}", " ")
    assert "čž" in said, "a code that no barcode takes is written"
    assert "x…" in said


def test_every_font_is_embedded() -> None:
    pdf = pdf_of([label(EAN13)], cut.sheet("a4-3x8"))
    names = set(re.findall(rb"/BaseFont /([\w+-]+)", pdf))
    assert names, "the PDF names no font"
    assert all(b"+DejaVuSans" in name for name in names), names
    assert pdf == pdf_of([label(EAN13)], cut.sheet("a4-3x8")), "the same labels are the same file"


def test_labels_stand_where_the_paper_is_cut() -> None:
    sheet = cut.sheet("a4-5x13")
    document = pypdfium2.PdfDocument(pdf_of([label(EAN13)] * 3, sheet, skip=64))
    try:
        assert len(document) == 2
        first, second = (page.render(scale=DPI / 72).to_pil() for page in document)
    finally:
        document.close()
    (last,), (one, two) = (zxingcpp.read_barcodes(page) for page in (first, second))
    millimetre = DPI / 25.4
    for found, place in ((last, 64), (one, 0), (two, 1)):
        left, top = sheet.corner(place)
        at = found.position.top_left
        assert left < at.x / millimetre < left + sheet.width
        assert top < at.y / millimetre < top + sheet.height


@pytest.mark.parametrize("sheet", cut.SHEETS.values(), ids=lambda s: s.name)
def test_a_sheet_fits_its_page(sheet: cut.Sheet) -> None:
    left, top = sheet.corner(sheet.count - 1)
    assert left + sheet.width <= sheet.page[0] + 0.01
    assert top + sheet.height <= sheet.page[1] + 0.01


def test_a_sheet_that_is_none_is_refused() -> None:
    for name in ("a4", "roll-5x5", "roll-58x900"):
        with pytest.raises(UsageError, match="TS-884"):
            cut.sheet(name)
    with pytest.raises(ConfigError, match="TS-883"):
        pdf_of([label("1")], cut.sheet("a4-3x8"), font=Path(__file__))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (EAN13, "ean13"),
        (EAN8, "ean8"),
        (UPC, "ean13"),
        (EAN13[:-1] + "3", "code128"),
        ("8590123", "code128"),
        ("A b-1", "code128"),
        ("č", None),
        ("", None),
        ("x" * 41, None),
        (" x", None),
        ("a\n", None),
        ("١٢٣٤٥٦٧٨", None),
    ],
)
def test_a_wrong_check_digit_is_no_article_number(code: str, kind: str | None) -> None:
    found = symbology(code)
    assert (found and found[0]) == kind


@pytest.mark.parametrize(
    ("value", "said"),
    [("12.1", "12,10 €"), ("12.3450", "12,345 €"), (1234567, "1 234 567,00 €"), (0, "0,00 €"), ("-3", "-3,00 €"),
     (0.1, "0,10 €"), ("", ""), (None, ""), ("free", "free"), ("NaN", "NaN"), ("1E+3", "1 000,00 €")],
)  # fmt: skip
def test_prices_are_written_as_they_are_read(value: object, said: str) -> None:
    assert price_text(value, "€", comma=True).replace("\N{NO-BREAK SPACE}", " ") == said
    assert price_text("1234.5", "", comma=False) == "1,234.50"


def fields(zpl: str) -> list[str]:
    """The fields of ZPL as a printer reads them: what follows ^FD, its hexadecimal escapes undone where ^FH stands."""
    made = []
    for hexed, content in re.findall(r"(\^FH_)?\^FD([^^~]*)\^FS", zpl):
        bytes_of = (
            re.sub(rb"_([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), content.encode())
            if hexed
            else content.encode()
        )
        made.append(bytes_of.decode())
    return made


def code128(field: str) -> str:
    """The content of a ^BC field: the start code, then text in which > begins an escape."""
    start, rest = field[:2], field[2:]
    assert start in (">:", ">;")
    if start == ">;":
        assert rest.isdigit()
        assert len(rest) % 2 == 0
        return rest
    assert not set(rest) & set(">^~"), "printers do not agree on these"
    return rest


@pytest.mark.parametrize("dpi", [203, 300, 600])
def test_zpl_decodes_back_to_the_code(dpi: int) -> None:
    for code, expected in {**CODES, "a_b-c": "a_b-c"}.items():
        zpl = zpl_of([label(code)], cut.sheet("roll-70x50"), dpi=dpi).decode()
        (command,) = re.findall(r"\^(BE|B8|BC)N,", zpl)
        field = fields(zpl)[-1]
        if command == "BC":
            assert code128(field) == expected
        else:
            assert len(field) == {"BE": 12, "B8": 7}[command]
            assert f"{field}{cut.check_digit(field)}" == expected


def test_a_code_that_printers_write_differently_is_no_barcode() -> None:
    zpl = zpl_of([label("a>b^c~d")], cut.sheet("roll-70x50")).decode()
    assert "^B" not in zpl
    assert "a>b^c~d" in fields(zpl)


def test_a_name_is_no_command_to_the_printer() -> None:
    evil = "^XZ^XA^JUF~JR _41 " + SLOVAK
    zpl = zpl_of([label(EAN13, evil, price="~JR^XZ")], cut.sheet("roll-100x70")).decode("utf-8")
    known = r"\^(XA|XZ|CI|PW|LL|LH|FO|A0|FH|FD|FS|BY|BE)"
    assert re.findall(r"[\^~]", zpl) == ["^"] * len(re.findall(known, zpl))
    assert (zpl.count("^XA"), zpl.count("^XZ")) == (1, 1)
    assert "^CI28" in zpl
    assert "".join(fields(zpl)[:2]).replace(" ", "")[:36] == evil.replace(" ", "")[:36]
    assert "~JR^XZ" in fields(zpl)


def test_a_font_of_the_printers_own_is_named() -> None:
    zpl = zpl_of([label(EAN13)], cut.sheet("roll-58x40"), font="E:TT0003M_.TTF").decode()
    assert len(re.findall(r"\^A@N,\d+,\d+,E:TT0003M_\.TTF\^FH", zpl)) == len(fields(zpl)) - 1
    assert "^A0" not in zpl
    with pytest.raises(ValueError, match="zpl_font"):
        LabelSettings(zpl_font="0^XA")


def test_a_price_is_never_cut() -> None:
    price = "1 234 567 890,1234 Kč"
    assert price in fields(zpl_of([label(EAN13, price=price)], cut.sheet("roll-38x25")).decode())
    assert price in text_of(pdf_of([label(EAN13, price=price)], cut.sheet("a4-5x13")))


def test_csv_runs_nothing_and_keeps_what_it_is_given() -> None:
    names = ["=1+1", "+x", "-x", "@SUM(A1)", 'a;"b"', "é\N{EURO SIGN}"]
    made = csv_of([label(EAN13, name) for name in names], bom=True)
    assert made.startswith(b"\xef\xbb\xbf")
    read = list(csv.DictReader(io.StringIO(made.decode("utf-8-sig")), delimiter=";"))
    assert [row["name"] for row in read] == ["'=1+1", "'+x", "'-x", "'@SUM(A1)", 'a;"b"', "é€"]
    assert {row["code"] for row in read} == {EAN13}
    assert csv_of([label(EAN13, "a,b")], delimiter=",").decode().splitlines()[1].startswith('"a,b",')
