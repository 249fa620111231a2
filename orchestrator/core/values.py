"""The one table of types: PostgreSQL type x wire kind x SQLite storage, used by capture, wire, apply and compare.

| wire kind | PostgreSQL types                  | on the wire (JSON)                       | in SQLite            |
|-----------|-----------------------------------|------------------------------------------|----------------------|
| int       | smallint, integer, bigint         | number                                   | INTEGER              |
| float     | real, double precision            | number, or "NaN", "Infinity", "-Infinity"| REAL                 |
| bool      | boolean                           | true, false                              | INTEGER 1, 0         |
| bytes     | bytea                             | hex text                                 | BLOB                 |
| text      | every other type                  | its canonical text                       | as the column stores |

numeric stays decimal text end to end; timestamps are ISO 8601, those with a time zone in UTC (`+00:00`).
The text forms are made by sessions of our own (TimeZone UTC, DateStyle ISO, extra_float_digits 1), never in the
session of whoever wrote the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from orchestrator.core.changes import Value
from orchestrator.core.plan import Column
from orchestrator.errors import RowFault

SESSION = "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=iso_8601 -c extra_float_digits=1 -c bytea_output=hex"
"""Session options under which a PostgreSQL value's text is canonical; every connection of ours uses them."""

_KINDS = {
    "smallint": "int",
    "integer": "int",
    "bigint": "int",
    "real": "float",
    "double precision": "float",
    "boolean": "bool",
    "bytea": "bytes",
}
_JSON_AS_IS = ("timestamp", "date")

Wire = None | int | float | bool | str
"""A value as it stands in a JSON part."""


def kind_of(pg_type: str) -> str:
    """The wire kind of a PostgreSQL type, given as `format_type` prints it."""
    return _KINDS.get(pg_type, "text")


def json_expression(column: Column, reference: str) -> str:
    """SQL for a column's wire value inside `json_build_array`; `reference` is the quoted column."""
    if column.kind == "bytes":
        return f"encode({reference}, 'hex')"
    if column.kind != "text" or column.type.startswith(_JSON_AS_IS):
        return reference
    return f"{reference}::text"


def quote_sqlite(name: str) -> str:
    """An identifier for SQLite."""
    return '"' + name.replace('"', '""') + '"'


def from_wire(column: Column) -> Callable[[Wire], Value] | None:
    """How a wire value becomes what the till stores; None where it is the same."""
    if column.kind == "bytes":
        return lambda v: None if v is None else bytes.fromhex(str(v))
    if column.kind == "bool":
        return lambda v: None if v is None else int(bool(v))
    if column.kind == "float":
        return lambda v: float(v) if isinstance(v, str) else v
    return None


def to_text(column: Column) -> Callable[[Value], str | None]:
    """How a value of the till becomes text that PostgreSQL reads as the column's type.

    Raises RowFault TS-610 for a value that has no such text; what PostgreSQL itself refuses is its to say.
    """
    return {"int": _int_text, "float": _float_text, "bool": _bool_text, "bytes": _bytes_text}.get(
        column.kind, _any_text
    )


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
