"""Comparing head office with its tills, through the whole chain, while both go on."""

from __future__ import annotations

import pytest

from orchestrator.central import reconcile_report
from orchestrator.core.reconciliation import Report, TableComparison
from tests.integration.cases.shop import Shop, Till


def compared(shop: Shop, *tills: Till, tables: tuple[str, ...] = (), rounds: int = 20) -> Report:
    """A comparison of tills, or of all, from its question to its end."""
    chosen = tills or tuple(shop.tills.values())
    nodes = [till.node for till in chosen]
    number = reconcile_report.start(shop.conn, shop.world, nodes, tables)
    for _ in range(rounds):
        shop.agent.round()
        for till in chosen:
            till.sync()
        if not reconcile_report.open_nodes(shop.conn, number):
            heard = {node: shop.world.now() for node in nodes}
            return reconcile_report.report(
                shop.conn, shop.prepared, shop.world.now(), heard, nodes=nodes, tables=tables
            )
    raise AssertionError(f"no result after {rounds} rounds")


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


@pytest.fixture
def till(shop: Shop) -> Till:
    """A till with rows of every table, which both ends have."""
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO item SELECT i, 'c' || i, 'Item ' || i, i FROM generate_series(1, 400) i")
    shop.sql("INSERT INTO branch_item SELECT 'B1', i FROM generate_series(1, 300) i")
    shop.sql("INSERT INTO contact SELECT 'K' || i, i::text, 'Anna', 'a@b', 'Wien' FROM generate_series(1, 20) i")
    for number in range(1, 31):
        till.sql("INSERT INTO closure VALUES (?, '2026-03-01', 10.5)", number)
        till.sql("INSERT INTO sales_order VALUES (?, 'B1', 'n', 'draft', 'x', 1)", f"O{number}")
    shop.settle()
    return till


def test_b87_what_agrees_is_equal_and_what_differs_is_found(shop: Shop, till: Till) -> None:
    report = compared(shop)
    assert report.equal
    assert {n: (t.central_rows, t.till_rows) for n, t in tables_of(report).items()} == {
        "item": (300, 300),
        "price_list": (0, 0),
        "price": (0, 0),
        "contact": (20, 20),
        "sales_order": (30, 30),
        "stock": (0, 0),
        "closure": (30, 30),
    }


def unseen(till: Till, statement: str, *values: object) -> None:
    """Writes at a till whose triggers do not fire."""
    till.sql("UPDATE tillsync_state SET applying = 1")
    till.sql(statement, *values)
    till.sql("UPDATE tillsync_state SET applying = 0")


def written_to(statement: str) -> str:
    return statement.split()[2] if statement.startswith(("INSERT", "DELETE")) else statement.split()[1]


def bulk_loaded(shop: Shop, statement: str) -> None:
    """As pg_restore does it, with the triggers disabled."""
    table = written_to(statement)
    with shop.conn.transaction():
        shop.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        shop.sql(statement)
        shop.sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def unseen_at_head_office(shop: Shop, statement: str) -> None:
    """A write that left no trace in the log, for whatever reason."""
    with shop.conn.transaction():
        shop.sql(statement)
        shop.sql(f"DELETE FROM tillsync.log_{written_to(statement)} WHERE xid = pg_current_xact_id()")


def test_b87_injected_differences_are_all_found_and_nothing_else(shop: Shop, till: Till) -> None:
    unseen(till, "UPDATE item SET name = 'wrong' WHERE id = 7")
    unseen(till, "DELETE FROM item WHERE id = 9")
    unseen(till, "INSERT INTO item VALUES (9999, 'x', 'extra', 1)")
    unseen(till, "UPDATE contact SET email = NULL, city = '' WHERE id = 'K3'")
    unseen(till, "DELETE FROM closure WHERE number = 5")  # a till may tidy up
    unseen(till, "UPDATE closure SET total = 11 WHERE number = 6")
    unseen(till, "INSERT INTO closure VALUES (99, '2026-03-02', 1)")
    till.sql("UPDATE contact SET phone = 'on its way' WHERE id = 'K5'")
    till.sql("INSERT INTO sales_order VALUES ('O99', 'B1', 'n', 'draft', 'x', 1)")
    report = compared(shop)
    assert not report.equal
    found = tables_of(report)
    assert told(found["item"]) == [
        ("different", "7", "name"),
        ("extra", "9999"),
        ("missing", "9"),
    ]
    assert told(found["contact"]) == [("different", "K3", "email", "city")]
    assert told(found["closure"]) == [("different", "6", "total"), ("extra", "99")]
    assert found["sales_order"].equal
    (different,) = (d for d in found["contact"].differences if d.kind == "different")
    assert [(c.central, c.till) for c in different.columns] == [("a@b", None), ("Wien", "")]
