"""Staging: the changes of an upload go, part by part, into typed temporary tables, one per table of the plan.

COPY is the fastest way in, and it reads values as the application's own statements would. A value that cannot be read
is found by halving the part; its change is set aside (`Unread`) and all others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from orchestrator.central.faults import is_row_fault, reason_of
from orchestrator.central.fields import Field
from orchestrator.central.pieces import Piece, comma
from orchestrator.central.unit import Unit
from orchestrator.core import values
from orchestrator.core.changes import Row, Shape
from orchestrator.errors import RowFault, TillsyncError
from orchestrator.policies.contest import Judges

Entry = tuple[int, int, str, Row | None, Row | None]
"""A change within a unit: seq, nonce, op, and the images in the order of the unit's fields."""

T = TypeVar("T")
TEXTS = {str, type(None)}
_ITS_OWN = {"TS-314": "", "TS-541": "TS541"}
"""Codes of what keeps the changes of one table from being staged, not the others': another key, a column of others."""
SEQ_MAX, NONCE_MAX = 2**62, 2**63

_AS_IS: dict[str, set[type]] = {
    "int": {int, str, type(None)},
    "float": {int, float, str, type(None)},
    "bool": {int, str, type(None)},
    "bytes": {bytes, type(None)},
    **{kind: {int, float, str, type(None)} for kind in ("numeric", "text")},
    **{kind: {str, type(None)} for kind in ("date", "timestamp", "timestamptz", "uuid")},
}
"""Storage classes that COPY writes as PostgreSQL reads them, by wire kind; anything else is converted."""


@dataclass(frozen=True)
class Unread:
    """A change that could not be staged, with its images as they came. `unit`: None for a table in no plan."""

    seq: int
    nonce: int
    op: str
    shape: Shape
    old: Row | None
    new: Row | None
    reason: str
    sqlstate: str
    unit: Unit | None = None


@dataclass
class Stage:
    """What is staged of one upload group. A shape that a table gets anew within a group needs a stage of its own.

    canonical: images are texts as parked changes keep them, not values as SQLite does.
    follows: there was a stage before in this transaction, so the temporary tables may hold its rows.
    is_torn: some of it is set aside until the rest is merged.
    """

    conn: psycopg.Connection
    unit_of: Callable[[Shape], Unit | None]
    units: dict[str, Unit] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    staged: dict[str, int] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)
    canonical: bool = False
    follows: bool = False
    is_torn: bool = False

    def takes(self, shape: Shape) -> bool:
        """Whether changes of a shape can join what is staged."""
        unit = self.units.get(shape.table)
        return unit is None or unit.shape == shape

    def only_inserts(self, table: str) -> bool:
        return table not in self.others

    def add(self, shape: Shape, changes: Sequence[tuple[int, int, str, Any, Any]]) -> None:
        """Stage changes (seq, nonce, op, old, new) of a shape. Raises TS-310 where an image does not fit it."""
        _check(shape, changes)
        reason, state = f"{shape.table} is not in the plan", ""
        try:
            unit = self.units.get(shape.table) or self.unit_of(shape)
        except TillsyncError as e:
            if e.code not in _ITS_OWN:
                raise
            unit, reason, state = None, str(e.message), _ITS_OWN[e.code]
        if unit is None:
            self.unread += [Unread(s, n, op, shape, old, new, reason, state) for s, n, op, old, new in changes]
            return
        if shape.table not in self.units:
            self.conn.execute(unit.sql("make_stage"), {})
            if self.follows:
                self.conn.execute(unit.sql("empty_stage"), {})
            self.units[shape.table] = unit
            self.staged[shape.table] = 0
        pick = _picker(unit)
        for op in "IDU":
            entries = [(s, n, o, pick(old), pick(new)) for s, n, o, old, new in changes if o == op]
            if op == "U":
                moved = [e for e in entries if _moved(unit, e)]
                entries = [e for e in entries if not _moved(unit, e)] if moved else entries
                self._copy(unit, "D", [(s, n, "D", old, None) for s, n, _, old, _ in moved])
                self._copy(unit, "I", [(s, n, "I", None, new) for s, n, _, _, new in moved])
            self._copy(unit, op, entries)

    def _copy(self, unit: Unit, op: str, entries: list[Entry]) -> None:
        if not entries:
            return
        if op != "I":
            self.others.add(unit.table.name)
        try:
            with self.conn.transaction():
                self._copy_all(unit, op, entries)
        except (psycopg.Error, RowFault) as e:
            if isinstance(e, psycopg.Error) and not is_row_fault(e):
                raise
            self._halve(unit, op, entries, e)

    def _halve(self, unit: Unit, op: str, entries: list[Entry], e: psycopg.Error | RowFault) -> None:
        if len(entries) > 1:
            middle = len(entries) // 2
            self._copy(unit, op, entries[:middle])
            self._copy(unit, op, entries[middle:])
            return
        seq, nonce, _, old, new = entries[0]
        for bare in _with_less(unit, old) if old is not None else ():
            try:
                with self.conn.transaction():
                    self._copy_all(unit, op, [(seq, nonce, op, bare, new)])
                return
            except (psycopg.Error, RowFault) as again:
                e = again
        if isinstance(e, psycopg.Error) and not is_row_fault(e):
            raise e
        reason, state = reason_of(e) if isinstance(e, psycopg.Error) else (e.message, "22000")
        self.unread.append(Unread(seq, nonce, op, unit.shape, old, new, reason, state, unit))

    def _copy_all(self, unit: Unit, op: str, entries: list[Entry]) -> None:
        letters = {"I": "n", "D": "no", "U": "no"}[op]
        columns: list[Piece] = [sql.SQL(c) for c in ("at", "nonce", "had", "has")]
        columns += [sql.Identifier(f"{letter}{f.place}") for letter in letters for f in unit.fields]
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(unit.pieces["stage"], comma(columns))
        with self.conn.cursor() as cursor, cursor.copy(statement) as copy:
            for row in self._rows(unit, op, entries):
                copy.write_row(row)
        self.staged[unit.table.name] += len(entries)

    def _rows(self, unit: Unit, op: str, entries: list[Entry]) -> Iterator[Sequence[object]]:
        olds = self._texts(unit, [e[3] for e in entries]) if op != "I" else None
        if op == "I":
            news = self._texts(unit, [e[4] for e in entries])
            return ((2 * e[0] + 1, e[1], False, True, *new) for e, new in zip(entries, news, strict=True))
        assert olds is not None
        if op == "D":
            keyed = _key_only(unit)
            return ((2 * e[0], e[1], True, False, *keyed(old), *old) for e, old in zip(entries, olds, strict=True))
        news = self._texts(unit, [e[4] for e in entries])
        return ((2 * e[0] + 1, e[1], True, True, *new, *old) for e, new, old in zip(entries, news, olds, strict=True))

    def _texts(self, unit: Unit, images: list[Row | None]) -> Sequence[Sequence[object]]:
        """Images with the values converted that COPY would not write as PostgreSQL reads them."""
        rows = [image for image in images if image is not None]
        columns: list[Sequence[object]] = list(zip(*rows, strict=True))
        odd = [f for f in unit.fields if not self._is_as_is(f, columns[f.place])]
        for f in odd:
            columns[f.place] = self._converted(f, columns[f.place])
        if unit.direction == "both":
            for f in unit.keys:
                _see_that_it_is_canonical(f, columns[f.place])
        return list(zip(*columns, strict=True)) if odd else rows

    def _is_as_is(self, f: Field, column: Sequence[object]) -> bool:
        if f.column.encode is not None and not self.canonical:
            return False
        if not set(map(type, column)) <= (TEXTS if self.canonical else _AS_IS[f.column.kind]):
            return False
        form = values.form_of(f.column.kind)
        return form is None or all(v is None or form.fullmatch(v) for v in column)  # type: ignore[call-overload]

    def _converted(self, f: Field, column: Sequence[object]) -> Sequence[object]:
        text = values.text_of_text(f.column) if self.canonical else values.to_text(f.column)
        found = []
        for v in column:
            if not isinstance(v, (int, float, str, bytes, type(None))) or isinstance(v, bool):
                raise TillsyncError(
                    "TS-310", f"a value of {f.name} is of no class that SQLite has", hint="look at its sender"
                )
            found.append(text(v))
        return found


def _see_that_it_is_canonical(f: Field, column: Sequence[object]) -> None:
    """A key that central would write in another way would come back to the till as another row."""
    if f.column.encode is None and (form := values.canonical_form(f.column)) is not None:
        for v in column:
            if isinstance(v, str) and form.fullmatch(v) is None:
                raise RowFault("TS-612", f"{f.name}: {v!r} is a key that is not written as head office writes it")


def _check(shape: Shape, changes: Sequence[tuple[int, int, str, Any, Any]]) -> None:
    width = len(shape.columns)
    images = {"I": (None, width), "U": (width, width), "D": (width, None)}
    for seq, nonce, op, old, new in changes:
        given = (None if old is None else len(old), None if new is None else len(new))
        if images.get(op) != given or not 0 < seq < SEQ_MAX or not -NONCE_MAX <= nonce < NONCE_MAX:
            raise TillsyncError(
                "TS-310", f"a change of {shape.table} does not fit its shape", hint="look at its sender"
            )


def _picker(unit: Unit) -> Callable[[Any], Any]:
    """The fields of the unit out of an image of the shape."""
    sources = [f.source for f in unit.fields]
    if sources == list(range(len(unit.shape.columns))):
        return lambda image: image
    if len(sources) == 1:
        return lambda image: None if image is None else (image[sources[0]],)
    get = itemgetter(*sources)
    return lambda image: None if image is None else get(image)


def _key_only(unit: Unit) -> Callable[[Sequence[T]], list[T | None]]:
    keys = {f.place for f in unit.keys}
    return lambda image: [v if place in keys else None for place, v in enumerate(image)]


def _with_less(unit: Unit, old: Row) -> Iterator[Row]:
    """An old image without one column, or with its key alone: perhaps it is the old image that cannot be read.

    A column without a base is judged by its policy, unless that is a sum.
    """
    sums = {f.place for f in unit.values if unit.judges(f) is Judges.MOVES}
    for f in unit.values:
        if old[f.place] is not None and f.place not in sums:
            yield (*old[: f.place], None, *old[f.place + 1 :])
    if not sums:
        yield tuple(_key_only(unit)(old))


def _moved(unit: Unit, entry: Entry) -> bool:
    """Whether an update changed the row's key: then it is a delete and an insert."""
    old, new = entry[3], entry[4]
    assert old is not None
    assert new is not None
    return any(old[f.place] != new[f.place] for f in unit.keys)
