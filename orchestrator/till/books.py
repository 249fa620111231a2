"""A till's side of the checks of the books: its SELECTs, over what head office has answered.

They are evaluated on a connection of their own that cannot write, in one read of the file: what the application does
meanwhile is not seen, and in WAL it waits for nothing. A table with changes that head office has not answered is hidden
behind a view of its rows as they were before (`till.books_view`), so that a closure that is not sent is no difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import apsw
import msgspec

from orchestrator.core import books
from orchestrator.core.books import BookAnswer, BookAsk
from orchestrator.core.plan import Book, Channel, Plan, Table
from orchestrator.till import held, state
from orchestrator.till.books_view import Hidden, hide
from orchestrator.till.changelog import settled
from orchestrator.till.database import rows

SECONDS_MAX = 30.0
"""A check that takes longer at a till is given up. In WAL nobody waits for it."""

SECONDS_MAX_WITHOUT_WAL = 1.0
"""With another journal the application cannot commit while it is read."""

STEPS = 20_000
"""Of SQLite's machine, between two looks at the clock: about a millisecond."""

NOT_EVALUATED = "TS-823"
LOADING = "SELECT channel FROM tillsync_stream WHERE coalesce(loaded_tick, 0) = 0"

_READS = {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE}
_OURS = "tillsync_"


@dataclass
class _Guard:
    """Lets through what reads the application's tables, and notes which; nothing else is prepared."""

    hidden: Mapping[str, Hidden]
    seen: set[str] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)

    def __call__(self, what: int, one: str | None, two: str | None, database: str | None, view: str | None) -> int:
        if what not in _READS:
            return apsw.SQLITE_DENY
        if what == apsw.SQLITE_FUNCTION:
            return apsw.SQLITE_DENY if two == "load_extension" else apsw.SQLITE_OK
        if what != apsw.SQLITE_READ or one is None:
            return apsw.SQLITE_OK
        name = one.lower()
        if view is not None and view.lower() in self.hidden:
            return apsw.SQLITE_OK  # our own view, of which we know what it reads
        if name.startswith((_OURS, "sqlite_")):
            return apsw.SQLITE_DENY
        if database == "main" and name in self.hidden:
            self.blocked.add(name)  # by a view of the application's, which looks past ours
            return apsw.SQLITE_DENY
        self.seen.add(name)
        return apsw.SQLITE_OK


def evaluate(
    db: apsw.Connection, plan: Plan, asks: Mapping[str, BookAsk], tick: int, token: int
) -> dict[str, BookAnswer] | None:
    """The answers to these checks, as of this tick; None where the till has gone on. `db`: the agent's connection."""
    with settled(db):
        pass  # no mark is left open
    is_wal = str(rows(db, "PRAGMA main.journal_mode")[0][0]).lower() == "wal"
    seconds = SECONDS_MAX if is_wal else SECONDS_MAX_WITHOUT_WAL
    found: dict[str, BookAnswer] = {}
    # Without WAL the application may commit between two checks.
    for part in [asks] if is_wal else [{name: ask} for name, ask in asks.items()]:
        answers = _in_one_read(db.filename, plan, part, (tick, token), seconds)
        if answers is None:
            return None
        found |= answers
    return found


def _in_one_read(
    path: str, plan: Plan, asks: Mapping[str, BookAsk], tick: tuple[int, int], seconds: float
) -> dict[str, BookAnswer] | None:
    with _reading(path) as reader:
        now = state.load(reader)
        if (now.tick, now.token) != tick:
            return None
        hidden = hide(reader, plan, now.ack)
        parked = held.keys(reader)
        loading = {c for (c,) in rows(reader, LOADING)}
        found = {}
        for name, ask in asks.items():
            book = plan.book(name)
            if book is not None:
                guard = _Guard(hidden)
                answer = _evaluated(reader, book, ask, now.node or "", guard, seconds)
                ways = _in_flight(plan, guard, loading, again=now.resend is not None)
                held_back = {t.name: len(parked[t.name]) for _, t in _read(plan, guard) if t.name in parked}
                found[name] = msgspec.structs.replace(answer, in_flight=ways, parked=held_back)
        return found


def _evaluated(
    reader: apsw.Connection, book: Book, ask: BookAsk, node: str, guard: _Guard, seconds: float
) -> BookAnswer:
    until = time.monotonic() + seconds
    reader.authorizer = guard
    reader.set_progress_handler(lambda: time.monotonic() > until, STEPS)
    try:
        found = _as_wide(book, reader.execute(book.till, {"node": node}))
        return books.answer(book, books.texts_of(book, found), ask)
    except apsw.InterruptError:
        return BookAnswer(failed="it took too long")
    except apsw.AuthError as e:
        return BookAnswer() if guard.blocked else BookAnswer(failed=f"{NOT_EVALUATED} {e}")
    except (apsw.Error, UnicodeDecodeError, ValueError) as e:
        return BookAnswer(failed=f"{NOT_EVALUATED} {e}")
    finally:
        reader.set_progress_handler(None)
        reader.authorizer = None


def _as_wide(book: Book, found: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for row in found:
        if len(row) != len(book.columns):
            raise ValueError(f"it gives {len(row)} columns, head office's gives {len(book.columns)}")
        yield row


def _read(plan: Plan, guard: _Guard) -> Iterator[tuple[Channel, Table]]:
    """The tables of the plan that a check reads."""
    return ((c, t) for c, t in plan.tables() if t.till.lower() in guard.seen | guard.blocked)


def _in_flight(plan: Plan, guard: _Guard, loading: Set[str], *, again: bool) -> dict[str, int]:
    """By table what may make the ends differ for a while. Of a table that only goes up, what is on its way was left
    out, unless head office wants it sent `again`; of one that comes down head office's newer row may wait for it, and
    its channel may be `loading`."""
    found = {}
    for channel, table in _read(plan, guard):
        hidden = guard.hidden.get(table.till.lower())
        if (again and channel.goes_up) or channel.name in loading:
            found[table.name] = max(hidden.changes if hidden else 0, 1)
        elif hidden and (channel.goes_down or table.till.lower() in guard.blocked):
            found[table.name] = hidden.changes
    return found


@contextmanager
def _reading(path: str) -> Iterator[apsw.Connection]:
    """One read of the file, of its state at one moment."""
    reader = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        reader.set_busy_timeout(1_000)
        reader.pragma("temp_store", "MEMORY")
        reader.execute("BEGIN")
        yield reader
    finally:
        reader.close()


def failed(plan: Plan, asks: Mapping[str, BookAsk], error: Exception) -> dict[str, BookAnswer]:
    """Where none of them could be evaluated."""
    return {name: BookAnswer(failed=f"{NOT_EVALUATED} {error}") for name in asks if plan.book(name) is not None}
