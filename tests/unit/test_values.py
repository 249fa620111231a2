"""The table of types and the encodings: documented, and each value comes back as it was."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import encodings, values
from orchestrator.core.plan import Column
from orchestrator.errors import ConfigError, RowFault
from tests.tidy.files import ROOT

DOCUMENT = (ROOT / "docs" / "values.md").read_text(encoding="utf-8")


def column(kind: str, pg_type: str = "", encode: str | None = None) -> Column:
    return Column("c", pg_type or kind, kind, "c", encode)


def test_every_kind_and_every_encoding_is_documented() -> None:
    types, encoded = DOCUMENT.split("## Encodings")
    kinds = set(re.findall(r"^\|[^|]+\| `(\w+)` \|", types, re.MULTILINE))
    assert kinds == {*values._KINDS.values(), "text"}
    said = dict(re.findall(r"^\| `([\w:]+)` \| ([^|]+) \|", encoded, re.MULTILINE))
    assert set(said) == {*encodings.ENCODINGS, "local:ZONE"}
    for name, encoding in encodings.ENCODINGS.items():
        assert encoding.kinds <= set(re.findall(r"\w+", said[name])), name


@pytest.mark.parametrize(
    ("given_column", "why"),
    [
        (column("numeric", "numeric", "minor_units"), "minor units"),
        (column("text", "text", "unix_ms"), "does not encode"),
        (column("bool", "boolean", "swahili"), "no encoding"),
        (column("bool", "boolean", "tf:x"), "no encoding"),
        (column("timestamptz", "timestamp with time zone", "local:Mars/Base"), "no time zone"),
        (column("timestamptz", "timestamp with time zone", "local:"), "no time zone"),
        (column("timestamp", "timestamp without time zone", "local:Europe/Berlin"), "does not encode"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused(given_column: Column, why: str) -> None:
    with pytest.raises(ConfigError, match=f"TS-139.*{why}"):
        encodings.check(given_column)


TIMES = [column(kind, kind, name) for kind in ("timestamp", "timestamptz") for name in ("unix_s", "unix_ms", "ticks")]


@pytest.mark.parametrize("of", TIMES, ids=lambda c: f"{c.kind} {c.encode}")
@given(number=st.integers(-62_135_596_800, 253_402_300_799))
def test_an_encoded_time_that_a_till_writes_comes_back_as_it_was(of: Column, number: int) -> None:
    stored = {
        "unix_s": number,
        "unix_ms": number * 1000 + number % 1000,
        "ticks": (number + 62_135_596_800) * 10_000_000,
    }
    value = stored[of.encode or ""]
    text = values.to_text(of)(value)
    back = values.from_wire(of)
    assert text is not None
    assert back is not None
    assert back(text.replace(" ", "T")) == value


@given(cents=st.integers(-(10**14), 10**14))
def test_minor_units_come_back_as_they_were(cents: int) -> None:
    of = column("numeric", "numeric(18,2)", "minor_units")
    back = values.from_wire(of)
    assert back is not None
    assert back(values.to_text(of)(cents)) == cents


@given(text=st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{1,25})?", fullmatch=True))
def test_a_decimal_outgrows_a_column_of_numbers_exactly_where_it_is_changed(text: str) -> None:
    """Judged against what SQLite makes of it, read with all digits."""
    from decimal import Decimal

    import apsw

    db = apsw.Connection(":memory:")
    stored = db.execute("SELECT CAST(? AS NUMERIC)", (text,)).fetchall()[0][0]
    db.close()
    if not values.outgrows(text):
        assert Decimal(repr(stored)) == Decimal(text)
    elif Decimal(repr(stored)) == Decimal(text):
        assert len(text.replace(".", "").strip("-0")) > values.DIGITS_MAX, "refused though few digits stand in it"


@pytest.mark.parametrize(
    "value", ["now", "today", "epoch", "20240101", "1/2/2024", "J2451187", "12:30", 5, 5.0, b"2024-01-01"]
)
@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_what_postgresql_would_guess_is_not_sent(kind: str, value: str | int | float | bytes) -> None:
    with pytest.raises(RowFault, match="TS-610"):
        values.to_text(column(kind))(value)
