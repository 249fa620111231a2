"""Parts of a tick as rows for the till: unpacked and checked before the file is locked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from orchestrator.core import wire
from orchestrator.core.comparing import Again, Ask
from orchestrator.core.values import from_wire, outgrows
from orchestrator.errors import RowFault, TillsyncError
from orchestrator.relay.messages import Part
from orchestrator.till.target import Layout, Target, layout

Rows = list[list[Any]]
Unfit = list[tuple[list[Any], str]]
"""Rows as they came, in the order of `layout.columns`, that the till cannot hold as they are, and why."""


class _Head(msgspec.Struct):
    t: str
    c: tuple[str, ...]
    after: bool = False


class News(msgspec.Struct, frozen=True):
    """What an echo part says of changes of this till's, by their positions: parked at central, or done with; of its
    streams: moved from one to another; and what it asks: to compare, to send rows again. lost: changes of this till's
    that did not stand: table, key, column, what the till wrote, what stands."""

    held: tuple[tuple[int, int, str], ...] = ()
    free: tuple[tuple[int, int], ...] = ()
    moved: tuple[tuple[int, int], ...] = ()
    compare: Ask | None = None
    again: Again | None = None
    lost: tuple[tuple[str, dict[str, str], str, str | None, str | None], ...] = ()


class _Puts(msgspec.Struct):
    put: list[list[Any]] = []


class _Cuts(msgspec.Struct):
    cut: list[list[Any]] = []


# What a decoder is not asked for it skips, which is quick.
_head = msgspec.json.Decoder(_Head)
_news = msgspec.json.Decoder(News)
_puts = msgspec.json.Decoder(_Puts)
_cuts = msgspec.json.Decoder(_Cuts)


class Piece:
    """One part: rows of one table that are put, keys of it that are cut. Both in the till's values."""

    def __init__(self, part: Part, raw: bytes, found: Layout, *, kind: str) -> None:
        self.stream, self.kind, self.layout = part.stream, kind, found
        self._raw, self.size = raw, len(raw)
        self._early: tuple[Rows, Rows] | None = None
        self.unfit: Unfit = []

    def decode(self) -> None:
        """Keeps the rows from now on; without it they are decoded each time they are asked for."""
        self._early = (self.puts(), self.cuts())
        self._raw = b""

    def puts(self) -> Rows:
        """Rows in the order of `layout.columns`. Those that the till cannot hold are in `unfit` afterwards."""
        if self._early is not None:
            return self._early[0]
        with self._readable():
            found, self.unfit = _for_till(self.layout, _puts.decode(self._raw).put)
            return found

    def cuts(self) -> Rows:
        """Keys in the order of the target's key."""
        if self._early is not None:
            return self._early[1]
        with self._readable():
            key = self.layout.target.table.till_key
            return _converted(_cuts.decode(self._raw).cut, [from_wire(c) for c in key])

    def applies(self, loaded: Mapping[int, bool]) -> bool:
        """Whether this till has use for it, by the streams that it takes and whether they are loaded."""
        is_loaded = loaded.get(self.stream)
        wanted = {"echo": True, "move": True, "delta": is_loaded is True, "snapshot": is_loaded is False}
        return wanted.get(self.kind, False)

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


def read(part: Part, targets: Mapping[str, Target]) -> Piece | News | None:
    """Unpacks a part; None for one of a table that the plan does not have. Raises TS-602 for a damaged frame."""
    raw = wire.unpack(part.frame)
    try:
        of = _head.decode(raw)
        if not of.t:
            return _news.decode(raw)
    except msgspec.MsgspecError as e:
        raise _unreadable(f"stream {part.stream}", e) from e
    target = targets.get(of.t)
    if target is None or not (found := layout(target, of.c)).is_complete:
        return None
    return Piece(part, raw, found, kind="move" if of.after else part.kind)


def _unreadable(what: str, e: Exception) -> TillsyncError:
    return TillsyncError("TS-530", f"a part of {what} cannot be read: {e}", hint="look at head office's log")


def _for_till(found: Layout, rows: Rows) -> tuple[Rows, Unfit]:
    if not found.is_plain:
        rows = [[row[p] for p in found.places] for row in rows]
    unfit: Unfit = []
    if any(outgrows(row[p]) for p in found.narrow for row in rows):
        unfit = [(row, _outgrown(found, row)) for row in rows if any(outgrows(row[p]) for p in found.narrow)]
        rows = [row for row in rows if not any(outgrows(row[p]) for p in found.narrow)]
    # SQLite takes a Python bool for the integer that it is.
    ways = [None if c.kind == "bool" and c.encode is None else from_wire(c) for c in found.columns]
    if all(c.encode is None for c in found.columns):
        return _converted(rows, ways), unfit
    made: Rows = []
    for row in rows:
        try:
            made.append([v if way is None else way(v) for v, way in zip(row, ways, strict=True)])
        except RowFault as e:
            unfit.append((row, e.message))
    return made, unfit


def _outgrown(found: Layout, row: Sequence[Any]) -> str:
    place = next(p for p in found.narrow if outgrows(row[p]))
    return f"{found.names[place]} holds numbers, which {row[place]} does not survive: declare it TEXT, or its encode"


def _converted(rows: Rows, converters: Sequence[Any]) -> Rows:
    for place, convert in enumerate(converters):
        if convert is not None:
            for row in rows:
                row[place] = convert(row[place])
    return rows
