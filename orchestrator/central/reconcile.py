"""Comparing head office with its tills, from round to round: questions go out with ticks, answers come back, both meet.

Head office's side is made at the tick's own snapshot, which is handed to a connection of its own: the tick is published
at once, and rounds go on while a large table is read. A step whose tick the relay lost, or whose side a crash took, is
asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

from orchestrator import assets
from orchestrator.central import reconcile_books, reconcile_side
from orchestrator.central.reconcile_books import AskedBooks
from orchestrator.central.reconcile_judge import Found
from orchestrator.central.reconcile_meeting import Maker, Meeting
from orchestrator.central.reconcile_side import Asked
from orchestrator.central.schema import Prepared
from orchestrator.central.tick import Tick, news
from orchestrator.core import comparing
from orchestrator.core.comparing import Again, Ask, TableAsk
from orchestrator.errors import TillsyncError
from orchestrator.log import logger
from orchestrator.relay.client import CentralRelay

RESULTS_MAX = 50
"""Answers that are fetched at once."""

FAILURES_MAX = 3
"""A right that is missing, say, does not come by asking again: ticks go on without the comparison."""

WAIT_SECONDS = 0.2
"""So long a round waits for head office's side, which is enough for small tables; it is made on without it."""

log = logger("central.reconcile")
Asks = dict[str, TableAsk]


class Comparisons:
    """All comparisons under way. `dsn`: for the connection that reads at a tick's snapshot."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._maker: Maker | None = None
        self._is_news = True  # what came before this process, too
        self._failures = 0

    def any_due(self, conn: psycopg.Connection) -> bool:
        """Whether the next tick has something to ask."""
        (due,) = _rows(conn, "any_due")
        return bool(due["again"] or (due["asked"] and self._maker is None))

    def ask(self, conn: psycopg.Connection, prepared: Prepared, tick: Tick) -> None:
        """Puts what is due into a tick, within its transaction, and begins with head office's side at its snapshot."""
        for row in _rows(conn, "due_again"):
            tick.spool.add((row["node"], "echo"), news(again=Again(row["id"], row["keys"])))
            _run(conn, "sent_again", id=row["id"], n=tick.n, token=tick.token)
        if self._maker is not None:
            return  # one tick's side at a time
        due = _rows(conn, "due")
        if not due:
            return
        nodes = [row["node"] for row in due]
        streams: dict[str, dict[str, int]] = {}
        for row in _rows(conn, "streams", nodes=nodes):
            streams.setdefault(row["node"], {})[row["channel"]] = row["stream"]
        params = {row["node"]: row["params"] for row in _rows(conn, "nodes", nodes=nodes)}
        asked, of_books = [], []
        for row in due:
            node, own = row["node"], streams.get(row["node"], {})
            asks, book_asks = _asks(prepared, row["asks"]), reconcile_books.asks_of(prepared, row["books"])
            ask = Ask(row["id"], row["step"], _told(row["asks"]), book_asks)
            tick.spool.add((node, "echo"), news(compare=ask))
            given = {"n": tick.n, "token": tick.token, "plan_version": prepared.plan.version, "streams": Jsonb(own)}
            _run(conn, "asked", node=node, id=row["id"], step=row["step"], **given)
            asked.append(Asked(node, params[node], own, asks))
            of_books.append(AskedBooks(node, params[node], book_asks))
        self._begin(conn, prepared, tick.n, asked, of_books)

    def work(self, conn: psycopg.Connection, seconds: float = WAIT_SECONDS) -> None:
        """Gives head office's side some time. Where it fails it is tried some times more, and then given up."""
        maker = self._maker
        if maker is None or not maker.is_done(seconds):
            return
        self._maker, self._is_news = None, True
        self._failures = self._failures + 1 if maker.error is not None else 0
        if maker.error is not None:
            log.error("head office's side of a comparison failed", tick=maker.n, error=repr(maker.error))
            block = "ask_again_of" if self._failures < FAILURES_MAX else "give_up_of"
            conn.execute(assets.query(f"central/reconcile.{block}"), {"n": maker.n})

    def take(self, conn: psycopg.Connection, relay: CentralRelay) -> int:
        """Takes in what tills answered; how many answers."""
        taken = 0
        while found := relay.results(RESULTS_MAX):
            for row in found:
                self._keep(conn, row)
                relay.drop_result(row["node"], row["id"])
            taken += len(found)
        self._is_news |= taken > 0
        return taken

    def advance(self, conn: psycopg.Connection, prepared: Prepared) -> None:
        """Judges what has both sides: the next step is due, or the comparison has ended."""
        if not self._is_news:
            return
        self._is_news = done = False
        for row in _rows(conn, "answered"):
            try:
                with conn.transaction():
                    done |= self._step(conn, prepared, row)
            except psycopg.OperationalError:
                raise  # the database's, and no answer's
            except Exception as e:
                # Whatever a till says stops nobody else, and no tick.
                log.error("a comparison is given up", node=row["node"], error=repr(e))
                self._end(conn, row)
                done = True
        if done and self._maker is None:
            conn.execute(assets.query("central/reconcile.tidy"))

    def close(self) -> None:
        """Gives up what is being made."""
        if self._maker is not None:
            self._maker.give_up()
            self._maker = None

    def _begin(
        self,
        conn: psycopg.Connection,
        prepared: Prepared,
        n: int,
        asked: Sequence[Asked],
        of_books: Sequence[AskedBooks],
    ) -> None:
        (snapshot,) = conn.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        is_utf8 = conn.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        statements = list(reconcile_side.statements(prepared, n, asked, is_utf8=is_utf8))

        def make(own: psycopg.Connection) -> None:
            for statement in statements:
                own.execute(statement)
            reconcile_books.lay_down(own, prepared, n, of_books)

        self._maker = Maker(self._dsn, n, snapshot, make)

    @staticmethod
    def _keep(conn: psycopg.Connection, row: Mapping[str, Any]) -> None:
        try:
            answer = comparing.unpack(row["frame"])
        except TillsyncError as e:
            log.warning("an answer is left out", node=row["node"], error=str(e))
            return
        _run(conn, "keep_answer", node=row["node"], id=answer.id, step=answer.step, frame=row["frame"])

    def _step(self, conn: psycopg.Connection, prepared: Prepared, row: dict[str, Any]) -> bool:
        """One branch's step; whether its comparison has ended."""
        answer, this = comparing.unpack(row["frame"]), {k: row[k] for k in ("node", "id", "step")}
        if (answer.n, answer.token) != (row["n"], row["token"]):
            _run(conn, "drop_answer", **this)  # to a tick that the relay lost
            return False
        if answer.missed or answer.plan_version != row["plan_version"] or (not row["side"] and self._maker is None):
            _run(conn, "drop_answer", **this)
            _run(conn, "ask_again", **this)
            return False
        if not row["side"]:
            return False  # it is being made
        meeting = Meeting(conn, prepared, row, answer)
        found, asks = msgspec.convert(row["found"], dict[str, Found]), Asks()
        for name, ask in _asks(prepared, row["asks"]).items():
            following, found[name] = meeting.judged(name, ask, found.get(name, Found()))
            if following is not None:
                asks[name] = following
        for name, one in found.items():
            if one.done is not None:
                body = Json(msgspec.to_builtins(one.done))
                _run(conn, "save", node=row["node"], tab=name, n=row["n"], tick_at=row["tick_at"], body=body)
        book_asks = reconcile_books.judge(conn, prepared, row, answer)
        if asks or book_asks:
            left = {name: one for name, one in found.items() if one.done is None}
            kept = {"asks": asks, "books": book_asks, "found": left}
            _run(conn, "next_step", **this, **{k: Json(msgspec.to_builtins(v)) for k, v in kept.items()})
            return False
        self._end(conn, row)
        return True

    @staticmethod
    def _end(conn: psycopg.Connection, row: Mapping[str, Any]) -> None:
        with conn.transaction():
            for block in ("drop_answer", "finish"):
                _run(conn, block, node=row["node"], id=row["id"], step=row["step"])


def _asks(prepared: Prepared, asks: Any) -> Asks:
    """What is asked of tables that the plan has."""
    known = {table.name: TableAsk() for _, table in prepared.plan.tables()}
    given = known if asks is None else msgspec.convert(asks, Asks)
    return {name: ask for name, ask in given.items() if name in known}


def _told(asks: Any) -> Asks | None:
    return None if asks is None else msgspec.convert(asks, Asks)


def _rows(conn: psycopg.Connection, block: str, **given: Any) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(assets.query(f"central/reconcile.{block}"), given or None).fetchall()


def _run(conn: psycopg.Connection, block: str, **given: Any) -> None:
    conn.execute(assets.query(f"central/reconcile.{block}"), given)
