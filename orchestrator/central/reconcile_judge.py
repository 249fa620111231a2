"""What two sides of a comparison come to, and what is asked next. Pure: both sides as data in, the next question out.

A table that differs is narrowed down: its digest, those of its buckets, their rows. A row counts as a difference when
it differed at two ticks, and is neither on its way nor set aside for a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

import msgspec

from orchestrator.core.comparing import ROWS_MAX, TableAnswer, TableAsk
from orchestrator.core.digest import SPLIT_BITS_MAX, Texts, bits_for, shown
from orchestrator.core.plan import Channel, Column, Table
from orchestrator.core.reconciliation import (
    ColumnDifference,
    Kind,
    RowDifference,
    TableComparison,
)

LEAVES_MAX = 512
"""So many differing buckets are followed to their rows."""

BUCKETS_MAX = 16_384
"""So many digests are asked for in one step."""

NUMBER = re.compile(r"-?[0-9]{1,19}")
"""What the lowest key of a till can be: it goes into head office's SQL."""

Digest = tuple[int, int, int]


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """What earlier steps found of a table. `suspects`: keys that differed once, and were not on their way. `done`: what
    it came to."""

    central_rows: int = 0
    till_rows: int = 0
    truncated: bool = False
    suspects: tuple[Texts, ...] | None = None
    in_flight: int = 0
    done: TableComparison | None = None


@dataclass(frozen=True)
class Side:
    """Head office's side of one question: digests by bucket, or rows; keys that were in conflict; and hashes of keys
    whose rows, as a till marked them, head office does not have."""

    digests: Mapping[int, Digest]
    rows: Sequence[Texts]
    conflicts: frozenset[Texts]
    unlisted: Sequence[int] = ()


@dataclass(frozen=True)
class Subject:
    """The table that is compared, and the columns in the order of the texts."""

    channel: Channel
    table: Table
    columns: tuple[Column, ...]

    @property
    def key_places(self) -> list[int]:
        names = [c.name for c in self.columns]
        return [names.index(c.name) for c in self.table.till_key]

    @property
    def is_one_way(self) -> bool:
        """Only what the till has is looked for at head office: it may tidy up after itself, and others send, too."""
        return not self.channel.goes_down

    def key(self, texts: Texts) -> Texts:
        return tuple(texts[p] for p in self.key_places)


def judge(
    subject: Subject, ask: TableAsk, answer: TableAnswer, side: Side, found: Found
) -> tuple[TableAsk | None, Found]:
    """The next question, or None where `Found.done` says what it came to."""
    if "" in answer.lacks:
        return None, _done(subject, found, note="the till does not have this table, or not its key")
    if set(answer.lacks) - set(ask.without):
        return msgspec.structs.replace(ask, without=tuple(sorted(answer.lacks))), found
    if answer.cut or len(side.rows) > ROWS_MAX:
        found = msgspec.structs.replace(found, truncated=True)
    if ask.rows:
        return _judge_rows(subject, ask, answer, side, found)
    if ask.listed:
        return _judge_marks(subject, ask, answer, side, found)
    theirs = {number: (rows, hi, lo) for number, rows, hi, lo in answer.buckets}
    if not ask.within_bits and not ask.bits:
        return _judge_whole(subject, ask, answer, side.digests.get(0, (0, 0, 0)), theirs.get(0, (0, 0, 0)), found)
    differing = sorted(
        number
        for number in theirs.keys() | side.digests.keys()
        if theirs.get(number) != side.digests.get(number) and (number in theirs or not subject.is_one_way)
    )
    if subject.is_one_way and len(differing) > LEAVES_MAX // 2:
        return _listed(ask), found
    return (_narrowed(ask, differing, found)) if differing else (None, _done(subject, found, ask=ask))


def _judge_whole(
    subject: Subject, ask: TableAsk, answer: TableAnswer, ours: Digest, theirs: Digest, found: Found
) -> tuple[TableAsk | None, Found]:
    if ask.low is None:
        found = msgspec.structs.replace(found, central_rows=ours[0], till_rows=theirs[0])
    if ours == theirs or (subject.is_one_way and not theirs[0]):
        return None, _done(subject, found, ask=ask)
    if subject.is_one_way and ask.low is None and NUMBER.fullmatch(answer.low or ""):
        return msgspec.structs.replace(ask, low=answer.low), found  # what the till has no more is not compared
    if subject.is_one_way and ours[0] > theirs[0]:
        return _listed(ask), found
    return _narrowed(ask, [0], found)


def _listed(ask: TableAsk) -> TableAsk:
    """Every row of the till's by its mark: head office has others' rows beside them, and no digest tells them apart."""
    return TableAsk(listed=True, low=ask.low, without=ask.without)


def _judge_marks(
    subject: Subject, ask: TableAsk, answer: TableAnswer, side: Side, found: Found
) -> tuple[TableAsk | None, Found]:
    if not side.unlisted:
        return None, _done(subject, found, ask=ask)
    leaf = bits_for(max(found.central_rows, found.till_rows))
    differing = sorted({key_hash >> (32 - leaf) for key_hash in side.unlisted})
    if len(differing) > LEAVES_MAX:
        differing, found = differing[:LEAVES_MAX], msgspec.structs.replace(found, truncated=True)
    rows = TableAsk(leaf, leaf, tuple(differing), rows=True, low=ask.low, without=ask.without)
    return rows, found


def _narrowed(ask: TableAsk, differing: Sequence[int], found: Found) -> tuple[TableAsk, Found]:
    """Parts of the buckets that differ, or their rows where they are small."""
    depth = ask.bits
    leaf = bits_for(max(found.central_rows, found.till_rows))
    step = min(SPLIT_BITS_MAX, leaf - depth)
    most = LEAVES_MAX if step <= 0 else max(1, BUCKETS_MAX >> step)
    if len(differing) > most:
        differing, found = differing[:most], msgspec.structs.replace(found, truncated=True)
    deeper = msgspec.structs.replace(ask, within_bits=depth, within=tuple(differing), bits=depth + max(0, step))
    return msgspec.structs.replace(deeper, rows=step <= 0), found


def _judge_rows(
    subject: Subject, ask: TableAsk, answer: TableAnswer, side: Side, found: Found
) -> tuple[TableAsk | None, Found]:
    ours = {subject.key(texts): texts for texts in side.rows}
    theirs = {subject.key(texts): texts for texts in answer.rows}
    # Of what was cut nobody knows whether it is there.
    is_told = (len(side.rows) <= ROWS_MAX, not answer.cut and not subject.is_one_way)
    differing = [
        key
        for key in sorted(ours.keys() | theirs.keys(), key=repr)
        if ours.get(key) != theirs.get(key) and (key in ours or is_told[0]) and (key in theirs or is_told[1])
    ]
    pending, parked = frozenset(answer.pending), frozenset(answer.parked)
    kept = [key for key in differing if key not in pending | parked]
    in_flight = max(found.in_flight, sum(key in pending for key in differing))
    if kept and found.suspects is None:
        return ask, msgspec.structs.replace(found, suspects=tuple(kept), in_flight=in_flight)
    suspects = frozenset(found.suspects or ())
    kept = [key for key in kept if key in suspects]
    excused = side.conflicts if subject.is_one_way else frozenset()
    reasons = dict(answer.waiting)
    rows = [
        _difference(subject, key, ours.get(key), theirs.get(key), reasons.get(key, ""))
        for key in kept
        if key not in excused
    ]
    return None, _done(
        subject,
        found,
        ask=ask,
        rows=rows,
        in_flight=in_flight,
        parked=sum(key in parked and key not in pending for key in differing),
        conflicts=sum(key in excused for key in kept),
    )


def _difference(subject: Subject, key: Texts, ours: Texts | None, theirs: Texts | None, reason: str) -> RowDifference:
    kind: Kind = "different" if ours and theirs else "missing" if ours else "extra"
    nothing: Texts = (None,) * len(subject.columns)
    pairs = list(zip(subject.columns, ours or nothing, theirs or nothing, strict=True))
    columns = tuple(
        ColumnDifference(c.name, shown(c, a), shown(c, b))
        for place, (c, a, b) in enumerate(pairs)
        if a != b and place not in subject.key_places
    )
    notes = {note for c in columns if (note := _note(c.central, c.till))} | (
        {f"waits at the till: {reason}"} if reason else set()
    )
    names = zip(subject.table.till_key, key, strict=True)
    return RowDifference({c.name: shown(c, v) for c, v in names}, kind, "; ".join(sorted(notes)), columns)


def _note(ours: str | None, theirs: str | None) -> str:
    """Why two texts that look alike are not the same."""
    if ours is None or theirs is None:
        return "NULL against an empty text" if not (ours or theirs) else ""
    if normalize("NFC", ours) == normalize("NFC", theirs):
        return "the texts look the same: letters with marks are one character here and two there (NFC, NFD)"
    if ours.split() == theirs.split():
        return "the texts differ in blanks only"
    return "the texts differ in capitals only" if ours.casefold() == theirs.casefold() else ""


def _done(
    subject: Subject,
    found: Found,
    *,
    ask: TableAsk | None = None,
    rows: Sequence[RowDifference] = (),
    in_flight: int = 0,
    parked: int = 0,
    conflicts: int = 0,
    note: str = "",
) -> Found:
    """The comparison's end for a table."""
    if ask is not None and ask.without:
        note = f"not compared, since the till does not have it: {', '.join(ask.without)}"
    done = TableComparison(
        table=subject.table.name,
        channel=subject.channel.name,
        direction=subject.channel.direction,
        central_rows=found.central_rows,
        till_rows=found.till_rows,
        missing=_count(rows, "missing"),
        extra=_count(rows, "extra"),
        different=_count(rows, "different"),
        in_flight=in_flight,
        parked=parked,
        conflicts=conflicts,
        truncated=found.truncated,
        differences=tuple(rows),
        note=note,
    )
    return msgspec.structs.replace(found, done=done, suspects=None)


def _count(rows: Iterable[RowDifference], kind: Kind) -> int:
    return sum(row.kind == kind for row in rows)
