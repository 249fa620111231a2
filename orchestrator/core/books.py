"""Checks of the books: what both ends make of one, and where they differ. Pure.

A check is two SELECTs, one for each end, that have to give the same rows. The first columns (`group`) tell the rows
apart: a day, an item, a customer. Both ends make digests of their rows as for tables (`core.digest`), so that a check
that holds costs some bytes; where it does not, the ends narrow down to the groups that differ.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from orchestrator.core.digest import Sum, Texts, bits_for, bucket, hashed, row_text, shown, till_text
from orchestrator.core.plan import Book, Column
from orchestrator.core.reconciliation import DIFFERENCES_MAX, BookComparison, BookDifference

GROUPS_MAX = 200_000
"""A check that gives more rows is no check of sums."""

ROWS_MAX = 5_000
"""So many groups are told in one answer."""

FAILED_CHARS_MAX = 300
BITS_MAX = 12
BUCKETS_MAX = 500
"""So many differing buckets are asked about: about 4 000 groups."""


class BookAsk(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked of a check: of the buckets `within` either the digests of their parts, or (`rows`) the rows."""

    bits: int = 0
    within_bits: int = 0
    within: tuple[int, ...] = (0,)
    rows: bool = False


class BookAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One end of a check. `buckets`: bucket, count, and the two halves of its digest. `failed`: why there is none.
    `in_flight`, `parked`: by table that the check reads, changes that are on their way or wait for a decision."""

    groups: int = 0
    buckets: tuple[tuple[int, int, int, int], ...] = ()
    rows: tuple[Texts, ...] = ()
    cut: bool = False
    failed: str = ""
    in_flight: dict[str, int] = {}
    parked: dict[str, int] = {}


def texts_of(book: Book, rows: Iterable[Sequence[object]]) -> Iterable[Texts]:
    """A till's rows as canonical texts; head office's are made in SQL (`core.digest.central_text`)."""
    ways = [till_text(column, sent_up=True) for column in book.columns]
    for row in rows:
        yield tuple(way(value) for way, value in zip(ways, row, strict=True))  # type: ignore[arg-type]


def answer(book: Book, rows: Iterable[Texts], ask: BookAsk) -> BookAnswer:
    """What an end says of its rows."""
    width, within = len(book.group), frozenset(ask.within)
    sums: dict[int, Sum] = {}
    told: list[Texts] = []
    seen: set[Texts] = set()
    for row in rows:
        if row[:width] in seen:
            return BookAnswer(failed=f"two rows for {_said(book, row[:width])}")
        if len(seen) == GROUPS_MAX:
            return BookAnswer(failed=f"more than {GROUPS_MAX:,} groups")
        seen.add(row[:width])
        key_hash = hashed(row_text(row[:width]))
        if bucket(key_hash, ask.within_bits) not in within:
            continue
        if ask.rows:
            told.append(row)
        else:
            sums.setdefault(bucket(key_hash, ask.bits), Sum()).add(hashed(row_text(row)))
    buckets = tuple((number, *total.digest) for number, total in sorted(sums.items()))
    return BookAnswer(len(seen), buckets, tuple(told[:ROWS_MAX]), cut=len(told) > ROWS_MAX)


def fitted(book: Book, ask: BookAsk, said: BookAnswer, tables: Container[str]) -> BookAnswer:
    """A till's answer as far as it can be one: whoever makes it up gets a check that failed, and nobody else does."""
    is_wide = all(len(row) == len(book.columns) for row in said.rows)
    keys = {row[: len(book.group)] for row in said.rows}
    if not is_wide or len(keys) < len(said.rows) or len(said.rows) > ROWS_MAX or (said.rows and not ask.rows):
        return BookAnswer(failed="its answer does not fit the check")
    ways, parked = ({t: n for t, n in by.items() if t in tables} for by in (said.in_flight, said.parked))
    return msgspec.structs.replace(said, failed=said.failed[:FAILED_CHARS_MAX], in_flight=ways, parked=parked)


def next_ask(ask: BookAsk, central: BookAnswer, till: BookAnswer) -> BookAsk | None:
    """What is to be asked next, None where everything is known."""
    if central.failed or till.failed or ask.rows or not (differing := _differing(central, till)):
        return None
    groups = max(central.groups, till.groups)
    if ask.bits or groups <= ROWS_MAX // 10:
        return BookAsk(0, ask.bits, tuple(differing[:BUCKETS_MAX]), rows=True)
    return BookAsk(bits=min(BITS_MAX, bits_for(groups)))


def compared(book: Book, ask: BookAsk, central: BookAnswer, till: BookAnswer) -> BookComparison:
    """What the two ends come to, where nothing more is to be asked; a check that differs over rows on their way is
    not made."""
    failed = [f"{end}: {side.failed}" for end, side in (("head office", central), ("till", till)) if side.failed]
    if failed:
        return BookComparison(book.name, book.message, False, "failed", note="; ".join(failed))
    groups = max(central.groups, till.groups)
    found, more = _differences(book, central, till) if ask.rows else ((), False)
    is_differing = bool(found) or (not ask.rows and bool(_differing(central, till)))
    if is_differing and till.in_flight:
        note = _counted(till.in_flight, "on the way")
        return BookComparison(book.name, book.message, True, "in_flight", groups, note)
    note = _counted(till.parked, "parked") if is_differing else ""
    is_cut = is_differing and (more or len(ask.within) == BUCKETS_MAX)
    return BookComparison(book.name, book.message, not is_differing, "compared", groups, note, is_cut, found)


def _differing(central: BookAnswer, till: BookAnswer) -> list[int]:
    ours, theirs = ({b[0]: b for b in side.buckets} for side in (central, till))
    return sorted(number for number in ours.keys() | theirs.keys() if ours.get(number) != theirs.get(number))


def _differences(book: Book, central: BookAnswer, till: BookAnswer) -> tuple[tuple[BookDifference, ...], bool]:
    width = len(book.group)
    ours, theirs = ({row[:width]: row[width:] for row in side.rows} for side in (central, till))
    # Of an answer that was cut only the groups that both ends told are known.
    keys = ours.keys() & theirs.keys() if central.cut or till.cut else ours.keys() | theirs.keys()
    found = (
        BookDifference(_group(book, key), column.name, shown(column, here), shown(column, there))
        for key in sorted(keys, key=lambda k: [t or "" for t in k])
        for column, here, there in _values(book, ours.get(key), theirs.get(key))
    )
    listed = tuple(islice(found, DIFFERENCES_MAX + 1))
    return listed[:DIFFERENCES_MAX], len(listed) > DIFFERENCES_MAX or central.cut or till.cut


def _values(book: Book, here: Texts | None, there: Texts | None) -> Iterable[tuple[Column, str | None, str | None]]:
    """The values of a group that differ: all of them where one end has no such group."""
    columns = book.columns[len(book.group) :]
    nothing = (None,) * len(columns)
    for column, a, b in zip(columns, here or nothing, there or nothing, strict=True):
        if a != b or here is None or there is None:
            yield column, a, b


def _group(book: Book, key: Texts) -> dict[str, str | None]:
    named = zip(book.columns, key, strict=False)
    return {column.name: shown(column, text) for column, text in named}


def _said(book: Book, key: Texts) -> str:
    return ", ".join(f"{name} {'NULL' if text is None else text}" for name, text in _group(book, key).items()) or "all"


def _counted(changes: Mapping[str, int], what: str) -> str:
    """Such as `2 changes of sales_order are parked`."""
    return ", ".join(
        f"{count} {'change' if count == 1 else 'changes'} of {table.removeprefix('public.')}"
        f" {'is' if count == 1 else 'are'} {what}"
        for table, count in sorted(changes.items())
    )
