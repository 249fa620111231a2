"""The life of one row at head office: captured when, in which tick, held by which streams, or what keeps it away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.central.capture import Captured, identifier
from orchestrator.central.routing import parameter
from orchestrator.central.schema import Prepared
from orchestrator.core.filters import Filter
from orchestrator.core.plan import Channel, Table
from orchestrator.errors import ConfigError, UsageError


@dataclass(frozen=True)
class Subject:
    """A row of a table of the plan, by its key as texts."""

    conn: psycopg.Connection
    prepared: Prepared
    channel: Channel
    table: Table
    key: tuple[str, ...]

    @cached_property
    def captured(self) -> Captured | None:
        """What captures it; None for a table that only goes up."""
        return next((c for c in self.prepared.captured if c.tab == self.table.name), None)

    @cached_property
    def filter(self) -> Filter | None:
        """What decides which branch gets it."""
        return self.prepared.filters.get(self.table.name)

    def rows(self, block: str, alias: str, **names: Any) -> list[dict[str, Any]]:
        """The rows of a block; `alias` is what its key columns are compared in."""
        pairs = zip(self.table.key, self.key, strict=True)
        same = [sql.SQL("{} = {}").format(sql.Identifier(alias, k), sql.Literal(v)) for k, v in pairs]
        query = sql.SQL(assets.query(f"central/life.{block}"))
        composed = query.format(is_key=sql.SQL(" AND ").join(same), **names)
        with self.conn.cursor(row_factory=dict_row) as cursor:
            try:
                return cursor.execute(composed).fetchall()
            except psycopg.DataError as e:
                raise UsageError(
                    "TS-703", f"{', '.join(self.key)} is no key of {self.table.name}: {e.diag.message_primary}",
                    hint=f"its key is {', '.join(self.table.key)}",
                ) from None  # fmt: skip

    def recorded(self, block: str) -> list[dict[str, Any]]:
        """Parked changes or conflicts of it."""
        given = {"tab": self.table.name, "key": Jsonb(dict(zip(self.table.key, self.key, strict=True)))}
        with self.conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(assets.query(f"central/life.{block}"), given).fetchall()


def subject(conn: psycopg.Connection, prepared: Prepared, table: str, key: Sequence[str]) -> Subject:
    """The row that is asked about. `key`: its values in the key's order, or name=value; one text may hold several, with
    commas. Raises ConfigError TS-147 for a table that the plan does not have, UsageError TS-703 for another key."""
    full = table if "." in table else f"public.{table}"
    found = prepared.plan.find(full)
    if found is None:
        known = ", ".join(sorted(t.name for _, t in prepared.plan.tables()))
        raise ConfigError("TS-147", f"the plan has no table {full}", hint=f"it has {known}")
    channel, described = found
    given = list(key)
    if len(given) == 1 and len(described.key) > 1:
        given = given[0].split(",")
    named = dict(g.split("=", 1) for g in given if g.partition("=")[0] in described.key and "=" in g)
    values = [named[k] for k in described.key] if set(named) == set(described.key) else given
    if len(values) != len(described.key):
        raise UsageError(
            "TS-703", f"{', '.join(key)} is no key of {full}", hint=f"its key is {', '.join(described.key)}"
        )
    return Subject(conn, prepared, channel, described, tuple(values))


def life(asked: Subject) -> dict[str, Any]:
    """Everything that head office knows of it."""
    table = identifier(asked.table.name)
    shipped = sql.SQL(", ").join(sql.Identifier("r", c.name) for c in asked.table.columns)
    found = asked.rows("row", "r", table=table, columns=shipped)
    captured = asked.captured
    told: dict[str, Any] = {
        "table": asked.table.name,
        "channel": asked.channel.name,
        "key": dict(zip(asked.table.key, asked.key, strict=True)),
        "row": found[0]["row"] if found else None,
        "captured": asked.rows("captured", "l", log=sql.Identifier(captured.log)) if captured else [],
        "streams": [],
        "branches": [],
        "filter": asked.filter.text if asked.filter else None,
        "parked": asked.recorded("parked"),
        "conflicts": asked.recorded("conflicts"),
    }
    if captured is not None and captured.hold:
        hold = sql.Identifier(captured.hold)
        told["streams"] = asked.rows("streams", "h", hold=hold)
        told["branches"] = asked.rows("branches", "h", hold=hold, channel=asked.channel.name)
    return told


def terms(asked: Subject, node: str) -> list[dict[str, Any]]:
    """The terms of the filter for one branch, in the order of the text: depth, term, value; none without the row."""
    if asked.filter is None:
        return []
    found = asked.filter.terms("r", "s")
    listed = [
        sql.SQL("({})::boolean AS {}").format(sql.SQL(t.sql), sql.Identifier(str(i))) for i, t in enumerate(found)
    ]
    types = asked.prepared.plan.parameters
    typed = [parameter(name, types[name]) for name in sorted(asked.filter.parameters)]
    rows = asked.rows(
        "terms",
        "r",
        terms=sql.SQL(", ").join(listed),
        table=identifier(asked.table.name),
        parameters=sql.SQL("").join(typed),
        node=node,
    )
    values = rows[0] if rows else {}
    return [{"depth": t.depth, "term": t.text, "value": values[str(i)]} for i, t in enumerate(found)] if rows else []
