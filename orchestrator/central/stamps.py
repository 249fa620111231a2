"""When changes were made, for tables whose policy asks: stamps of a hybrid logical clock (Kulkarni and others, 2014).

A till's clock tells when a change was captured; what it is off the relay's clock is taken off it, and nothing was made
after it was sent. The logical half is in the database: what is merged is stamped later than the row that it was made
upon (`note` in sql/central/stamps/queries.sql). All stamps are on the relay's clock.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from orchestrator import assets
from orchestrator.central.capture import Captured
from orchestrator.central.unit import Unit
from orchestrator.core.changes import Upload

TOLERATED_MS = 60_000
"""A clock that is off by less is not worth a word."""

Stamp = tuple[int, datetime, str | None]
"""seq, when the change was made, and what was wrong with the clock that says so."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_MAX = 32_503_680_000_000  # the year 3000


class Stamps:
    """The stamps of one group, gathered part by part and kept small."""

    def __init__(self) -> None:
        self._seqs, self._made = array("q"), array("q")
        self._clock = (0, 0)

    def add(self, upload: Upload) -> None:
        if upload.stamps and len(upload.stamps) == len(upload.changes):
            self._clock = upload.clock
            for change, made in zip(upload.changes, upload.stamps, strict=True):
                if made and abs(made) < _MS_MAX:
                    self._seqs.append(change[0])
                    self._made.append(made)

    def read(self) -> Iterable[Stamp]:
        """They are the till's word: what is no time is left out, and the newest that counts is the time of sending."""
        ahead, sent = self._clock
        if not (abs(ahead) < _MS_MAX and 0 < sent < _MS_MAX):
            return
        for seq, made in zip(self._seqs, self._made, strict=True):
            right = made - ahead
            at = _EPOCH + timedelta(milliseconds=max(0, min(right, sent)))
            yield seq, at, _wrong(ahead, right - sent)


@dataclass(frozen=True)
class Clock:
    """Whose changes are judged or noted. ahead: central's clock before the relay's."""

    node: str
    ahead: timedelta = timedelta(0)

    def of(self, unit: Unit) -> dict[str, Any]:
        return {"node": self.node, "ahead": self.ahead, "tab": unit.table.name}


def lay_down(conn: psycopg.Connection, stamps: Iterable[Stamp], *, follows: bool = False) -> None:
    """Put them where the statements find them until the transaction ends."""
    conn.execute(assets.query("central/stamps.make"))
    if follows:
        conn.execute(assets.query("central/stamps.empty"))
    with (
        conn.cursor() as cursor,
        cursor.copy("COPY pg_temp.tillsync_stamp (seq, at, note) FROM STDIN") as copy,
    ):
        for stamp in {s[0]: s for s in stamps}.values():
            copy.write_row(stamp)


def newer(conn: psycopg.Connection, unit: Unit, clock: Clock) -> Mapping[int, tuple[bool, str | None]]:
    """The contested rows of a unit by their place: whether the till's change was made later, and the note."""
    rows = conn.execute(unit.sql("central/stamps.newer", **_both(unit)), clock.of(unit)).fetchall()
    return {at: (bool(is_newer), note) for at, is_newer, note in rows}


def note(conn: psycopg.Connection, unit: Unit, clock: Clock, failed: Collection[int]) -> None:
    """Stamp what was merged of a unit, but for the rows that failed."""
    conn.execute(unit.sql("central/stamps.note", **_both(unit)), clock.of(unit) | {"failed": list(failed)})


def keep(conn: psycopg.Connection, node: str, uid: int) -> None:
    """Parked changes keep the stamps that were laid down."""
    conn.execute(assets.query("central/stamps.keep"), {"node": node, "uid": uid})


def purge(conn: psycopg.Connection, captured: Captured, xmin: str, rows_max: int) -> int:
    """Remove rows of a log that only older snapshots than `xmin` need; when its rows were changed is kept."""
    key = sql.SQL("jsonb_object(ARRAY[{}]::text[], ARRAY[{}]::text[])").format(
        sql.SQL(", ").join(map(sql.Literal, captured.key)),
        sql.SQL(", ").join(sql.SQL("l.{}::text").format(sql.Identifier(k)) for k in captured.key),
    )
    statement = sql.SQL(assets.query("central/stamps.purge")).format(
        log=sql.Identifier(captured.log),
        tab=captured.tab,
        key_json=key,
        one_key=sql.SQL("l.{}").format(sql.Identifier(captured.key[0])),
        xmin=xmin,
        rows_max=rows_max,
    )
    row = conn.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _both(unit: Unit) -> dict[str, sql.Composable]:
    return {side: unit.sql(f"central/stamps.{side}") for side in ("theirs", "ours")}


def _wrong(ahead: int, late: int) -> str | None:
    said = []
    if abs(ahead) > TOLERATED_MS:
        side = "ahead" if ahead > 0 else "behind"
        said.append(f"the till's clock was {_span(ahead)} {side}, which was put right")
    if late > TOLERATED_MS:
        said.append(f"stamped {_span(late)} after it was sent, which was cut")
    return "; ".join(said) or None


def _span(ms: int) -> timedelta:
    return timedelta(minutes=round(abs(ms) / 60_000))
