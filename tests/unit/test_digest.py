"""Canonical texts: one for each value, however a till has it, and as head office's SQL makes them."""

from __future__ import annotations

import pytest

from orchestrator.core.changes import Value
from orchestrator.core.digest import Sum, bits_for, bucket, hashed, is_compared, row_text, shown, till_text
from orchestrator.core.plan import Column
from orchestrator.core.values import kind_of


def column(pg_type: str, encode: str | None = None) -> Column:
    return Column("c", pg_type, kind_of(pg_type.partition("(")[0]), "c", encode)


@pytest.mark.parametrize(
    ("pg_type", "values", "text"),
    [
        ("integer", [7, 7.0, "7", "007"], "7"),
        ("bigint", [-(2**63), str(-(2**63))], "-9223372036854775808"),
        ("numeric(12,4)", [1.1, "1.10", "1.1000", "01.1"], "1.1"),
        ("numeric(12,4)", [100, 100.0, "100", "1e2"], "100"),
        ("numeric", [0, 0.0, -0.0, "-0.00", "0"], "0"),
        ("numeric", [1e-7, "0.0000001"], "0.0000001"),
        ("numeric", ["NaN"], "NaN"),
        ("boolean", [1, 1.0, "t", "true", "YES", "on"], "1"),
        ("date", ["2024-03-31", "2024-03-31T00:00:00", "2024-03-31 00:00:00+00"], "2024-03-31"),
        ("date", ["0044-03-15 BC"], "0044-03-15 BC"),
        ("timestamp without time zone", ["2024-01-01T10:00:00", "2024-01-01 10:00", "2024-01-01 10:00:00.000"], "2024-01-01 10:00:00"),
        ("timestamp with time zone", ["2024-01-01T10:00:00+00:00", "2024-01-01 10:00:00", "2024-01-01T11:00:00+01:00", "2024-01-01T10:00Z"], "2024-01-01 10:00:00+00"),
        ("timestamp with time zone", ["2024-01-01T10:00:00.120000+00:00", "2024-01-01 05:15:00.12-04:45"], "2024-01-01 10:00:00.12+00"),
        ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11"], "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("bytea", [b"\x00\xff"], "00ff"),
        ("text", ["a", b"a"], "a"),
        ("character(5)", ["a", "a    "], "a"),
    ],
)  # fmt: skip
def test_one_value_in_every_spelling_has_one_text(pg_type: str, values: list[Value], text: str) -> None:
    assert [till_text(column(pg_type), sent_up=False)(v) for v in values] == [text] * len(values)
    assert till_text(column(pg_type), sent_up=False)(None) is None


def test_what_is_rounded_on_its_way_up_is_compared_as_rounded() -> None:
    up, down = (till_text(column("numeric(12,2)"), sent_up=s) for s in (True, False))
    assert [up(v) for v in (1.005, "1.235", 1.2, 7)] == ["1.01", "1.24", "1.2", "7"]
    assert down(1.005) == "1.005"


def test_what_cannot_be_read_is_no_value_of_head_office() -> None:
    for pg_type, value in (("integer", "x"), ("uuid", "no"), ("numeric", b"\xff"), ("boolean", 2), ("text", b"\xff")):
        text = till_text(column(pg_type), sent_up=False)(value)
        assert text is not None
        assert text.startswith("\0")
        assert shown(column(pg_type), text) == repr(value)


def test_floats_are_compared_by_their_bits_and_shown_as_numbers() -> None:
    double, single = column("double precision"), column("real")
    assert till_text(double, sent_up=False)(0.1) != till_text(double, sent_up=False)(0.1 + 2**-55)
    assert till_text(double, sent_up=False)(-0.0) == till_text(double, sent_up=False)(0)
    assert till_text(single, sent_up=False)(0.36640625) == till_text(single, sent_up=False)("0.36640626")
    assert shown(double, till_text(double, sent_up=False)(1e23)) == "1e+23"
    assert shown(single, till_text(single, sent_up=False)(0.1)) == "0.1"


def test_texts_do_not_run_into_their_neighbours() -> None:
    rows = [
        ("a", "b"),
        ("ab", ""),
        ("", "ab"),
        ("a", None),
        (None, "a"),
        ("1:a", "b"),
        ("a,1:b", ""),
        (":", ":"),
        (None, None),
    ]
    assert len({row_text(r) for r in rows}) == len(rows)
    total = Sum()
    for _ in range(2):
        total.add(hashed("x"))
    assert total.digest == (2, 0, 0), "the count tells two of the same from none"


def test_buckets_are_the_first_bits_of_the_keys_hash() -> None:
    key_hash = bytes.fromhex("f0") + bytes(15)
    assert [bucket(key_hash, bits) for bits in (0, 1, 4, 8)] == [0, 1, 15, 240]
    assert [bits_for(n) for n in (0, 1, 8, 9, 16, 17, 100_000)] == [0, 0, 0, 1, 1, 2, 14]


def test_types_of_many_spellings_are_left_out_where_only_tills_write() -> None:
    for pg_type in ("jsonb", "interval", "text[]", "numrange", "time without time zone", "inet", "bit varying(20)"):
        assert not is_compared(column(pg_type), sent_up=True)
        assert is_compared(column(pg_type), sent_up=False)
    for pg_type in ("text", "character varying(40)", "json", "citext", "mood", "line_kind", "numeric(12,2)"):
        assert is_compared(column(pg_type), sent_up=True)
