"""A till's side of a comparison: questions come with a tick and are answered as of that tick, before the next one.

The question is kept in the transaction that applies its tick. It is answered after that, and not under the lock: the
rows are what the tick made of them, or the application has changed them since, and then they are captured and named as
pending. So a till sells on while all of its rows are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from orchestrator.core.books import BookAnswer, BookAsk
from orchestrator.core.comparing import BYTES_MAX, Answer, Ask, TableAnswer, TableAsk, pack
from orchestrator.core.plan import Plan
from orchestrator.errors import Busy, TillsyncError
from orchestrator.log import logger
from orchestrator.till import books, fitness, held, reconcile_rows, schema, state
from orchestrator.till.asked import has_table
from orchestrator.till.changelog import pending_keys, settled
from orchestrator.till.database import rows, transaction
from orchestrator.till.relay import Relay
from orchestrator.till.scan import Renumbered
from orchestrator.till.state import State
from orchestrator.till.target import Target
from orchestrator.till.targets import targets_of

ATTEMPTS_MAX = 3
log = logger("till.reconcile")


def answer(db: apsw.Connection) -> None:
    """Answers what was asked, as of the tick at which the till is; the answers are kept until they are sent."""
    if not has_table(db):
        return
    asked = rows(db, "SELECT id, step, tick, token, ask FROM tillsync_asked WHERE answer IS NULL AND kind = 'compare'")
    for number, step, tick, token, body in asked:
        now = state.load(db)
        ask = msgspec.msgpack.decode(body, type=Ask)
        made = Answer(number, step, tick, token, now.plan_version, missed=True)
        if (now.tick, now.token) == (tick, token):
            made = _answered(db, ask, now)
        with transaction(db):
            given = (pack(made, BYTES_MAX), number, step)
            db.execute("UPDATE tillsync_asked SET answer = ? WHERE id = ? AND step = ?", given)
    reconcile_rows.send_again(db)


def send(db: apsw.Connection, relay: Relay) -> int:
    """Hands the answers over; how many."""
    if not has_table(db):
        return 0
    found = rows(db, "SELECT id, step, answer FROM tillsync_asked WHERE answer IS NOT NULL ORDER BY id, step")
    for number, step, frame in found:
        relay.put_result(frame)
        with transaction(db):
            db.execute("DELETE FROM tillsync_asked WHERE kind = 'compare' AND id = ? AND step = ?", (number, step))
    return len(found)


def _answered(db: apsw.Connection, ask: Ask, now: State) -> Answer:
    plan = schema.stored_plan(db)
    assert plan is not None, "a till that applied a tick has a plan"
    for _ in range(ATTEMPTS_MAX):
        try:
            tables = _tables(db, plan, ask)
            break
        except Renumbered:
            log.warning("the file was rewritten while it was compared; once more")
    else:
        return Answer(ask.id, ask.step, now.tick, now.token, now.plan_version, missed=True)
    streams = {c: s for s, c in rows(db, "SELECT stream, channel FROM tillsync_stream WHERE loaded_tick > 0")}
    made = _books(db, plan, ask, now)
    at = (now.tick, now.token, now.plan_version)
    return Answer(ask.id, ask.step, *at, streams=streams, tables=tables, missed=made is None, books=made or {})


def _books(db: apsw.Connection, plan: Plan, ask: Ask, now: State) -> dict[str, BookAnswer] | None:
    """The checks of the books; None where the till has gone on meanwhile."""
    asks = ask.books if ask.books is not None else {book.name: BookAsk() for book in plan.books}
    if not asks:
        return {}
    try:
        return books.evaluate(db, plan, asks, now.tick, now.token)
    except (apsw.BusyError, Busy):
        return None  # the application has the file for itself; it is asked again
    except (apsw.Error, TillsyncError) as e:
        return books.failed(plan, asks, e)


def _tables(db: apsw.Connection, plan: Plan, ask: Ask) -> dict[str, TableAnswer]:
    targets = targets_of(db)
    lacks: dict[str, list[str]] = {}
    for lack in fitness.fitted(db, plan).lacks:
        lacks.setdefault(lack.table.name, []).append(lack.column)
    wanted = ask.tables if ask.tables is not None else {table.name: TableAsk() for _, table in plan.tables()}
    made = {
        name: reconcile_rows.table_answer(db, targets[name], of, lacks.get(name, ()))
        if name in targets
        else TableAnswer(lacks=("",))
        for name, of in wanted.items()
    }
    if any(of.rows for of in wanted.values()):
        with settled(db):
            labels = _labels(db, targets)
        made = {
            n: reconcile_rows.labelled(targets[n], wanted[n], a, labels) if n in targets else a for n, a in made.items()
        }
    return made


def _labels(db: apsw.Connection, targets: Mapping[str, Target]) -> reconcile_rows.Labels:
    """Keys, as the till's values, with what is to be said of them."""
    pending = pending_keys(db, state.load(db).ack)
    parked = {
        name: [tuple(key.get(c.name) for c in targets[name].table.till_key) for key in keys]
        for name, keys in held.keys(db).items()
        if name in targets
    }
    waiting: dict[str, list[tuple[Sequence[Any], str]]] = {}
    query = "SELECT central, key, reason FROM tillsync_problem WHERE kind <> 'orphan'"
    for name, key, reason in rows(db, query):
        waiting.setdefault(name, []).append((msgspec.json.decode(key), reason))
    return reconcile_rows.Labels(pending, parked, waiting)
