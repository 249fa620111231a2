"""Where both sides of a comparison meet: head office's is made beside the rounds, and judged with a till's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from threading import Thread
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets, postgres
from orchestrator.central.reconcile_judge import Digest, Found, Side, Subject, judge
from orchestrator.central.reconcile_side import Asked, compared_columns, kind_of, unlisted
from orchestrator.central.schema import Prepared
from orchestrator.core.comparing import Answer, TableAnswer, TableAsk
from orchestrator.core.plan import Channel, Table
from orchestrator.core.reconciliation import TableComparison

STEPS_MAX = 30
"""A comparison that has taken so many is not getting anywhere: the till does not come to load what it should have."""


class Meeting:
    """One branch's answer to one step, with what head office laid down for it (`row` is one of those `answered`)."""

    def __init__(self, conn: psycopg.Connection, prepared: Prepared, row: Mapping[str, Any], answer: Answer) -> None:
        self._conn, self._prepared, self._row, self._answer = conn, prepared, row, answer

    def judged(self, name: str, ask: TableAsk, found: Found) -> tuple[TableAsk | None, Found]:
        """One table. Where the till has not loaded the stream that head office compared, it is asked again."""
        planned, of = self._prepared.plan.find(name), self._answer.tables.get(name)
        assert planned is not None
        channel, table = planned
        stream = self._row["streams"].get(channel.name)
        if self._row["step"] >= STEPS_MAX:
            return None, msgspec.structs.replace(found, done=_not_loaded(channel, table))
        if of is None or (channel.goes_down and (stream is None or self._answer.streams.get(channel.name) != stream)):
            return ask, found
        subject = Subject(channel, table, compared_columns(channel, table, ask.without))
        scope = str(stream) if channel.goes_down else str(self._row["node"])
        return judge(subject, ask, of, self._side(subject, scope, ask, of), found)

    def _side(self, subject: Subject, scope: str, ask: TableAsk, of: TableAnswer) -> Side:
        name, kind = subject.table.name, kind_of(ask)
        if ask.listed:
            return Side({}, (), frozenset(), self._unlisted(subject, ask, of.marks))
        if not ask.rows:
            return Side(self._digests.get((scope, name, kind), {}), (), frozenset())
        at = {"n": self._row["n"], "scope": scope, "tab": name, "kind": kind}
        told = [tuple(r["texts"]) for r in self._rows("rows_of", **at, buckets=list(ask.within))]
        return Side({}, told, self._conflicts(subject))

    @cached_property
    def _digests(self) -> Mapping[tuple[str, str, str], dict[int, Digest]]:
        """All of the branch's at once, by scope, table and kind: most tables need no more."""
        scopes = [str(self._row["node"]), *map(str, self._row["streams"].values())]
        found: dict[tuple[str, str, str], dict[int, Digest]] = {}
        for r in self._rows("digests", n=self._row["n"], scopes=scopes):
            found.setdefault((r["scope"], r["tab"], r["kind"]), {})[r["bucket"]] = (r["rows"], r["hi"], r["lo"])
        return found

    def _conflicts(self, subject: Subject) -> frozenset[tuple[str | None, ...]]:
        if not subject.is_one_way:
            return frozenset()
        keys = self._rows("conflicts_of", node=self._row["node"], tab=subject.table.name)
        return frozenset(tuple(r["key"].get(c.name) for c in subject.table.till_key) for r in keys)

    def _unlisted(self, subject: Subject, ask: TableAsk, marks: bytes) -> Sequence[int]:
        node = self._row["node"]
        (params,) = (r["params"] for r in self._rows("nodes", nodes=[node]))
        is_utf8 = self._conn.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        asked = Asked(node, params, {}, {})
        query = unlisted(self._prepared, subject.channel, subject.table, ask, asked, marks, is_utf8=is_utf8)
        return [key_hash for (key_hash,) in self._conn.execute(query).fetchall()]

    def _rows(self, block: str, **given: Any) -> list[dict[str, Any]]:
        with self._conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(assets.query(f"central/reconcile.{block}"), given).fetchall()


def _not_loaded(channel: Channel, table: Table) -> TableComparison:
    return TableComparison(
        table.name,
        channel.name,
        channel.direction,
        0,
        0,
        truncated=True,
        note="the till has not loaded this channel yet",
    )


class Maker:
    """Makes head office's side of one tick, in a thread, on a connection that sees what the tick saw."""

    def __init__(self, dsn: str, n: int, snapshot: str, make: Callable[[psycopg.Connection], None]) -> None:
        self.n = n
        self._conn = postgres.connect(dsn, "tillsync reconcile")
        try:
            self._conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            self._conn.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        except BaseException:
            self._conn.close()
            raise
        self._lay_down = make
        self.error: Exception | None = None
        self._thread = Thread(target=self._make, name="tillsync-reconcile", daemon=True)
        self._thread.start()

    def is_done(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def give_up(self) -> None:
        self._conn.cancel_safe(timeout=1)
        self._thread.join()

    def _make(self) -> None:
        try:
            # A large table takes as long as it takes; nobody waits for it.
            self._conn.execute("SET LOCAL statement_timeout = 0")
            self._lay_down(self._conn)
            self._conn.execute(assets.query("central/reconcile.side_is_there"), {"n": self.n})
            self._conn.execute("COMMIT")
        except Exception as e:
            self.error = e
        finally:
            self._conn.close()
