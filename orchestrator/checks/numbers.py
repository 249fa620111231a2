"""Printed numbers that were given twice: two tills that went on with one series while they were offline.

Both documents are legal and both stay; what somebody has to see is that they have one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central.capture import Captured, identifier
from orchestrator.central.schema import Prepared
from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Table
from orchestrator.settings import CentralSettings

SUBJECT = "numbers"
REMEDY = "correct one with its customer, and number per till: a series of its own, or the till in the number"


def findings(conn: psycopg.Connection, prepared: Prepared, settings: CentralSettings) -> Iterator[Finding]:
    """Of the tables whose settings say what their `number` is."""
    numbered = {t.full_name: t.number for channel in settings.channel for t in channel.table if t.number}
    captured = {c.tab: c for c in prepared.captured if c.hold is not None}
    for _, table in prepared.plan.tables():
        columns = numbered.get(table.name)
        if columns is None:
            continue
        there = {c.name for c in prepared.catalog[table.name].columns}
        if strange := [c for c in columns if c not in there]:
            yield Finding(SUBJECT, f"{table.name} has no column {strange[0]}", "correct `number`")
            continue
        with conn.cursor(row_factory=dict_row) as cursor:
            for row in cursor.execute(_query(table, columns, captured.get(table.name))).fetchall():
                yield Finding(SUBJECT, _said(table, columns, row), REMEDY)


def _query(table: Table, columns: Sequence[str], captured: Captured | None) -> sql.Composed:
    key = [sql.SQL("r.{}::text").format(sql.Identifier(k)) for k in table.key]
    return sql.SQL(assets.query("checks.numbers")).format(
        table=identifier(table.name),
        number=sql.SQL(", ").join(sql.SQL("r.{}").format(sql.Identifier(c)) for c in columns),
        texts=sql.SQL(", ").join(sql.SQL("r.{}::text").format(sql.Identifier(c)) for c in columns),
        key=sql.SQL(", ").join(key),
        sender=_sender(table, captured),
    )


def _sender(table: Table, captured: Captured | None) -> sql.Composable:
    """Who sent a row: its own column says so, or the echo that was asked for it; null where neither does."""
    own = next((column for column, value in table.set.items() if value == ":node"), None)
    if own is not None:
        return sql.SQL("r.{}::text").format(sql.Identifier(own))
    if captured is None:
        return sql.SQL("NULL::text")
    pairs = [sql.SQL("l.{0} = r.{0}").format(sql.Identifier(k)) for k in captured.key]
    return sql.SQL("(SELECT min(l.origin) FROM tillsync.{} l WHERE {} AND l.origin IS NOT NULL)").format(
        sql.Identifier(captured.log), sql.SQL(" AND ").join(pairs)
    )


def _said(table: Table, columns: Sequence[str], row: dict[str, Any]) -> str:
    number = ", ".join(f"{c} {n}" for c, n in zip(columns, row["number"], strict=True))
    rows = "; ".join(
        ", ".join(key) + (f" from {sender}" if sender else "")
        for key, sender in zip(row["keys"], row["senders"], strict=True)
    )
    more = f" and {row['count'] - len(row['keys'])} more" if row["count"] > len(row["keys"]) else ""
    return f"{table.name}: {number} was given {row['count']} times: {rows}{more}"
