"""One table of a till's side of a comparison: digests of its buckets, or the rows of some; and rows sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import apsw
import msgspec

from orchestrator import assets
from orchestrator.core.comparing import MARKS_MAX, ROWS_MAX, Again, TableAnswer, TableAsk
from orchestrator.core.digest import (
    Sum,
    Texts,
    bucket,
    halves,
    hashed,
    is_compared,
    key_texts,
    row_text,
    shown,
    till_text,
)
from orchestrator.core.plan import Column
from orchestrator.core.values import quote_sqlite as q
from orchestrator.log import logger
from orchestrator.till import shapes
from orchestrator.till.changelog import settled
from orchestrator.till.database import rows
from orchestrator.till.scan import Renumbered, scan
from orchestrator.till.target import Target
from orchestrator.till.targets import targets_of

MARK_BYTES = 8

log = logger("till.reconcile")


@dataclass(frozen=True)
class Labels:
    """Keys, as the till's values in the order of the key, by head office's name of the table."""

    pending: Mapping[str, Iterable[Sequence[Any]]]
    parked: Mapping[str, Iterable[Sequence[Any]]]
    waiting: Mapping[str, Iterable[tuple[Sequence[Any], str]]]


def table_answer(db: apsw.Connection, target: Target, ask: TableAsk, lacks: Sequence[str]) -> TableAnswer:
    """The rows that are asked about, or the digests of their buckets. Raises Renumbered."""
    asked = _Asked(target, ask)
    sums: dict[int, Sum] = {}
    told: list[Texts] = []
    marks = bytearray()
    low: int | None = None
    if asked.is_whole:
        return _whole(db, target, asked, lacks)
    for row in scan(db, target, [c.till for c in asked.columns]):
        key, at = asked.place(row)
        if at is None:
            continue
        if asked.has_low and isinstance(key[0], int) and (low is None or key[0] < low):
            low = key[0]
        if ask.listed:
            marks += asked.mark(row)
            if len(marks) > MARK_BYTES * MARKS_MAX:
                return TableAnswer(marks=bytes(marks[:-MARK_BYTES]), lacks=tuple(lacks), cut=True)
        elif ask.rows:
            told.append(asked.texts(row))
            if len(told) > ROWS_MAX:
                return TableAnswer(rows=tuple(told[:ROWS_MAX]), lacks=tuple(lacks), cut=True)
        else:
            sums.setdefault(at, Sum()).add(hashed(row_text(asked.texts(row))))
    buckets = tuple((number, *total.digest) for number, total in sorted(sums.items()))
    lowest = None if low is None else str(low)
    return TableAnswer(buckets, tuple(told), lacks=tuple(lacks), low=lowest, marks=bytes(marks))


def _whole(db: apsw.Connection, target: Target, asked: _Asked, lacks: Sequence[str]) -> TableAnswer:
    """One digest of all rows, which most comparisons end with."""
    count = total = 0
    texts = asked.texts
    for row in scan(db, target, [c.till for c in asked.columns]):
        count += 1
        total ^= int.from_bytes(hashed(row_text(texts(row))), "big")
    return TableAnswer(((0, *halves(count, total)),) if count else (), lacks=tuple(lacks))


def labelled(target: Target, ask: TableAsk, answer: TableAnswer, labels: Labels) -> TableAnswer:
    """The answer with what is to be said of keys in the buckets that were asked about."""
    if not ask.rows:
        return answer
    asked, name = _Asked(target, ask), target.table.name
    pending = tuple({t for t in map(asked.key_texts, labels.pending.get(name, ())) if asked.holds(t)})
    parked = tuple({t for t in map(asked.key_texts, labels.parked.get(name, ())) if asked.holds(t)})
    waiting = {asked.key_texts(key): reason for key, reason in labels.waiting.get(name, ())}
    told = tuple((t, reason) for t, reason in waiting.items() if asked.holds(t))
    return msgspec.structs.replace(answer, pending=pending, parked=parked, waiting=told)


class _Asked:
    """How one table's rows meet what is asked of them."""

    def __init__(self, target: Target, ask: TableAsk) -> None:
        sent_up = target.channel.direction == "up"
        key = {c.name for c in target.table.till_key}
        self.columns = [c for c in target.table.columns if c.name in key or is_compared(c, sent_up=sent_up)]
        self._ask, self._within = ask, frozenset(ask.within)
        names = [c.name for c in self.columns]
        self._key_places = [names.index(c.name) for c in target.table.till_key]
        self.key_texts: Callable[[Sequence[Any]], Texts] = key_texts(target.table.till_key, sent_up=sent_up)
        self.texts: Callable[[Sequence[Any]], Texts] = key_texts(self.columns, sent_up=sent_up)
        self.has_low = sent_up and target.table.till_key[0].kind == "int"
        self._low = int(ask.low) if ask.low is not None else None
        self.is_whole = ask == TableAsk(without=ask.without) and not self.has_low

    def place(self, row: Sequence[Any]) -> tuple[Sequence[Any], int | None]:
        """The row's key, and the bucket that it is in; None for a row that is not asked about."""
        key = [row[p] for p in self._key_places]
        if self._low is not None and isinstance(key[0], int) and key[0] < self._low:
            return key, None
        if not self._ask.bits and not self._ask.within_bits:
            return key, 0
        return key, self._bucket(self.key_texts(key))

    def mark(self, row: Sequence[Any]) -> bytes:
        key = self.key_texts([row[p] for p in self._key_places])
        return hashed(row_text(key))[: MARK_BYTES // 2] + hashed(row_text(self.texts(row)))[: MARK_BYTES // 2]

    def holds(self, texts: Texts) -> bool:
        return self._bucket(texts) is not None

    def _bucket(self, texts: Texts) -> int | None:
        key_hash = hashed(row_text(texts))
        if bucket(key_hash, self._ask.within_bits) not in self._within:
            return None
        return bucket(key_hash, self._ask.bits)


def send_again(db: apsw.Connection) -> None:
    """Enters the rows that head office named as if they had just been made; then they go up, and it merges them."""
    for number, body in rows(db, "SELECT id, ask FROM tillsync_asked WHERE kind = 'again'"):
        again = msgspec.msgpack.decode(body, type=Again)
        targets = targets_of(db)
        try:
            found = {
                name: _keys(db, targets[name], keys)
                for name, keys in again.keys.items()
                if name in targets and targets[name].channel.goes_up
            }
        except Renumbered:
            continue  # the next round tries again
        with settled(db):
            for name, keys in found.items():
                _enter(db, targets[name], keys)
            db.execute("DELETE FROM tillsync_asked WHERE kind = 'again' AND id = ?", (number,))
        log.info("rows are sent again", rows=sum(map(len, found.values())))


def _keys(db: apsw.Connection, target: Target, wanted: Iterable[Texts]) -> list[Sequence[Any]]:
    """The till's own values of these keys, of the rows that are there."""
    columns: tuple[Column, ...] = target.table.till_key
    ways = [till_text(c, sent_up=target.channel.direction == "up") for c in columns]
    named = set(wanted)
    return [
        key
        for key in scan(db, target, target.key)
        if tuple(shown(c, way(v)) for c, way, v in zip(columns, ways, key, strict=True)) in named
    ]


def _enter(db: apsw.Connection, target: Target, keys: Iterable[Sequence[Any]]) -> None:
    stored = max((s for s in shapes.load(db).values() if s.shape.table == target.table.name), key=lambda s: s.id)
    sql = Template(assets.query("till/reconcile.again")).substitute(
        shape=str(stored.id),
        log_new=", ".join(f"n{i}" for i in range(1, len(stored.till_columns) + 1)),
        new=", ".join(f"t.{q(n)}" for n in stored.till_columns),
        table=target.name,
        is_key=" AND ".join(f"t.{q(k)} IS ?{i} COLLATE BINARY" for i, k in enumerate(target.key, 1)),
    )
    db.executemany(sql, keys)
