"""The one table of types: PostgreSQL type x wire kind x SQLite storage, used by capture, wire, apply and compare.

| wire kind   | PostgreSQL types            | on the wire (JSON)                           | at the till, undeclared |
|-------------|-----------------------------|----------------------------------------------|-------------------------|
| int         | smallint, integer, bigint   | number                                       | integer                 |
| float       | real, double precision      | number, or "NaN", "Infinity", "-Infinity"    | real; NaN as a text     |
| numeric     | numeric, money              | decimal text                                 | as the column takes it  |
| bool        | boolean                     | true, false                                  | integer 1, 0            |
| bytes       | bytea                       | hex text                                     | BLOB                    |
| date        | date                        | 2024-03-31                                   | text                    |
| timestamp   | timestamp without time zone | 2024-03-31T02:30:00.123456                   | text                    |
| timestamptz | timestamp with time zone    | 2024-03-31T02:30:00.123456+00:00, ever UTC   | text                    |
| uuid        | uuid                        | lower case with hyphens                      | text                    |
| text        | every other type            | its text, as a session of ours is told it    | text                    |

The kind of a domain is that of its base type. Text forms are made by sessions of our own (`SESSION`), never in that of
whoever wrote the row. What a till stores in another way is declared per column (`orchestrator/core/encodings.py`).
docs/values.md is the DBA's page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from orchestrator.core import encodings
from orchestrator.core.changes import Value
from orchestrator.core.plan import Column
from orchestrator.errors import RowFault

SESSION = " ".join(
    f"-c {setting}"
    for setting in (
        "TimeZone=UTC",
        "DateStyle=ISO,MDY",
        "IntervalStyle=iso_8601",
        "extra_float_digits=1",
        "bytea_output=hex",
        "lc_monetary=C",
        "client_encoding=UTF8",
    )
)
"""Session options under which a PostgreSQL value's text is canonical; every connection of ours uses them."""

_KINDS = {
    "smallint": "int",
    "integer": "int",
    "bigint": "int",
    "real": "float",
    "double precision": "float",
    "numeric": "numeric",
    "money": "numeric",
    "boolean": "bool",
    "bytea": "bytes",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "uuid": "uuid",
}

Wire = None | int | float | bool | str
"""A value as it stands in a JSON part."""

_TWO = "[0-9][0-9]"
_DATE = r"[0-9]{4,7}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?"
_FOREVER = r"-?infinity"
_MIDNIGHT = r"[ T]00:00(:00(\.0+)?)?(Z|[+-]00(:?00)?)?"
_FORMS = {
    "date": re.compile(rf"{_DATE}({_MIDNIGHT})?( BC)?|{_FOREVER}"),
    "timestamp": re.compile(rf"{_DATE}([ T]{_TIME}(Z|[+-]00(:?00)?)?)?( BC)?|{_FOREVER}"),
    "timestamptz": re.compile(rf"{_DATE}([ T]{_TIME} ?(Z|[+-]{_TWO}(:?{_TWO}(:?{_TWO})?)?)?)?( BC)?|{_FOREVER}"),
    "uuid": re.compile(r"[0-9a-fA-F{}-]+"),
}
"""What a text of the till must look like. PostgreSQL would also read `now`, 31/12/2024 or 20241231, and drop a zone."""

_FRACTION = r"(\.[0-9]{0,5}[1-9])?"
_CANONICAL = {
    "date": re.compile(rf"{_DATE}( BC)?|{_FOREVER}"),
    "timestamp": re.compile(rf"{_DATE}T{_TWO}:{_TWO}:{_TWO}{_FRACTION}( BC)?|{_FOREVER}"),
    "timestamptz": re.compile(rf"{_DATE}T{_TWO}:{_TWO}:{_TWO}{_FRACTION}\+00:00( BC)?|{_FOREVER}"),
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}

DIGITS_MAX = 15
"""So many significant digits of a decimal survive a column of SQLite's that holds numbers."""


def kind_of(pg_type: str) -> str:
    """The wire kind of a PostgreSQL type without its modifier, given as `format_type` prints it."""
    return _KINDS.get(pg_type, "text")


def json_expression(column: Column, reference: str) -> str:
    """SQL for a column's wire value inside `json_build_array`; `reference` is the quoted column."""
    if column.kind == "bytes":
        return f"encode({reference}, 'hex')"
    if column.kind == "numeric":
        return f"{reference}::numeric::text"
    if column.kind in ("text", "uuid"):
        return f"{reference}::text"
    return reference


def quote_sqlite(name: str) -> str:
    """An identifier for SQLite."""
    return '"' + name.replace('"', '""') + '"'


def from_wire(column: Column) -> Callable[[Wire], Value] | None:
    """How a wire value becomes what the till stores; None where it is the same."""
    if column.encode is not None:
        return encodings.named(column.encode).down(column)
    if column.kind == "bytes":
        return lambda v: None if v is None else bytes.fromhex(str(v))
    if column.kind == "bool":
        return lambda v: None if v is None else int(bool(v))
    if column.kind == "float":
        return _to_float
    return None


def _to_float(v: Wire) -> Value:
    # SQLite would make NULL of a NaN, so it stays the text that it is.
    return float(v) if isinstance(v, str) and v != "NaN" else v


def form_of(kind: str) -> re.Pattern[str] | None:
    """The form that a text of a kind must have; None where PostgreSQL says what is none."""
    return _FORMS.get(kind)


def canonical_form(column: Column) -> re.Pattern[str] | None:
    """The form in which PostgreSQL writes a text of the column; None where it writes it as it was given."""
    if column.kind == "numeric" and (scale := re.fullmatch(r"numeric\(\d+,([1-9]\d*)\)", column.type)):
        return re.compile(rf"-?(0|[1-9]\d*)\.\d{{{scale[1]}}}|NaN")
    if column.type.startswith(("character(", "character[")) or column.type == "character":
        return re.compile(r"(.*[^ ])?", re.DOTALL)
    return _CANONICAL.get(column.kind)


def to_text(column: Column) -> Callable[[Value], str | None]:
    """How a value of the till becomes text that PostgreSQL reads as the column's type.

    Raises RowFault TS-610 for a value that has no such text; what PostgreSQL itself refuses is its to say.
    """
    if column.encode is not None:
        return encodings.named(column.encode).up(column)
    if column.kind in _FORMS:
        return _formed(column, _FORMS[column.kind])
    return {"int": _int_text, "float": _float_text, "bool": _bool_text, "bytes": _bytes_text}.get(
        column.kind, _any_text
    )


def text_of_text(column: Column) -> Callable[[Value], str | None]:
    """As `to_text`, for values that are canonical texts already; bytes are what has none, kept as they came."""

    def text(v: Value) -> str | None:
        form = _FORMS.get(column.kind)
        if v is not None and (not isinstance(v, str) or (form is not None and form.fullmatch(v) is None)):
            if column.kind == "bytes" and isinstance(v, bytes):
                return _bytes_text(v)
            raise RowFault("TS-610", f"{column.name}: {_shown(v)} cannot be read as {column.type}")
        return v

    return text


def _formed(column: Column, form: re.Pattern[str]) -> Callable[[Value], str | None]:
    def text(v: Value) -> str | None:
        if v is None:
            return None
        if not isinstance(v, str) or form.fullmatch(v) is None:
            raise RowFault("TS-610", f"{column.name}: {_shown(v)} is no {column.kind} in ISO form; declare its encode")
        return v

    return text


def _any_text(v: Value) -> str | None:
    if v is None or isinstance(v, str):
        return v
    if isinstance(v, float):
        return _float_text(v)
    if isinstance(v, bytes):
        try:
            return v.decode()
        except UnicodeDecodeError as e:
            raise RowFault("TS-610", "a BLOB that is no UTF-8 text in a column of text") from e
    return str(v)


def _int_text(v: Value) -> str | None:
    if isinstance(v, float) and v.is_integer():
        return str(int(v))
    return _any_text(v)


def _float_text(v: Value) -> str | None:
    if isinstance(v, float) and not math.isfinite(v):
        return "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity"
    return repr(v) if isinstance(v, float) else _any_text(v)


def _bool_text(v: Value) -> str | None:
    if isinstance(v, (int, float)) and v in (0, 1):
        return "t" if v else "f"
    return _any_text(v)


def _bytes_text(v: Value) -> str | None:
    if isinstance(v, bytes):
        return "\\x" + v.hex()
    return "\\x" + v.encode().hex() if isinstance(v, str) else _any_text(v)


def _shown(v: Value) -> str:
    text = repr(v)
    return text if len(text) <= 40 else f"{text[:37]}..."


def may_outgrow(column: Column) -> bool:
    """Whether a column's decimals may be more than a number of SQLite's holds."""
    if column.kind != "numeric" or column.encode is not None or column.type == "money":
        return False
    precision = re.fullmatch(r"numeric\((\d+),\d+\)", column.type)
    return precision is None or int(precision[1]) > DIGITS_MAX


def outgrows(v: Wire) -> bool:
    """Whether SQLite would make another number of a decimal: it keeps integers of 64 bits, and doubles."""
    if not isinstance(v, str) or len(v) <= DIGITS_MAX:
        return False
    digits = v.lstrip("-").replace(".", "").strip("0")
    if "." not in v:
        return not -(2**63) <= int(v) < 2**63 if v.lstrip("-").isdigit() else False
    # So small that a double would be zero, or with more digits than it keeps.
    return len(digits) > DIGITS_MAX or (digits != "" and not math.isfinite(1 / float(v)) if float(v) else digits != "")
