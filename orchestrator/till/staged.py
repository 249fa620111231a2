"""One table of a large tick: its rows laid out in the side file, compared there, and put set by set.

The comparison is made before the till's file is locked. What the application writes in between is captured, and rows
with own changes are left out under the lock: so a row that was compared is either as it was, or not ours to touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from operator import or_
from string import Template
from typing import Any

import apsw

from orchestrator import assets
from orchestrator.core.values import quote_sqlite as q
from orchestrator.errors import TillsyncError
from orchestrator.till import adopting
from orchestrator.till.catalog import UniqueRule
from orchestrator.till.database import rows, value
from orchestrator.till.parts import Piece, Unfit
from orchestrator.till.puts import ROW_FAULTS, collision
from orchestrator.till.target import Layout

LAST_BIT = 61
"""Columns beyond share one bit: SQLite's integers have 64."""


class NeedsCare(Exception):
    """Between the comparison and the lock something came into the way: the table's rows are to be put with care."""

    def __init__(self, staged: Staged) -> None:
        super().__init__(staged.target.table.name)
        self.staged = staged


class Staged:
    """The rows of one table in one tick. `unfit`: those that the till's columns cannot hold. `loads`: the streams whose
    snapshot it is. `changed`: the columns that differ in some row which the till has. `puts`, `cuts`: how many rows."""

    def __init__(self, db: apsw.Connection, found: Layout) -> None:
        self._db, self.layout, self.target = db, found, found.target
        self.unfit: Unfit = []
        self.loads: set[int] = set()
        self.has_notices = False
        self.puts = self.cuts = 0
        self.changed: tuple[str, ...] = ()
        self._run(
            "make",
            columns=self._columns(),
            key=self._list("c{}", self._key_places),
            key_declaration=self.target.key_declaration(),
        )

    def add(self, piece: Piece) -> None:
        """Lays out a part, row by row compared with the till's. Raises TS-530 where a tick's parts of one table have
        different columns."""
        if piece.layout.names != self.layout.names:
            name = self.target.table.name
            raise TillsyncError("TS-530", f"a tick brings {name} in two shapes", hint="look at head office's log")
        if piece.kind == "snapshot":
            self.loads.add(piece.stream)
        arrived, gone = piece.puts(), piece.cuts()
        self.unfit += piece.unfit
        places = range(1, len(self.layout.names) + 1)
        with self._db:
            sql = self._sql(
                "put",
                names=self._list("c{}", places),
                bound=self._list("?{}", places),
                differences=self._differences(),
                held_is_bound=self.target.is_key("held.", self.layout.key_values),
            )
            self._db.executemany(sql, arrived)
            self._db.executemany(self._sql("cut", bound=self._list("?{}", self._key_numbers)), gone)
            if piece.kind == "move":  # it follows what came before, which may have said otherwise
                self._db.executemany(self._sql("put_no_more"), gone)
                self._db.executemany(
                    self._sql("cut_no_more"), [[r[p] for p in self.layout.key_places] for r in arrived]
                )

    def compare(self) -> None:
        """Finds what goes and what needs care; what is the same already is left out."""
        # Each statement is a transaction of its own: without a WAL the application cannot commit while one reads.
        if self.loads:
            self._run("strangers")
        self._run("drop_same")
        masks = [m for (m,) in rows(self._db, f"SELECT DISTINCT changed FROM {self._put} WHERE changed")]
        bits = reduce(or_, masks, 0)
        self.changed = tuple(n for n in self.layout.written if bits & self._bit(n))
        self.puts = int(value(self._db, f"SELECT count(*) FROM {self._put}"))
        self.cuts = int(value(self._db, f"SELECT count(*) FROM {self._cut}"))
        for rule in self.target.other_rules:
            found = collision(self.layout, rule)
            bits = reduce(or_, map(self._bit, self._read_by(rule)), 0)
            self._run("collide", bits=str(bits), matches=found["matches"], is_same=found["is_same"])
        is_first = bool(self.loads) and not rows(self._db, f"SELECT 1 FROM {self.target.name} LIMIT 1")
        self.has_notices = self.target.table.notice is not None and not is_first
        if self.has_notices:
            self._make_notices()

    def take_care(self) -> None:
        """Every row is put with care from now on."""
        self._db.execute(f"UPDATE {self._put} SET care = 1")
        if self.has_notices:
            self._make_notices()

    @property
    def is_only_new(self) -> bool:
        """Whether nothing that the till has is touched."""
        return not self.cuts and not self.changed

    def _make_notices(self) -> None:
        """Notes the watched values before and after; rows that need care are noted when they are put."""
        columns = self._watched
        self._db.execute(f"DROP TABLE IF EXISTS tillsync_stage.notices_{self.target.number}")
        self._run("make_notices", keys=self._list("k{}", self._key_numbers))
        shown = "CASE typeof({0}) WHEN 'blob' THEN hex({0}) ELSE {0} END"
        for central, till in columns:
            place = f"c{self.layout.names.index(till) + 1}"
            bit = self._bit(till) if till in self.layout.written else 0
            put = self._list(shown, [f"s.c{p}" for p in self._key_places])
            self._run("notice_put", (central, bit), column=q(till), place=place, shown_key=put)
            cut = self._list(shown, [f"b.k{i}" for i in self._key_numbers])
            self._run("notice_cut", (central,), column=q(till), shown_key=cut)

    # What follows runs under the lock.

    def is_cut(self, *, pending: bool) -> str:
        """The condition for the till's rows that `apply_cuts` removes."""
        key = [f"b.k{i}" for i in self._key_numbers]
        cut = f"SELECT {', '.join(key)} FROM {self._cut} AS b WHERE 1{self.target.unless_pending(key, pending)}"
        return f"({', '.join(self.target.quoted_key)}) IN ({cut})"

    def enter_own(self) -> None:
        """Enters the till's rows that differ as its own changes."""
        adopting.enter_staged(self._db, self.layout, self._put)

    def apply_cuts(self, *, pending: bool) -> None:
        if self.cuts:
            key = [f"b.k{i}" for i in self._key_numbers]
            self._run("apply_cut", unless_pending=self.target.unless_pending(key, pending))

    def apply_puts(self, *, pending: bool) -> None:
        """Puts what needs no care. Raises NeedsCare where something is in the way that was not there before."""
        unless = self.target.unless_pending(self._staged_key, pending)
        try:
            if self.changed:
                places = [(q(n), self.layout.names.index(n) + 1) for n in self.changed]
                assignments = ", ".join(f"{name} = s.c{place}" for name, place in places)
                self._run("apply_change", set=assignments, unless_pending=unless)
            self._run("apply_new", upto="", unless_pending=unless)
        except ROW_FAULTS as e:
            raise NeedsCare(self) from e

    def apply_slice(self, upto: Sequence[Any], *, pending: bool) -> None:
        """Puts new rows up to a key; raises what SQLite raises where one does not fit."""
        unless = self.target.unless_pending(self._staged_key, pending)
        self._run("apply_new", upto, upto=self._upto, unless_pending=unless)

    def with_care(self) -> list[list[Any]]:
        """The rows that need care."""
        names = self._list("c{}", range(1, len(self.layout.names) + 1))
        return [list(r) for r in rows(self._db, f"SELECT {names} FROM {self._put} WHERE care")]

    def apply_notices(self, tick: int, at: str, *, pending: bool) -> None:
        notice = self.target.table.notice
        if notice is None or not self.has_notices:
            return
        key = [f"s.k{i}" for i in self._key_numbers]
        values = (notice.kind, self.target.table.name, self.target.till.name, tick, at)
        self._run("apply_notices", values, unless_pending=self.target.unless_pending(key, pending))

    def slice_end(self, size: int) -> tuple[Any, ...] | None:
        """The key up to which the next `size` new rows go, None where there are none left."""
        found = rows(self._db, self._sql("slice_end", descending=self._list("{} DESC", self._staged_key)), (size,))
        return found[0] if found else None

    def drop_slice(self, upto: Sequence[Any]) -> int:
        """What is put is done with. Returns how many rows that were."""
        self._run("drop_slice", upto, upto=self._upto)
        dropped = self._db.changes()
        self.puts -= dropped
        return dropped

    def has_key(self, key: Sequence[Any]) -> bool:
        """Whether a row of this key is put or cut."""
        bound = [f"?{i}" for i in self._key_numbers]
        put = " AND ".join(f"{k} = {b}" for k, b in zip(self._staged_key, bound, strict=True))
        cut = " AND ".join(f"b.k{i} = ?{i}" for i in self._key_numbers)
        sql = f"SELECT 1 FROM {self._put} AS s WHERE {put} UNION ALL SELECT 1 FROM {self._cut} AS b WHERE {cut} LIMIT 1"
        return bool(rows(self._db, sql, key))

    def keys_upto(self) -> str:
        """A SELECT of the keys of a slice; its parameters are the slice's end."""
        return f"SELECT {self._list('{}', self._staged_key)} FROM {self._put} AS s WHERE s.changed IS NULL{self._upto}"

    def keys(self) -> str:
        """A SELECT of all touched keys."""
        put = self._list("{}", self._staged_key)
        cut = self._list("b.k{}", self._key_numbers)
        return f"SELECT {put} FROM {self._put} AS s UNION ALL SELECT {cut} FROM {self._cut} AS b"

    @property
    def _put(self) -> str:
        return f"tillsync_stage.put_{self.target.number}"

    @property
    def _cut(self) -> str:
        return f"tillsync_stage.cut_{self.target.number}"

    @property
    def _key_numbers(self) -> range:
        return range(1, len(self.target.key) + 1)

    @property
    def _key_places(self) -> list[int]:
        return [p + 1 for p in self.layout.key_places]

    @property
    def _staged_key(self) -> list[str]:
        return [f"s.c{p}" for p in self._key_places]

    @property
    def _upto(self) -> str:
        key = self._list("{}", self._staged_key)
        return f" AND ({key}) <= ({self._list('?{}', self._key_numbers)})"

    @cached_property
    def _watched(self) -> list[tuple[str, str]]:
        """The watched columns by central's and the till's names."""
        notice = self.target.table.notice
        names = {c.name: c.till for c in self.layout.columns}
        return [(c, names[c]) for c in notice.columns if c in names] if notice else []

    def _read_by(self, rule: UniqueRule) -> list[str]:
        """The columns on whose values it depends whether a row breaks a rule."""
        if rule.partial or any(t.column is None for t in rule.terms):
            return list(self.layout.written)
        named = {t.column.lower() for t in rule.terms if t.column}
        return [n for n in self.layout.written if n.lower() in named]

    def _columns(self) -> str:
        """Columns that take values just as the till's own do."""
        target = self.target
        of_key = {n: f" COLLATE {q(target.collation(n))}" for n in target.key}
        return ", ".join(
            f"c{i} {target.column(n).affinity}{of_key.get(n, '')}" for i, n in enumerate(self.layout.names, 1)
        )

    def _differences(self) -> str:
        """One bit for each column in which the till's row differs from the one that is bound."""
        places = [(n, f"held.{q(n)}", f"?{self.layout.names.index(n) + 1}") for n in self.layout.written]
        terms = [f"({self.layout.differs(n, here, there)}) * {self._bit(n)}" for n, here, there in places]
        return " | ".join(terms) or "0"

    def _bit(self, name: str) -> int:
        return 1 << min(self.layout.written.index(name), LAST_BIT)

    def _run(self, block: str, values: Sequence[Any] = (), **more: str) -> None:
        self._db.execute(self._sql(block, **more), values)

    def _sql(self, block: str, **more: str) -> str:
        """A block of `sql/till/staging/queries.sql` for this table."""
        target, number = self.target, self.target.number
        held = [f"held.{k}" for k in target.quoted_key]
        pairs = list(zip(held, self._staged_key, strict=True))
        pieces = {
            "put": f"put_{number}",
            "cut": f"cut_{number}",
            "notices": f"notices_{number}",
            "table": target.name,
            "columns": ", ".join(q(n) for n in self.layout.names),
            "values": self._list("s.c{}", range(1, len(self.layout.names) + 1)),
            "key": ", ".join(target.quoted_key),
            "held_key": ", ".join(held),
            "staged_key": self._list("{}", self._staged_key),
            "cut_key": self._list("b.k{}", self._key_numbers),
            "held_is_staged": " AND ".join(f"{here} = +{there}" for here, there in pairs),
            "staged_is_held": " AND ".join(f"{there} = +{here}" for here, there in pairs),
            "is_staged_key": " AND ".join(
                f"{k} = ?{i}" for i, k in zip(self._key_numbers, self._staged_key, strict=True)
            ),
            "is_cut_key": " AND ".join(f"b.k{i} = ?{i}" for i in self._key_numbers),
            "held_is_cut": " AND ".join(f"{k} = b.k{i}" for i, k in zip(self._key_numbers, held, strict=True)),
        }
        return Template(assets.query(f"till/staging.{block}")).substitute({**pieces, **more})

    @staticmethod
    def _list(pattern: str, items: Sequence[Any]) -> str:
        return ", ".join(pattern.format(item) for item in items)
