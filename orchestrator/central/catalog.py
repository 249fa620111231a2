"""Central's catalog: the application's tables with their columns, types and keys."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import psycopg
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.core.planning import CatalogTable

_WITHOUT_MODIFIER = {"character": "bpchar", "bit": "bit varying", "character[]": "bpchar[]", "bit[]": "bit varying[]"}


def read(conn: psycopg.Connection) -> Mapping[str, CatalogTable]:
    """Every table of the application by its full name, such as `public.item`.

    Types of its own have their schema's name, since the triggers look for them with a search path of their own.
    """
    path = "SELECT set_config('search_path', %s, true)"
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        before = cursor.execute("SELECT current_setting('search_path') AS path").fetchall()[0]["path"]
        cursor.execute(path, ["pg_catalog"])
        rows = cursor.execute(assets.query("central.catalog")).fetchall()
        cursor.execute(path, [before])
    tables = (
        msgspec.convert(
            {
                "name": f"{row['schema']}.{row['table']}",
                "columns": row["columns"] or [],
                "key": row["key"] or [],
                "unique": row["unique"] or [],
                "parts": row["parts"] or [],
                "leaves": row["leaves"] or [],
            },
            CatalogTable,
        )
        for row in rows
    )
    return {table.name: table for table in tables}


def without_modifier(base: str) -> str:
    """A type, given as `format_type` prints it without its modifier, as one that holds values of any length."""
    return _WITHOUT_MODIFIER.get(base, base)
