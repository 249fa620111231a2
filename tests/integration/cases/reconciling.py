"""A chain to be compared, and what makes its ends differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.central import reconcile_repair, reconcile_report
from orchestrator.core.reconciliation import Report, TableComparison
from orchestrator.core.world import World
from tests.integration.cases.shop import CENTRAL, CHANNELS, TILL, Shop, Till

MORE_CENTRAL = """
CREATE TABLE receipt (id text PRIMARY KEY, total numeric(12,2), day date);
CREATE TABLE spelled (till text, id int, price numeric(12,4), x double precision, f real, yes boolean, day date, at timestamp,
                      instant timestamptz, tag uuid, raw bytea, name text, fixed character(8), cents numeric(10,2),
                      ms timestamptz, wall timestamptz, PRIMARY KEY (till, id));
"""
MORE_TILL = """
CREATE TABLE receipt (id TEXT PRIMARY KEY, total NUMERIC, day TEXT);
CREATE TABLE spelled (id INTEGER PRIMARY KEY, price, x, f, yes, day, at, instant, tag, raw, name, fixed, cents, ms, wall);
"""
SPELLED = {
    "name": "spelled",
    "set": {"till": ":node"},
    "encode": {"cents": "minor_units", "ms": "unix_ms", "wall": "local:Europe/Bratislava"},
}
MORE: list[dict[str, Any]] = [{"name": "more", "direction": "up", "table": [{"name": "receipt"}, SPELLED]}]


def shop_of(database: Callable[..., str], world: World, directory: Path) -> Shop:
    """The cases' tables, and tables that only go up: one that nothing tells tills apart in, one of many spellings."""
    return Shop(
        database, world, directory, central=CENTRAL + MORE_CENTRAL, till=TILL + MORE_TILL, channels=CHANNELS + MORE
    )


def filled(shop: Shop, node: str, branch: str) -> Till:
    """A till with rows of every table, which both ends have."""
    till = shop.till(node, branch)
    shop.sql(
        "INSERT INTO item SELECT i, 'c' || i, 'Item ' || i, i FROM generate_series(1, 400) i ON CONFLICT DO NOTHING"
    )
    shop.sql("INSERT INTO branch_item SELECT %s, i FROM generate_series(1, 300) i", branch)
    shop.sql(
        "INSERT INTO contact SELECT 'K' || i, i::text, 'Anna', 'a@b', 'Wien' FROM generate_series(1, 20) i ON CONFLICT DO NOTHING"
    )
    for number in range(1, 31):
        till.sql("INSERT INTO closure VALUES (?, '2026-03-01', 10.5)", number)
        till.sql("INSERT INTO sales_order VALUES (?, ?, 'n', 'draft', 'x', 1)", f"{node}-{number}", branch)
        till.sql("INSERT INTO receipt VALUES (?, 2, '2026-03-01')", f"{node} {number}")
    shop.settle()
    return till


def compared(
    shop: Shop,
    *tills: Till,
    tables: tuple[str, ...] = (),
    rounds: int = 25,
    meanwhile: Callable[[], None] = lambda: None,
) -> Report:
    """A comparison of tills, or of all, from its question to its end."""
    chosen = tills or tuple(shop.tills.values())
    nodes = [till.node for till in chosen]
    full = tuple(f"public.{name}" for name in tables)
    number = reconcile_report.start(shop.conn, shop.world, nodes, full)
    for _ in range(rounds):
        meanwhile()
        shop.agent.round()
        for till in chosen:
            till.sync()
        if not reconcile_report.open_nodes(shop.conn, number):
            return known(shop, *nodes, tables=full)
    raise AssertionError(f"no result after {rounds} rounds")


def known(shop: Shop, *nodes: str, tables: tuple[str, ...] = (), alive: bool = True) -> Report:
    """What the last comparisons came to, of tills that are heard of."""
    now = shop.world.now()
    heard = dict.fromkeys(nodes, now) if alive else {}
    return reconcile_report.report(shop.conn, shop.prepared, now, heard, nodes=nodes, tables=tables)


def tables_of(report: Report, node: str = "T1") -> dict[str, TableComparison]:
    (branch,) = (b for b in report.branches if b.branch == node)
    assert branch.state == "compared"
    return {t.table.removeprefix("public."): t for t in branch.tables}


def told(comparison: TableComparison) -> list[tuple[str, ...]]:
    """Kind, key and the columns that differ, of every listed difference."""
    return sorted(
        (d.kind, *(str(v) for v in d.key.values()), *(c.column for c in d.columns if d.kind == "different"))
        for d in comparison.differences
    )


def repaired(shop: Shop, *tables: str, keys: tuple[tuple[str, ...], ...] = ()) -> list[tuple[str, str, int]]:
    """Plans and does it, and lets it come through; table, way and rows of each step."""
    steps = reconcile_repair.plan(shop.conn, shop.prepared, list(shop.tills), [f"public.{t}" for t in tables], keys)
    assert reconcile_repair.apply(shop.conn, shop.relay, shop.prepared, shop.world, steps) == []
    shop.settle()
    return sorted((s.table.removeprefix("public."), s.way, s.rows) for s in steps)


def unseen(till: Till, statement: str, *values: object) -> None:
    """Writes at a till whose triggers do not fire."""
    till.sql("UPDATE tillsync_state SET applying = 1")
    till.sql(statement, *values)
    till.sql("UPDATE tillsync_state SET applying = 0")


def unseen_at_head_office(shop: Shop, statement: str) -> None:
    """A write that left no trace in the log, for whatever reason."""
    with shop.conn.transaction():
        shop.sql(statement)
        shop.sql(f"DELETE FROM tillsync.log_{written_to(statement)} WHERE xid = pg_current_xact_id()")


def bulk_loaded(shop: Shop, statement: str) -> None:
    """As pg_restore does it, with the triggers disabled."""
    table = written_to(statement)
    with shop.conn.transaction():
        shop.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        shop.sql(statement)
        shop.sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def written_to(statement: str) -> str:
    return statement.split()[2] if statement.startswith(("INSERT", "DELETE")) else statement.split()[1]
