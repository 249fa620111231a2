"""Ticks as they concern this till: what they bring is read before the file is locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from orchestrator.relay.messages import Part, TickHead
from orchestrator.till.parts import News, Piece, read
from orchestrator.till.staged import Staged
from orchestrator.till.target import Target

EARLY_BYTES_MAX = 8 * 1024 * 1024
"""Ticks up to this size (as JSON) are decoded before the file is locked; larger ones part by part, to save memory."""


class Tick(NamedTuple):
    """A tick as it concerns this till. A large one has its rows in the side file: `staged`, by central's names."""

    head: TickHead
    pieces: Sequence[Piece]
    news: Sequence[News] = ()
    staged: Mapping[str, Staged] = MappingProxyType({})


def read_tick(head: TickHead, parts: Sequence[Part], targets: Mapping[str, Target]) -> Tick:
    """Unpacks parts; those of tables that the plan does not have are left out. Raises TS-602 for a damaged frame."""
    found = [read(part, targets) for part in parts]
    return Tick(head, [p for p in found if isinstance(p, Piece)], [n for n in found if isinstance(n, News)])


def decode_early(ticks: Sequence[Tick]) -> None:
    """Decodes ahead of the lock what is small enough to be held in memory."""
    left = EARLY_BYTES_MAX
    for piece in (p for tick in ticks for p in tick.pieces):
        left -= piece.size
        if left >= 0:
            piece.decode()
