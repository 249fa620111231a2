"""What a till that is not ours, or no longer, may send: frames that are none, and frames whose contents are chosen."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any

import msgspec
import zstandard
from hypothesis import strategies as st

from orchestrator.core import wire
from orchestrator.core.changes import ORIGIN, Position
from orchestrator.relay.messages import UploadPart

BOMB_BYTES = 64 * 1024 * 1024
COLUMNS: dict[str, tuple[str, ...]] = {
    "public.contact": ("id", "phone", "name", "email", "city"),
    "public.sales_order": ("id", "branch_id", "no", "status", "note", "total"),
    "public.stock": ("branch_id", "item_id", "qty"),
    "public.closure": ("number", "day", "total"),
    "public.item": ("id", "code", "name", "price"),
    "public.price": ("list_id", "item_id", "amount"),
    "public.turnover": ("till", "total"),
    "tillsync.node": ("node", "params", "state"),
    "pg_catalog.pg_authid": ("rolname", "rolsuper"),
}
KEYS = {"public.stock": ("branch_id", "item_id"), "public.closure": ("number",), "public.price": ("list_id", "item_id")}

NAMES = st.sampled_from(
    [
        *COLUMNS,
        "contact",
        "",
        "id",
        "till",
        "purchase_price",
        'contact"; DROP TABLE item; --',
        "contact'; DROP TABLE item; --",
        "%(node)s",
        "%s",
        "{target}",
        "n0",
        "x" * 5000,
        "ä\u0000b",
        "ctid",
        "oid",
        "\ud7ff\U0010ffff",
    ]
)
TEXTS = st.sampled_from(
    [
        "B1",
        "B2",
        "B3",
        "draft",
        "closed",
        "now",
        "infinity",
        "NaN",
        "1e400",
        "-0",
        "1_000",
        "x" * 70_000,
        "\0",
        "\u202e",
    ]
)
NUMBERS = st.sampled_from(
    [0, 1, 2, -1, 2**31, 2**62, 2**63 - 1, -(2**63), 2**64 - 1, 1.5, float("nan"), float("inf"), 1e308, 5e-324]
)
PLAIN = st.sampled_from(["B1", "B1", "1", 1, 2, None, "2024-03-01", "o1", "o2", "paid", 5.0])
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    TEXTS,
    NUMBERS,
    NAMES,
    st.booleans(),
    st.text(max_size=8),
    st.sampled_from([b"", b"\xff\xfe", b"\0" * 9, b"B2"]),
    st.sampled_from([[], [[]], {}, {"a": 1}, msgspec.msgpack.Ext(5, b"x"), msgspec.msgpack.Ext(-1, b"\0" * 4)]),
)
VALUES = st.integers(0, 7).flatmap(lambda n: ODD if n == 0 else PLAIN)
SEQS = st.one_of(st.integers(1, 9), st.sampled_from([0, -1, 2**31, 2**62, 2**63, 2**64 - 1, "1", None, 1.0, True]))


CHANGES = st.sampled_from(("more", "less", "twice", "renamed", "moved", "table", "key"))


@st.composite
def shapes(draw: st.DrawFn) -> Any:
    """A table with columns, mostly its own, perhaps some others, some twice, or none."""
    table = draw(st.sampled_from(sorted(COLUMNS)))
    columns, key = list(COLUMNS[table]), KEYS.get(table, COLUMNS[table][:1])
    for change in draw(st.integers(0, 2).flatmap(lambda n: st.lists(CHANGES, max_size=n * (n - 1)))):
        if change == "more":
            columns.append(draw(NAMES))
        elif change == "less" and columns:
            columns.pop()
        elif change == "twice" and columns:
            columns.append(columns[0])
        elif change == "renamed" and columns:
            columns[0] = draw(NAMES)
        elif change == "moved":
            columns.reverse()
        elif change == "table":
            table = draw(NAMES)
        else:
            key = tuple(draw(st.lists(NAMES, max_size=2)))
    return [table, columns, list(key)]


def now_and_then(rare: st.SearchStrategy[Any], usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 11).flatmap(lambda n: rare if n == 0 else usual)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """An upload that can be decoded, or nearly: most of it is as it should be, so that the rest comes far."""
    found = draw(st.lists(shapes(), min_size=1, max_size=3))
    changes = []
    for place in range(draw(st.integers(1, 5))):
        number = draw(now_and_then(st.sampled_from([-1, 99]), st.integers(0, len(found) - 1)))
        width = len(found[number][1]) if 0 <= number < len(found) else 2
        width += draw(now_and_then(st.just(1), st.just(0)))
        image = st.lists(VALUES, min_size=width, max_size=width)
        op = draw(now_and_then(st.sampled_from(["M", "", "IU", 7]), st.sampled_from("IIUD")))
        old = draw(image) if op in ("U", "D") else None
        new = draw(image) if op in ("I", "U") else None
        seq = draw(now_and_then(SEQS, st.just(place + 1)))
        changes.append([seq, draw(st.integers(1, 2**62)), number, op, old, new])
    more = st.sampled_from([[[0, 0], []], [[2**62, -5], [1] * len(changes)], [["x"], 3], [[1, 2], [2**63]]])
    return msgspec.msgpack.encode([found, changes, *draw(now_and_then(more, st.just([])))])


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Whatever may lie in the relay as a part."""
    kind = draw(
        st.sampled_from(["content"] * 20 + ["noise", "flipped", "cut", "bomb", "liar", "deep", "abyss", "other"])
    )
    if kind == "noise":
        return draw(st.binary(max_size=40))
    if kind == "bomb":
        return bomb(draw(st.sampled_from([12, 2**20, 2**25, 2**32 - 1])))
    if kind == "abyss":
        return wire.pack(abyss(draw(st.sampled_from([900, 100_000]))))
    if kind == "deep":
        return wire.pack(b"\x91" * draw(st.sampled_from([500, 100_000])) + b"\x90")
    if kind == "other":
        return wire.pack(
            draw(
                st.sampled_from(
                    [b"", b"\xc1", b"\x92\x90\x90", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"{}"]
                )
            )
        )
    frame = wire.pack(draw(contents()))
    if kind == "flipped":
        at = draw(st.integers(0, len(frame) - 1))
        return frame[:at] + bytes([frame[at] ^ draw(st.integers(1, 255))]) + frame[at + 1 :]
    if kind == "cut":
        return frame[: draw(st.integers(0, len(frame) - 1))]
    if kind == "liar":
        return frame[:8] + struct.pack(">I", draw(st.integers(0, 2**32 - 1))) + frame[12:]
    return frame


def abyss(depth: int) -> bytes:
    """An upload of one row, with a value that is a list of a list of a list."""
    shape = msgspec.msgpack.encode([["public.contact", ["id"], ["id"]]])
    change = b"\x96\x01\x05\x00" + msgspec.msgpack.encode("I") + b"\xc0\x91" + b"\x91" * depth + b"\xc0"
    return b"\x92" + shape + b"\x91" + change


ANSWERS = st.one_of(
    st.sampled_from(
        [b"", b"TSY1", wire.pack(b"\x80"), wire.pack(b"\xc1"), wire.pack(b"\x81\xa2zz" + b"\x91" * 100_000)]
    ),
    st.builds(
        lambda *numbers: wire.pack(
            msgspec.msgpack.encode(dict(zip(("id", "step", "n", "token", "plan_version"), numbers, strict=True)))
        ),
        *[st.sampled_from([0, 1, -1, 2**63 - 1, 2**64 - 1, 2**31])] * 5,
    ),
)
"""What a till may answer to a comparison that nobody asked for."""


def bomb(claimed: int) -> bytes:
    """A small frame that unfolds into 64 MB, whatever it claims, in two places."""
    body = b"\0" * BOMB_BYTES
    return struct.pack(">4sII", wire.MAGIC, zlib.crc32(body[:claimed]), claimed) + zstandard.compress(body)


@st.composite
def parts(draw: st.DrawFn) -> list[UploadPart]:
    """A group as it is handed to the relay."""
    uid = draw(st.integers(-(2**63), 2**63 - 1))
    ends = st.builds(Position, st.sampled_from([0, 1, 5, 9, 2**62]), st.sampled_from([0, 7, -(2**63), 2**63 - 1]))
    prev = draw(st.sampled_from([ORIGIN, ORIGIN, ORIGIN, Position(3, 3)]))
    end, count = draw(ends), draw(st.sampled_from([1, 1, 1, 2, 3]))
    found = []
    for number in range(count):
        is_last = number == count - 1
        found.append(
            UploadPart(uid, number, is_last, prev, draw(st.sampled_from([end, end, end, ORIGIN])), draw(frames()))
        )
    return draw(st.permutations(found)) if draw(st.integers(0, 9)) == 0 else found


REPORTED = [
    *(
        "tick",
        "plan_version",
        "version",
        "pending",
        "clock_skew_seconds",
        "succeeded_at",
        "backup_at",
        "labels",
        "errors",
    ),
    *(
        "lacks",
        "loading",
        "extra",
        "other_machine_at",
        "notices",
        "certificate_ends_at",
        "disk_free_bytes",
        "sqlite",
        "at",
    ),
]
REPORTS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(
            [0, -1, 10**30, 2**63, 1e308, "9999-12-31T23:59:59", "0001-01-01", "\x1b[2J[red]", "x" * 5_000]
        ),
        st.integers(),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["late", "since", "due", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)

EXAMPLES = int(os.environ.get("TILLSYNC_HOSTILE_EXAMPLES", "12"))
