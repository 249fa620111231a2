"""What head office and a till tell each other while they compare: questions that ride in a tick, answers to them. Pure.

A comparison narrows down in steps, each at a tick of its own: one digest of a table, digests of its buckets, rows.
"""

from __future__ import annotations

import msgspec

from orchestrator.core import wire
from orchestrator.core.books import BookAnswer, BookAsk
from orchestrator.core.digest import Texts
from orchestrator.errors import TillsyncError

ROWS_MAX = 5_000
"""So many rows of a table are told in one answer; what is beyond is said to be there."""

BYTES_MAX = 1_000_000
"""An answer that packs to more is cut until it fits: the relay takes no more."""

MARKS_MAX = 120_000
"""Likewise of marks: the relay takes an answer of 1 MB."""


class TableAsk(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked of one table: of the buckets `within` (which are `within_bits` deep) either the digests of their
    parts that are `bits` deep, or (`rows`) the rows, or (`listed`) a mark of every row. `low`: only rows whose first
    key column is not below.
    `without`: columns that are not compared, since the till does not have them."""

    bits: int = 0
    within_bits: int = 0
    within: tuple[int, ...] = (0,)
    rows: bool = False
    listed: bool = False
    low: str | None = None
    without: tuple[str, ...] = ()


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a comparison. `tables`: by head office's name; None: one digest of each table there is. `books`:
    checks of the books; None: one digest of each."""

    id: int
    step: int
    tables: dict[str, TableAsk] | None = None
    books: dict[str, BookAsk] | None = None


class TableAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`buckets`: bucket, count, and the two halves of its digest. `rows`: canonical texts of the compared columns.
    `marks`: of each row eight bytes, half of its key's hash and half of its own.

    Keys are canonical texts: `pending` those with changes that head office has not answered, `parked` those of changes
    that it could not take, `waiting` those of its rows that the till could not put, with the reason. `lacks`: columns
    that the till does not have, or '' for the whole table. `low`: the lowest value of the first key column, where that
    is a number. `cut`: there are more rows than are told.
    """

    buckets: tuple[tuple[int, int, int, int], ...] = ()
    rows: tuple[Texts, ...] = ()
    pending: tuple[Texts, ...] = ()
    parked: tuple[Texts, ...] = ()
    waiting: tuple[tuple[Texts, str], ...] = ()
    lacks: tuple[str, ...] = ()
    low: str | None = None
    cut: bool = False
    marks: bytes = b""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A till's side as of a tick. `streams`: channel -> the stream whose rows it has whole. `missed`: the till has gone
    on to another tick before it could answer."""

    id: int
    step: int
    n: int
    token: int
    plan_version: int
    streams: dict[str, int] = {}
    tables: dict[str, TableAnswer] = {}
    missed: bool = False
    books: dict[str, BookAnswer] = {}


class Again(msgspec.Struct, frozen=True):
    """Rows that a till is to send as if they were new: by head office's name of the table, their keys as they are shown
    in a report."""

    id: int
    keys: dict[str, tuple[Texts, ...]]


def pack(answer: Answer, bytes_max: int = BYTES_MAX) -> bytes:
    """An answer as it is stored and sent. What makes it too large is told by half, again and again, and is `cut`."""
    while True:
        body = msgspec.msgpack.encode(answer)
        frame = wire.pack(body) if len(body) <= wire.BODY_BYTES_MAX else b""
        largest = max(answer.tables, key=lambda name: len(msgspec.msgpack.encode(answer.tables[name])), default=None)
        if largest is None or (frame and len(frame) <= bytes_max):
            return frame or wire.pack(body)
        answer = msgspec.structs.replace(answer, tables={**answer.tables, largest: _halved(answer.tables[largest])})


def _halved(table: TableAnswer) -> TableAnswer:
    rows, buckets = table.rows[: len(table.rows) // 2], table.buckets[: len(table.buckets) // 2]
    marks = table.marks[: len(table.marks) // 2 // 8 * 8]
    lists = {n: getattr(table, n)[: len(getattr(table, n)) // 2] for n in ("pending", "parked", "waiting")}
    given = {**lists, "rows": rows, "buckets": buckets, "marks": marks} if rows or buckets or marks else lists
    return msgspec.structs.replace(table, **given, cut=True)


def unpack(frame: bytes) -> Answer:
    """Raises TS-801 for what is no answer."""
    try:
        return msgspec.msgpack.decode(wire.unpack(frame), type=Answer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as e:
        raise TillsyncError("TS-801", f"a till's answer cannot be read: {e}", hint="upgrade the older end") from e
