"""Encodings: how a till stores a value where its schema differs from central's, declared per column in the plan.

Each says which wire kinds it may stand for, what becomes of a wire value at the till, and which text PostgreSQL reads
for a value of the till's. A value that does not fit raises RowFault TS-611: its row is parked or waits, never guessed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.core.changes import Value
from orchestrator.core.plan import Column
from orchestrator.errors import ConfigError, RowFault

Down = Callable[[int | float | bool | str | None], Value]
Up = Callable[[Value], str | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)
_TIMES = frozenset({"date", "timestamp", "timestamptz"})
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_JULIAN_OF_EPOCH = 2_440_587.5


@dataclass(frozen=True)
class Encoding:
    """`unit`: what a time is cut to (a SQL `date_trunc` field), None where nothing is lost."""

    name: str
    kinds: frozenset[str]
    down: Callable[[Column], Down]
    up: Callable[[Column], Up]
    unit: str | None = None


def named(name: str) -> Encoding:
    """The encoding of a name; `local:Europe/Bratislava` carries its zone. Raises ConfigError TS-139 for none."""
    bare, _, argument = name.partition(":")
    if bare == "local":
        return _local(name, argument)
    if bare in ENCODINGS and not argument:
        return ENCODINGS[bare]
    known = ", ".join([*sorted(ENCODINGS), "local:ZONE"])
    raise ConfigError("TS-139", f"there is no encoding {name}", hint=f"known: {known}")


def check(column: Column) -> None:
    """Raises ConfigError TS-139 where a column's encoding is unknown, or is not one for its type."""
    if column.encode is None:
        return
    encoding = named(column.encode)
    if column.kind not in encoding.kinds:
        raise ConfigError(
            "TS-139",
            f"column {column.name} is a {column.type}, which {column.encode} does not encode",
            hint=f"{column.encode} is for {', '.join(sorted(encoding.kinds))}",
        )
    if column.encode == "minor_units":
        _scale(column)


def _parsed(v: object) -> datetime:
    """A wire time; one without a zone counts as UTC. Infinity, BC and years beyond 9999 are in no number there."""
    text = str(v)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as e:
        raise RowFault("TS-611", f"{text} has no place in a number") from e
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _iso(column: Column, at: datetime) -> str:
    if column.kind == "date":
        if (at.hour, at.minute, at.second, at.microsecond) != (0, 0, 0, 0):
            raise RowFault("TS-611", f"{column.name}: {at} is a time of day in a column of dates")
        return at.date().isoformat()
    text = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text}+00:00" if column.kind == "timestamptz" else text


Ways = tuple[Callable[[Column], Down], Callable[[Column], Up]]


def _counted(step: timedelta, origin: datetime, *, parts: int = 1) -> Ways:
    """Times as a count of steps since an origin; `parts` steps make one (ticks are tenths of a microsecond)."""

    def down(column: Column) -> Down:
        return lambda v: None if v is None else (_parsed(v) - origin) // step * parts

    def up(column: Column) -> Up:
        def text(v: Value) -> str | None:
            if v is None:
                return None
            if isinstance(v, bool) or not isinstance(v, (int, float)) or (isinstance(v, float) and not v.is_integer()):
                raise RowFault("TS-611", f"{column.name}: {v!r} is no whole number")
            whole, rest = divmod(int(v), parts)
            if rest:
                raise RowFault("TS-611", f"{column.name}: {v!r} is finer than a microsecond")
            try:
                return _iso(column, origin + whole * step)
            except OverflowError as e:
                raise RowFault("TS-611", f"{column.name}: {v!r} is no time that can be") from e

        return text

    return down, up


def _julian_down(column: Column) -> Down:
    day = timedelta(days=1) // _MILLISECOND
    return lambda v: None if v is None else _JULIAN_OF_EPOCH + (_parsed(v) - _EPOCH) // _MILLISECOND / day


def _julian_up(column: Column) -> Up:
    def text(v: Value) -> str | None:
        if v is None:
            return None
        if isinstance(v, bool) or not isinstance(v, (int, float)):
            raise RowFault("TS-611", f"{column.name}: {v!r} is no Julian day")
        try:
            # A double holds a day of today to about 40 microseconds, so what was cut to milliseconds comes back.
            milliseconds = round((v - _JULIAN_OF_EPOCH) * 86_400_000)
            return _iso(column, _EPOCH + milliseconds * _MILLISECOND)
        except (OverflowError, ValueError) as e:
            raise RowFault("TS-611", f"{column.name}: {v!r} is no Julian day") from e

    return text


def _scale(column: Column) -> int:
    found = re.fullmatch(r"numeric\(\d+,(\d+)\)", column.type)
    if column.type == "money":
        return 2
    if found is None:
        raise ConfigError(
            "TS-139",
            f"column {column.name} is a {column.type}: it does not say how many minor units make one",
            hint="minor_units needs a numeric with a scale",
        )
    return int(found[1])


def _minor_down(column: Column) -> Down:
    scale = _scale(column)

    def value(v: object) -> Value:
        if v is None:
            return None
        if v in ("NaN", "Infinity", "-Infinity"):
            raise RowFault("TS-611", f"{column.name}: {v} has no place in a number of minor units")
        return int(Decimal(str(v)).scaleb(scale))

    return value


def _minor_up(column: Column) -> Up:
    scale = _scale(column)

    def text(v: Value) -> str | None:
        if v is None:
            return None
        try:
            number = Decimal(str(v)) if isinstance(v, (int, float, str)) and not isinstance(v, bool) else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or number != number.to_integral_value():
            raise RowFault("TS-611", f"{column.name}: {v!r} is no whole number of minor units")
        return format(number.scaleb(-scale), "f")

    return text


def _words(yes: str, no: str) -> Ways:
    """Booleans as words; a till may write them in any case."""

    def down(column: Column) -> Down:
        return lambda v: None if v is None else yes if v else no

    def up(column: Column) -> Up:
        meant = {yes.lower(): "t", no.lower(): "f"}

        def text(v: Value) -> str | None:
            if v is None:
                return None
            if not isinstance(v, str) or v.lower() not in meant:
                raise RowFault("TS-611", f"{column.name}: {v!r} is neither {yes} nor {no}")
            return meant[v.lower()]

        return text

    return down, up


def _uuid_down(column: Column) -> Down:
    return lambda v: None if v is None else uuid.UUID(str(v)).bytes


def _uuid_up(column: Column) -> Up:
    def text(v: Value) -> str | None:
        if v is None:
            return None
        if not isinstance(v, bytes) or len(v) != 16:
            raise RowFault("TS-611", f"{column.name}: {v!r} is no UUID of 16 bytes")
        return str(uuid.UUID(bytes=v))

    return text


def _hex_down(column: Column) -> Down:
    return lambda v: None if v is None else str(v)


def _hex_up(column: Column) -> Up:
    def text(v: Value) -> str | None:
        if v is None:
            return None
        try:
            return "\\x" + bytes.fromhex(v).hex() if isinstance(v, str) else _not_hex(column, v)
        except ValueError:
            return _not_hex(column, v)

    return text


def _not_hex(column: Column, v: Value) -> str:
    raise RowFault("TS-611", f"{column.name}: {v!r} is no hex text")


def _local(name: str, zone: str) -> Encoding:
    """A time with a zone, kept at the till as what its clock on the wall shows. The hour that comes twice in autumn is
    read as its first."""
    try:
        at = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as e:
        raise ConfigError("TS-139", f"there is no time zone {zone!r}", hint="such as local:Europe/Bratislava") from e
    return Encoding(name, frozenset({"timestamptz"}), _local_down(at), _local_up(at))


def _local_down(zone: tzinfo) -> Callable[[Column], Down]:
    def down(column: Column) -> Down:
        def value(v: object) -> Value:
            if v is None:
                return None
            return _parsed(v).astimezone(zone).replace(tzinfo=None).isoformat(sep=" ")

        return value

    return down


def _local_up(zone: tzinfo) -> Callable[[Column], Up]:
    def up(column: Column) -> Up:
        def text(v: Value) -> str | None:
            if v is None:
                return None
            try:
                at = datetime.fromisoformat(v) if isinstance(v, str) else None
            except ValueError:
                at = None
            if at is None or at.tzinfo is not None:
                raise RowFault("TS-611", f"{column.name}: {v!r} is no local time in ISO form")
            there = at.replace(tzinfo=zone)
            if there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != at:
                raise RowFault("TS-611", f"{column.name}: {v!r} is a time that the clocks pass over")
            return _iso(column, there)

        return text

    return up


def _encoding(name: str, kinds: frozenset[str], ways: Ways, unit: str | None = None) -> Encoding:
    return Encoding(name, kinds, *ways, unit)


ENCODINGS: Mapping[str, Encoding] = {
    e.name: e
    for e in (
        _encoding("unix_s", _TIMES, _counted(_SECOND, _EPOCH), "second"),
        _encoding("unix_ms", _TIMES, _counted(_MILLISECOND, _EPOCH), "milliseconds"),
        _encoding("ticks", _TIMES, _counted(_MICROSECOND, _YEAR_ONE, parts=10)),
        _encoding("julian_day", _TIMES, (_julian_down, _julian_up), "milliseconds"),
        _encoding("minor_units", frozenset({"numeric"}), (_minor_down, _minor_up)),
        _encoding("tf", frozenset({"bool"}), _words("t", "f")),
        _encoding("yn", frozenset({"bool"}), _words("Y", "N")),
        _encoding("true_false", frozenset({"bool"}), _words("true", "false")),
        _encoding("blob", frozenset({"uuid"}), (_uuid_down, _uuid_up)),
        _encoding("hex", frozenset({"bytes"}), (_hex_down, _hex_up)),
    )
}
"""Every encoding by its name, but for `local:ZONE`, which has an argument."""
