"""Changes of a till as they travel: positions, shapes, uploads, and what one key's changes come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

Value = None | int | float | str | bytes
"""A value as SQLite stores it: the five storage classes."""
Row = tuple[Value, ...]


class Position(NamedTuple):
    """A place in a till's changelog. The nonce is random: two histories of one till never agree after their fork."""

    seq: int
    nonce: int


ORIGIN = Position(0, 0)


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """The columns that images of a table carry: central's table name, column names, and the key among them.

    encodings: how the till stored each column when the change was captured, "" for the type's own way; empty where none
    had an encoding. A till of an earlier version does not say, and those of the plan are taken.
    """

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    encodings: tuple[str, ...] = ()


class Change(NamedTuple):
    """One captured change: `op` is I, U or D; `old` and `new` are images in the order of `shape.columns`; `at` is when,
    in milliseconds since 1970 by the till's clock."""

    seq: int
    nonce: int
    shape: int
    op: str
    old: Row | None
    new: Row | None
    at: int = 0


class Upload(msgspec.Struct, frozen=True, array_like=True):
    """One part of an upload: the shapes that its changes refer to by index, and the changes in order of position.

    Images are rows of `Value`. msgspec cannot say text or bytes in one union, so who reads a part checks them.
    clock: (how far the till's clock is ahead of the relay's, the relay's time of sending), in milliseconds; stamps:
    when each change was captured by the till's clock, or 0. Both only where a policy asks; a till of an earlier version
    never sends them.
    """

    shapes: list[Shape]
    changes: list[tuple[int, int, int, str, tuple[Any, ...] | None, tuple[Any, ...] | None]]
    clock: tuple[int, int] = (0, 0)
    stamps: list[int] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Upload)


def encode_upload(
    shapes: list[Shape],
    changes: Iterable[tuple[int, int, int, str, Row | None, Row | None]],
    clock: tuple[int, int] = (0, 0),
    stamps: Sequence[int] = (),
) -> bytes:
    """An upload part as msgpack: SQLite's storage classes are msgpack's own types, so every value stays exact."""
    return _encoder.encode((shapes, list(changes), clock, stamps) if stamps else (shapes, list(changes)))


def decode_upload(body: bytes) -> Upload:
    """Read an upload part. Raises msgspec.MsgspecError where it is malformed: the caller knows whose it is."""
    try:
        return _decoder.decode(body)
    except (RecursionError, UnicodeDecodeError) as e:  # too deep, or a text that is none
        raise msgspec.DecodeError(str(e)) from e
