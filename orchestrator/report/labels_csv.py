"""Labels as CSV, for a label program or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from orchestrator.core.labels import Label

COLUMNS = ("name", "price", "unit", "code", "note", "valid_from", "table", "key")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(labels: Sequence[Label], *, delimiter: str = ";", bom: bool = False) -> bytes:
    """UTF-8, a head line, lines that end as RFC 4180 says. `bom`: a mark by which a spreadsheet knows the encoding."""
    said = io.StringIO()
    writer = csv.writer(said, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for label in labels:
        key = ", ".join(map(str, label.key))
        fields = (label.name, label.price, label.unit, label.code, label.note, label.valid_from or "", label.table, key)
        writer.writerow([_harmless(f) for f in fields])
    return said.getvalue().encode("utf-8-sig" if bom else "utf-8")


def _harmless(field: str) -> str:
    """A spreadsheet would run a text that begins as a formula."""
    return f"'{field}" if field.startswith(FORMULA) else field
