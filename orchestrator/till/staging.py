"""Large ticks wait in a file of their own beside the till's: part by part as they come, then as rows that are compared
with the till's. So a slow link keeps what it has fetched, and the till's file is locked for the difference alone.

The side file holds nothing that the relay does not have. When it is damaged, or of another tick, it starts empty.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from orchestrator import assets
from orchestrator.core import wire
from orchestrator.errors import Unreachable
from orchestrator.relay.messages import Part, TickHead
from orchestrator.till.database import explained, rows, value
from orchestrator.till.parts import News
from orchestrator.till.relay import Relay
from orchestrator.till.staged import Staged
from orchestrator.till.target import Target
from orchestrator.till.ticks import Tick, read_tick

SUFFIX = "-tillsync-stage"


class Stage:
    """The side file, attached to the agent's connection as `tillsync_stage`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def fetch(self, relay: Relay, head: TickHead, listed: Sequence[Part], is_time: Callable[[], bool]) -> bool:
        """Fetches the listed parts that are not here yet, until `is_time` says no. Returns whether all are here.

        Raises Unreachable TS-533 where the relay does not have them any more: what replaces them is found anew.
        """
        self._begin(head)
        while missing := self._missing(listed):
            if not is_time():
                return False
            found = relay.parts(head.n, missing[0])
            if not found:
                raise Unreachable(
                    "TS-533", f"the relay has purged tick {head.n}", hint="the till starts over by itself"
                )
            for part in found:
                wire.unpack(part.frame)
            self._db.executemany(
                "INSERT OR REPLACE INTO tillsync_stage.part VALUES (?, ?, ?, ?)",
                [(p.kind, p.stream, p.part, p.frame) for p in found],
            )
        return True

    def lay_out(self, head: TickHead, targets: Mapping[str, Target]) -> Tick:
        """The tick's rows as tables, compared with the till's. Nothing of the till's file is locked."""
        news: list[News] = []
        tables: dict[str, Staged] = {}
        loaded = {s: bool(tick) for s, tick in rows(self._db, "SELECT stream, loaded_tick FROM tillsync_stream")}
        self._drop_rows()
        # What a till that moves gets comes after all else of the tick.
        for moves in (False, True):
            for part in self._parts():
                tick = read_tick(head, [part], targets)
                news += () if moves else tick.news
                for piece in tick.pieces:
                    if (piece.kind == "move") is moves and piece.applies(loaded):
                        name = piece.layout.target.table.name
                        if name not in tables:
                            tables[name] = Staged(self._db, piece.layout)
                        tables[name].add(piece)
        for staged in tables.values():
            staged.compare()
        return Tick(head, (), news, tables)

    def _begin(self, head: TickHead) -> None:
        self._db.execute(assets.query("till/staging.schema"))
        key = (head.n, head.epoch, head.token)
        if rows(self._db, "SELECT n, epoch, token FROM tillsync_stage.tick") != [key]:
            self._drop_rows()
            with self._db:
                self._db.execute("DELETE FROM tillsync_stage.part")
                self._db.execute("DELETE FROM tillsync_stage.tick")
                self._db.execute("INSERT INTO tillsync_stage.tick VALUES (?, ?, ?)", key)

    def _missing(self, listed: Sequence[Part]) -> list[Part]:
        have = set(rows(self._db, "SELECT kind, stream, part FROM tillsync_stage.part"))
        return [p for p in listed if (p.kind, p.stream, p.part) not in have]

    def _parts(self) -> Iterator[Part]:
        listed = rows(self._db, "SELECT kind, stream, part FROM tillsync_stage.part ORDER BY kind, stream, part")
        for key in listed:
            sql = "SELECT frame FROM tillsync_stage.part WHERE kind = ? AND stream = ? AND part = ?"
            kind, stream, part = key
            yield Part(stream, kind, part, value(self._db, sql, key))

    def _drop_rows(self) -> None:
        sql = "SELECT name FROM tillsync_stage.sqlite_master WHERE type = 'table' AND name NOT IN ('tick', 'part')"
        for (name,) in rows(self._db, sql):
            self._db.execute(f'DROP TABLE tillsync_stage."{name}"')


@contextmanager
def opened(db: apsw.Connection) -> Iterator[Stage]:
    """The side file for the length of some work; it stays when that ends early, and is removed by `discard`."""
    file = path(db)
    with explained(str(file)):
        _attach(db, file)
    try:
        yield Stage(db)
    finally:
        db.execute("DETACH tillsync_stage")


def waiting_tick(db: apsw.Connection) -> tuple[int, int] | None:
    """(n, token) of the tick whose parts are being gathered, None where there is none."""
    if not path(db).is_file():
        return None
    with opened(db):
        found = rows(db, "SELECT name FROM tillsync_stage.sqlite_master WHERE name = 'tick'")
        ticks = rows(db, "SELECT n, token FROM tillsync_stage.tick") if found else []
    return (ticks[0][0], ticks[0][1]) if ticks else None


def tidy(db: apsw.Connection, tick: int) -> None:
    """Removes what was gathered of a tick that the till has passed."""
    begun = waiting_tick(db)
    if begun is not None and begun[0] <= tick:
        discard(db)


def discard(db: apsw.Connection) -> None:
    """Removes the side file: its tick is applied, or nobody will ask for it again."""
    for suffix in ("", "-journal"):
        Path(f"{path(db)}{suffix}").unlink(missing_ok=True)


def path(db: apsw.Connection) -> Path:
    return Path(db.filename + SUFFIX)


def _attach(db: apsw.Connection, file: Path) -> None:
    if file.exists() and not _is_sound(file):
        discard(db)
    if not file.exists():  # an empty file is an empty database; who may read the till's file may read it
        file.touch(mode=stat.S_IMODE(Path(db.filename).stat().st_mode))
    db.execute("ATTACH ? AS tillsync_stage", (str(file),))
    # Whatever a power cut leaves of it is found by the check above, and fetched again.
    db.execute("PRAGMA tillsync_stage.synchronous = OFF")
    db.execute("PRAGMA tillsync_stage.journal_mode = TRUNCATE").fetchall()


def _is_sound(file: Path) -> bool:
    alone = apsw.Connection(str(file))
    try:
        return bool(value(alone, "PRAGMA quick_check(1)") == "ok")
    except (apsw.CorruptError, apsw.NotADBError):
        return False
    finally:
        alone.close()
