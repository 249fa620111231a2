"""Digests of rows that are the same on both engines: canonical texts, hashed by key into buckets. Pure.

A row's text is its columns' canonical texts, each with its length before it, so that nothing runs into its neighbour;
a NULL has none. Its MD5 (not for secrecy: both ends can make it fast) is xored over the rows of a bucket, so no order
matters. The bucket is the first bits of the MD5 of the key's text: the engines sort text differently, but hash it
alike. Head office makes these in SQL, a till in Python; what is canonical is said here, for each side.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from hashlib import md5

from orchestrator.core import digest_quick, encodings
from orchestrator.core.changes import Value
from orchestrator.core.plan import Column
from orchestrator.errors import RowFault

Texts = tuple[str | None, ...]

ROWS_OF_LEAF = 8
"""A bucket of about so many rows is not split further: its rows are compared."""

SPLIT_BITS_MAX = 8
"""One step splits a bucket into at most 2^8."""

_LOOSE = re.compile(
    r"(jsonb|interval|time|inet|cidr|macaddr8?|bit|bit varying|point|line|lseg|box|path|polygon|circle|tsvector|tsquery"
    r"|pg_lsn|pg_snapshot|\w+range)( |\(|$).*|.*\]"
)
_TIME = re.compile(
    r"(\d{4,7}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?)? ?(Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?( BC)?"
)
_TRUE, _FALSE = {"t", "true", "yes", "on", "y", "1"}, {"f", "false", "no", "off", "n", "0"}


def is_compared(column: Column, *, sent_up: bool) -> bool:
    """Whether a column is compared. In a table that only goes up a till may have any of the many spellings that the
    type has, and head office keeps its own."""
    if not sent_up or column.kind != "text" or column.encode is not None:
        return True
    return _LOOSE.fullmatch(column.type) is None


def central_text(column: Column, reference: str) -> str:
    """SQL for the canonical text of a column at head office; `reference` is the quoted column."""
    if column.encode is not None and column.kind != "date":
        unit, zone = encodings.named(column.encode).unit, column.encode.partition(":")[2]
        if unit is not None:
            return f"date_trunc('{unit}', {reference})::text"
        if zone:
            return f"({reference} AT TIME ZONE '{zone}')::text"
    bits = "float4send" if column.type == "real" else "float8send"
    return {
        "float": f"encode({bits}({reference} + 0::{column.type}), 'hex')",
        "numeric": f"trim_scale({reference}::numeric)::text",
        "bool": f"({reference})::int::text",
        "bytes": f"encode({reference}, 'hex')",
    }.get(column.kind, f"{reference}::text")


def till_text(column: Column, *, sent_up: bool) -> Callable[[Value], str | None]:
    """How a till's value becomes the same text. What has none becomes a text that head office's never is."""
    way = _ways(column, sent_up=sent_up)
    up = None
    if column.encode is not None and not column.encode.startswith("local:"):
        up = encodings.named(column.encode).up(column)

    def text(v: Value) -> str | None:
        if v is None:
            return None
        try:
            return way(v if up is None else up(v))
        except (RowFault, ValueError, ArithmeticError, TypeError, struct.error):
            return f"\0{v!r}"

    return digest_quick.wrapped(column, text, sent_up=sent_up)


def shown(column: Column, text: str | None) -> str | None:
    """A canonical text as a person reads it."""
    if text is None or column.kind != "float":
        return text.removeprefix("\0") if text else text
    with suppress(ValueError, struct.error):
        if column.type == "real":
            (v,) = struct.unpack(">f", bytes.fromhex(text))
            return next(s for d in range(6, 10) if _bits_of_real(float(s := f"{v:.{d}g}")) == text or d == 9)
        return repr(struct.unpack(">d", bytes.fromhex(text))[0])
    return text.removeprefix("\0")


def row_text(texts: Iterable[str | None]) -> str:
    """The texts of a row as one; `central/reconcile.row_text` is the same in SQL."""
    return ",".join([":" if t is None else f"{len(t)}:{t}" for t in texts])


def hashed(text: str) -> bytes:
    """The MD5 of a text. One that has no UTF-8 form is hashed by its escapes: head office has no such text."""
    return md5(text.encode("utf-8", "backslashreplace"), usedforsecurity=False).digest()


def bucket(key_hash: bytes, bits: int) -> int:
    """The bucket of a key's hash: its first bits."""
    return int.from_bytes(key_hash[:4], "big") >> (32 - bits)


class Sum:
    """Count and xor of the rows of a bucket."""

    __slots__ = ("rows", "value")

    def __init__(self) -> None:
        self.rows, self.value = 0, 0

    def add(self, row_hash: bytes) -> None:
        self.rows += 1
        self.value ^= int.from_bytes(row_hash, "big")

    @property
    def digest(self) -> tuple[int, int, int]:
        """How many rows, and the two halves as PostgreSQL's bigint."""
        return halves(self.rows, self.value)


def halves(rows: int, value: int) -> tuple[int, int, int]:
    """A count, and a sum of 128 bits as two of PostgreSQL's bigint."""
    raw = value.to_bytes(16, "big")
    return rows, int.from_bytes(raw[:8], "big", signed=True), int.from_bytes(raw[8:], "big", signed=True)


def bits_for(rows: int) -> int:
    """Into how many buckets (as bits) so many rows are split, until they are leaves."""
    return min(32, max(0, (rows - 1).bit_length() - (ROWS_OF_LEAF - 1).bit_length()))


def _ways(column: Column, *, sent_up: bool) -> Callable[[Value], str | None]:
    if column.encode is not None and column.encode.startswith("local:"):
        return _timestamp
    if column.kind == "numeric":
        scale = re.fullmatch(r"numeric\(\d+,(\d+)\)", column.type)
        if sent_up and (scale or column.type == "money"):
            return lambda v: _rounded(v, int(scale[1]) if scale else 2)
        return _decimal
    if column.kind == "float":
        return _bits_of_real if column.type == "real" else _bits_of_double
    if column.type.startswith(("character(", "bpchar")) or column.type == "character":
        return lambda v: str(_plain(v)).rstrip(" ")
    return {
        "int": _integer,
        "bool": _bool,
        "bytes": _bytes,
        "date": _date,
        "timestamp": _timestamp,
        "timestamptz": _timestamptz,
        "uuid": _uuid,
    }.get(column.kind, _plain)


def _plain(v: Value) -> str:
    if isinstance(v, str):
        return v
    return v.decode() if isinstance(v, bytes) else repr(v) if isinstance(v, float) else str(v)


def _integer(v: Value) -> str:
    if isinstance(v, float):
        return str(int(v)) if v.is_integer() else repr(v)
    return str(int(v)) if isinstance(v, (int, str)) else _plain(v)


def _decimal(v: Value) -> str:
    if isinstance(v, int):
        return str(v)
    return _unpadded(_parsed(v))


def _rounded(v: Value, scale: int) -> str:
    number = _parsed(v)
    if not number.is_finite():
        return _unpadded(number)
    with localcontext() as context:
        context.prec = 2_000
        return _unpadded(number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP))


def _parsed(v: Value) -> Decimal:
    try:
        return Decimal(_plain(v).strip())
    except InvalidOperation as e:
        raise ValueError(f"{v!r} is no number") from e


def _unpadded(number: Decimal) -> str:
    if number.is_nan():
        return "NaN"
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _float(v: Value) -> float:
    # Adding makes 0.0 of -0.0, as SQLite does when it stores it.
    return float(v) + 0.0 if isinstance(v, (int, float, str)) else float(_plain(v)) + 0.0


def _bits_of_double(v: Value) -> str:
    number = _float(v)
    return "7ff8000000000000" if number != number else struct.pack(">d", number).hex()


def _bits_of_real(v: Value) -> str:
    number = _float(v)
    return "7fc00000" if number != number else struct.pack(">f", number).hex()


def _bool(v: Value) -> str:
    text = _plain(v).strip().lower()
    if text in ("1.0", "0.0"):
        text = text[0]
    if text not in _TRUE | _FALSE:
        raise ValueError(f"{v!r} is no boolean")
    return "1" if text in _TRUE else "0"


def _bytes(v: Value) -> str:
    if isinstance(v, bytes):
        return v.hex()
    text = _plain(v)
    return text[2:] if text.startswith("\\x") else text.encode().hex()


def _date(v: Value) -> str:
    text = _plain(v)
    found = _TIME.fullmatch(text)
    if found is None or (found[2] or "00:00") != "00:00" or (found[3] or "00") != "00":
        return text
    return found[1] + (found[6] or "")


def _timestamp(v: Value) -> str:
    return _time(_plain(v), "")


def _timestamptz(v: Value) -> str:
    return _time(_plain(v), "+00")


def _time(text: str, suffix: str) -> str:
    """As PostgreSQL prints it in UTC."""
    found = _TIME.fullmatch(text)
    if found is None:
        return text
    fraction = (found[4] or "").rstrip("0")
    zone = found[5]
    if len(fraction) > 6 or (suffix and zone not in (None, "Z", "+00", "+00:00", "+0000", "-00")):
        return _moved(found, suffix)
    point = f".{fraction}" if fraction else ""
    return f"{found[1]} {found[2] or '00:00'}:{found[3] or '00'}{point}{suffix}{found[6] or ''}"


def _moved(found: re.Match[str], suffix: str) -> str:
    """A time of another zone, or one with more digits than microseconds have."""
    at = datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}:{found[3] or '00'}{found[5] or 'Z'}").astimezone(UTC)
    at += timedelta(microseconds=round(Decimal(f"0.{found[4] or 0}") * 1_000_000))
    text = at.replace(tzinfo=None).isoformat(sep=" ")
    return (text.rstrip("0") if "." in text else text) + suffix


def _uuid(v: Value) -> str:
    return str(uuid.UUID(bytes=v)) if isinstance(v, bytes) and len(v) == 16 else str(uuid.UUID(_plain(v)))


def key_texts(columns: Sequence[Column], *, sent_up: bool) -> Callable[[Sequence[Value]], Texts]:
    """How a till's key becomes canonical texts."""
    ways = [till_text(c, sent_up=sent_up) for c in columns]
    return lambda key: tuple(way(v) for way, v in zip(ways, key, strict=True))
