"""An upload group as it travels: its parts brought together, its changes by shape, its positions for the ledger."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg

from orchestrator import assets
from orchestrator.central.spool import Spool
from orchestrator.central.stamps import Stamps
from orchestrator.core import wire
from orchestrator.core.changes import Position, Shape, decode_upload
from orchestrator.errors import TillsyncError
from orchestrator.relay.messages import FetchedUpload


@dataclass(frozen=True)
class Group:
    """A complete upload group with its frames in a spool."""

    node: str
    uid: int
    prev: Position
    end: Position
    spool: Spool

    @property
    def ends(self) -> dict[str, int]:
        """Its ends as parameters of a query."""
        prev, end = self.prev, self.end
        return {"prev_seq": prev.seq, "prev_nonce": prev.nonce, "end_seq": end.seq, "end_nonce": end.nonce}


class Positions:
    """The positions of a group's changes, kept small: two machine words for each."""

    def __init__(self) -> None:
        self._seqs, self._nonces = array("q"), array("q")

    @property
    def range(self) -> tuple[int, int]:
        return (min(self._seqs), max(self._seqs)) if self._seqs else (0, 0)

    def add(self, changes: Iterable[tuple[Any, ...]]) -> None:
        for change in changes:
            self._seqs.append(change[0])
            self._nonces.append(change[1])

    def note(self, conn: psycopg.Connection, group: Group) -> None:
        """Enter them in the ledger, with the group's end, which may be the position of no change."""
        if group.end != group.prev and (not self._seqs or (self._seqs[-1], self._nonces[-1]) != group.end):
            self.add([group.end])
        if self._seqs:
            first, last = self.range
            given = {"node": group.node, "uid": group.uid, "first": first, "last": last}
            arrays = {"seqs": _literal(self._seqs), "nonces": _literal(self._nonces)}
            conn.execute(assets.query("central/merge.note_inbound"), given | arrays)


def spooled(node: str, parts: Iterable[FetchedUpload], spool: Spool) -> tuple[Position, Position]:
    """Put a group's frames in the spool. Raises TS-310 where parts are missing or do not belong together."""
    ends: set[tuple[Position, Position]] = set()
    last = False
    for place, fetched in enumerate(parts):
        part = fetched.part
        if part.part != place or last:
            raise TillsyncError(
                "TS-310", f"an upload of {node} has part {part.part} where {place} belongs", hint="look at its sender"
            )
        ends.add((part.prev, part.end))
        last = part.last
        spool.add((node, "upload"), part.frame)
    if not last or len(ends) != 1:
        raise TillsyncError("TS-310", f"an upload of {node} is not whole", hint="look at its sender")
    return ends.pop()


def first_change(group: Group) -> int:
    """The number of its first part's first change, 0 where that has none. Raises TS-310 where it cannot be read."""
    positions = Positions()
    _, _, frame = next(group.spool.parts())
    for _ in by_shape(frame, group, positions, Stamps()):
        pass
    return positions.range[0]


def by_shape(
    frame: bytes, group: Group, positions: Positions, stamps: Stamps
) -> Iterator[tuple[Shape, list[tuple[Any, ...]]]]:
    """The changes (seq, nonce, op, old, new) of a part, by shape in the order of their first change."""
    try:
        upload = decode_upload(wire.unpack(frame))
        if any("\0" in name for s in upload.shapes for name in (s.table, *s.columns, *s.key, *s.encodings)):
            raise ValueError("a name with a NUL in it")
        positions.add(upload.changes)
        stamps.add(upload)
        found: dict[int, list[tuple[Any, ...]]] = {}
        for seq, nonce, shape, op, old, new in upload.changes:
            if shape < 0:
                raise IndexError("a shape below zero")
            found.setdefault(shape, []).append((seq, nonce, op, old, new))
        yield from ((upload.shapes[index], changes) for index, changes in found.items())
    except (msgspec.MsgspecError, ValueError, IndexError, OverflowError) as e:
        raise TillsyncError(
            "TS-310", f"an upload of {group.node} cannot be read: {e}", hint="look at its sender"
        ) from e


def _literal(numbers: array[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"
