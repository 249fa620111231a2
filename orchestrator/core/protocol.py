"""What both ends decide about the order of things: pure, so that a model can play it in any order and with any fault.

A till's marks, the place of an upload in what head office knows of a node, and where a tick starts. Whoever asks has
looked up the facts; what is decided here is written down by them in the same transaction as what it goes with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from orchestrator.core.changes import ORIGIN, Position


@dataclass(frozen=True)
class Marks:
    """How far a till is. epoch: of the last tick that it applied. ack: what head office has answered. pushed: the end
    of the newest upload that the relay has. resend: send again everything after it, where that was asked for."""

    epoch: int
    ack: Position
    pushed: Position
    resend: Position | None = None


def aligned(now: Marks, top: Position, *, is_own: bool, ends: Sequence[Position] = ()) -> Marks:
    """The relay's newest upload of the till ends at `top`, and the till's mark says otherwise.

    Where `top` is a position of this file (is_own), the mark was lost, or the relay's tail. Otherwise the file was
    restored; `ends`: the ends of the relay's uploads that are its own.
    """
    if top == ORIGIN:
        return replace(now, pushed=now.ack)
    return replace(now, pushed=top if is_own else max([*ends, now.ack], key=lambda p: p.seq))


def stretch(now: Marks, newest: Position | None) -> tuple[Position, Position] | None:
    """Between which positions an upload lies, `newest` being the changelog's; None where there is nothing to send.

    What is sent again is sent even where it is nothing: head office has to hear that this is all.
    """
    start = now.pushed if now.resend is None else now.resend
    end = newest if newest is not None and newest.seq > start.seq else start
    return None if end == start and now.resend is None else (start, end)


def answered(now: Marks, epoch: int, ack: Position, *, is_own: bool, gap: bool, is_anew: bool = False) -> Marks:
    """The marks after a tick that says `ack`. is_own: whether that is a position of this file's own history. is_anew:
    the till's last tick is none of the relay's any more, and this is the first that it takes instead."""
    is_new_epoch = epoch != now.epoch
    # What was answered in a tick that nobody has any more was not answered: head office alone came back from a backup,
    # or with the relay from those of one moment.
    is_lost = is_new_epoch or is_anew
    mine, pushed, resend = now.ack, now.pushed, now.resend
    if is_own:
        if ack.seq > mine.seq or is_lost:
            mine = ack
        if is_new_epoch and mine.seq < pushed.seq:
            resend = resend or mine  # head office lost what came after; the relay may have purged it since
    else:
        resend = resend or mine  # it speaks of a history that this file does not have: it was restored from a backup
        if is_lost:
            mine = pushed = resend = ORIGIN
    if gap:
        resend = resend or mine
    return Marks(epoch, mine, pushed, resend)


class Place(Enum):
    """Where an upload stands in what head office knows of its node."""

    TAKEN = auto()  # it was merged whole, and the relay has not heard of it
    FORGOTTEN = auto()  # it starts before what head office remembers positions of
    GAP = auto()  # what comes before it has never arrived
    NEXT = auto()  # it is to be merged


@dataclass(frozen=True)
class Standing:
    """A node's history as seen from an upload from `prev` to `end`. taken: its id is known. prev_known, end_known:
    whether these positions have been merged. applied: the end of what was merged last. straight: nothing beyond that
    was ever merged. floor: the number from which on positions are remembered. first: the number of its first change,
    looked up where it starts at the origin."""

    prev: Position
    end: Position
    taken: bool
    prev_known: bool
    end_known: bool
    applied: Position
    straight: bool
    floor: int
    first: int = 0

    @property
    def place(self) -> Place:
        if self.taken:
            return Place.TAKEN
        if self.prev.seq < self.floor and not self._begins_later:
            return Place.FORGOTTEN
        return Place.NEXT if self.prev_known else Place.GAP

    @property
    def _begins_later(self) -> bool:
        """A till that goes back to the origin sends what it still has, and that begins where it was purged last."""
        return self.prev == ORIGIN and self.first > self.floor

    @property
    def follows(self) -> bool:
        """Whether every change of it is new: each position need not be looked up."""
        return self.straight and self.applied == self.prev

    @property
    def stays_straight(self) -> bool:
        """Whether, when it is merged, nothing beyond its end has ever been."""
        is_fresh = not self.end_known
        return is_fresh or (self.follows and self.end == self.prev)


def overtaken(seen: Iterable[tuple[str, int, Place]]) -> frozenset[tuple[str, int]]:
    """Of the uploads that one round met (node, id, place), in the order in which they came: those in a gap that will
    never be closed.

    A till that is asked to send again sends all that it has after what head office knows. Where that went in and a gap
    before it is one still, the upload in the gap is of a history that its till has no longer, and what came before it
    is nowhere. It is merged as it is: what it tells of would be lost, and would be asked for in every round.
    """
    waiting: dict[str, list[int]] = {}
    found: set[tuple[str, int]] = set()
    for node, uid, place in seen:
        if place is Place.GAP:
            waiting.setdefault(node, []).append(uid)
        else:
            found.update((node, uid) for uid in waiting.pop(node, ()))
    return frozenset(found)


@dataclass(frozen=True)
class Base:
    """Where a tick starts: after tick `n`, of which head office has the intent. n is 0 for the very first tick, and
    less for a new epoch. rewound: what was intended beyond it did not happen. whole: nothing is known of the relay, so
    every stream goes anew."""

    n: int
    epoch: int
    rewound: bool = False
    whole: bool = False


def base_of(top: int, epochs: tuple[int, int], *, is_intended: bool, newest: int, published: bool) -> Base:
    """Where the next tick starts.

    top: the number of the relay's newest tick, 0 for none; is_intended: its token is one of this very head office's.
    epochs: head office's and the relay's. newest: the number of head office's newest intent; published: whether any
    tick of it was ever published.
    """
    here, there = epochs
    if here == there and top and is_intended:
        return Base(top, here, rewound=newest > top)
    if here == there and top == 0 and not published:
        return Base(0, here, rewound=newest > 0, whole=True)
    # Tills have seen what head office has lost, or the relay has lost everything.
    return Base(-1, max(epochs) + 1, whole=True)
