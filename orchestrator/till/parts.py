"""Parts of a tick as rows for the till: unpacked and checked before the file is locked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from orchestrator.core import wire
from orchestrator.core.values import from_wire
from orchestrator.errors import TillsyncError
from orchestrator.relay.client import Part, TickHead
from orchestrator.till.target import Layout, Target, layout

EARLY_BYTES_MAX = 8 * 1024 * 1024
"""Ticks up to this size (as JSON) are decoded before the file is locked; larger ones part by part, to save memory."""

Rows = list[list[Any]]


class _Head(msgspec.Struct):
    t: str
    c: tuple[str, ...]


class _Puts(msgspec.Struct):
    put: list[list[Any]] = []


class _Cuts(msgspec.Struct):
    cut: list[list[Any]] = []


# What a decoder is not asked for it skips, which is quick.
_head = msgspec.json.Decoder(_Head)
_puts = msgspec.json.Decoder(_Puts)
_cuts = msgspec.json.Decoder(_Cuts)


class Piece:
    """One part: rows of one table that are put, keys of it that are cut. Both in the till's values."""

    def __init__(self, part: Part, raw: bytes, found: Layout) -> None:
        self.stream, self.kind, self.layout = part.stream, part.kind, found
        self._raw, self.size = raw, len(raw)
        self._early: tuple[Rows, Rows] | None = None

    def decode(self) -> None:
        """Keeps the rows from now on; without it they are decoded each time they are asked for."""
        self._early = (self.puts(), self.cuts())
        self._raw = b""

    def puts(self) -> Rows:
        """Rows in the order of `layout.columns`."""
        if self._early is not None:
            return self._early[0]
        with self._readable():
            return _for_till(self.layout, _puts.decode(self._raw).put)

    def cuts(self) -> Rows:
        """Keys in the order of the target's key."""
        if self._early is not None:
            return self._early[1]
        with self._readable():
            key = self.layout.target.table.till_key
            return _converted(_cuts.decode(self._raw).cut, [from_wire(c) for c in key])

    def keys(self) -> Rows:
        """The keys of everything that is put or cut."""
        places = self.layout.key_places
        return [*([row[p] for p in places] for row in self.puts()), *self.cuts()]

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (msgspec.MsgspecError, ValueError, IndexError) as e:
            raise _unreadable(self.layout.target.table.name, e) from e


def pieces(parts: Sequence[Part], targets: Mapping[str, Target]) -> list[Piece]:
    """Unpacks parts; those of tables that the plan does not have are left out. Raises TS-602 for a damaged frame."""
    made: list[Piece] = []
    for part in parts:
        raw = wire.unpack(part.frame)
        try:
            head = _head.decode(raw)
        except msgspec.MsgspecError as e:
            raise _unreadable(f"stream {part.stream}", e) from e
        target = targets.get(head.t)
        if target is not None and (found := layout(target, head.c)).is_complete:
            made.append(Piece(part, raw, found))
    return made


def decode_early(ticks: Sequence[tuple[TickHead, Sequence[Piece]]]) -> None:
    """Decodes ahead of the lock what is small enough to be held in memory."""
    left = EARLY_BYTES_MAX
    for piece in (p for _, found in ticks for p in found):
        left -= piece.size
        if left >= 0:
            piece.decode()


def _unreadable(what: str, e: Exception) -> TillsyncError:
    return TillsyncError("TS-530", f"a part of {what} cannot be read: {e}", hint="look at head office's log")


def _for_till(found: Layout, rows: Rows) -> Rows:
    if not found.is_plain:
        rows = [[row[p] for p in found.places] for row in rows]
    # SQLite takes a Python bool for the integer that it is.
    return _converted(rows, [None if c.kind == "bool" else from_wire(c) for c in found.columns])


def _converted(rows: Rows, converters: Sequence[Any]) -> Rows:
    for place, convert in enumerate(converters):
        if convert is not None:
            for row in rows:
                row[place] = convert(row[place])
    return rows
