"""Head office is at work in its own tables while uploads are merged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.central import parked
from orchestrator.core.world import World
from tests.integration.cases.shop import Died, Shop, Till, dying_at

LATER = 1.3
"""Seconds: PostgreSQL looks for a deadlock once, a second after a wait begins. Who waits later is its victim."""


def test_b86_the_application_is_never_the_victim_of_a_deadlock_with_a_merge(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', 'a@x', 'Rome')")
    shop.sql("INSERT INTO sales_order VALUES ('o1', 'B1', '1', 'draft', NULL, 1)")
    shop.settle()
    one.sql("UPDATE contact SET city = 'Oslo'")
    one.sql("UPDATE sales_order SET status = 'paid'")
    one.sync()
    with psycopg.connect(shop.settings.central.dsn) as erp:
        erp.execute("UPDATE sales_order SET note = 'seen'")
        merging = threading.Thread(target=shop.agent.round)
        merging.start()
        time.sleep(LATER)  # the merge has the contact by now, and waits for the order
        erp.execute("UPDATE contact SET email = 'b@x'")
        erp.commit()
        merging.join(timeout=30)
        assert not merging.is_alive()
    shop.settle()
    assert (
        shop.sql("SELECT city, email FROM contact") == one.sql("SELECT city, email FROM contact") == [("Oslo", "b@x")]
    )
    ordered = "SELECT status, note FROM sales_order"
    assert shop.sql(ordered) == one.sql(ordered) == [("paid", "seen")]
    assert (
        shop.sql("SELECT count(*) FROM tillsync.parked") == shop.sql("SELECT count(*) FROM tillsync.conflict") == [(0,)]
    )


SALES_CENTRAL = """
CREATE TABLE item (id int PRIMARY KEY, sold numeric NOT NULL DEFAULT 0);
CREATE TABLE sale (id text PRIMARY KEY, total numeric(12,2));
CREATE TABLE line (sale_id text REFERENCES sale, no int, item_id int, qty numeric, PRIMARY KEY (sale_id, no),
                   FOREIGN KEY (item_id) REFERENCES item DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION sold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE item SET sold = sold + NEW.qty WHERE id = NEW.item_id; RETURN NULL; END $$;
CREATE TRIGGER sold AFTER INSERT ON line FOR EACH ROW EXECUTE FUNCTION sold();
"""
SALES_TILL = """
CREATE TABLE item (id INTEGER PRIMARY KEY);
CREATE TABLE sale (id TEXT PRIMARY KEY, total NUMERIC);
CREATE TABLE line (sale_id TEXT REFERENCES sale, no INTEGER, item_id INTEGER, qty NUMERIC, PRIMARY KEY (sale_id, no));
"""
SALES: list[dict[str, Any]] = [
    {"name": "items", "direction": "down", "table": [{"name": "item", "columns": ["id"]}]},
    {"name": "sales", "direction": "up", "table": [{"name": "sale"}, {"name": "line"}]},
]
SEEN = "SELECT count(*), (SELECT count(*) FROM sale), (SELECT coalesce(sum(sold), 0) FROM item) FROM line"


def test_b50_an_order_is_seen_whole_or_not_at_all_wherever_the_line_is_cut(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    shop = Shop(database, world, tmp_path, central=SALES_CENTRAL, till=SALES_TILL, channels=SALES)
    try:
        shop.sql("INSERT INTO item VALUES (1), (2)")
        one = shop.till("T1", "B1")
        shop.settle()
        one.settings = one.settings.model_copy(update={"part_rows_max": 10})
        sell(one, "s1", item=1)
        for parts in range(4):
            one.restart(dying_at(world, "push.part", after=parts) if parts < 3 else dying_at(world, "push.sent"))
            with pytest.raises(Died):
                one.sync()
            shop.agent.round()
            assert shop.sql(SEEN) in ([(0, 0, 0)], [(30, 1, 30)])
        assert shop.sql(SEEN) == [(30, 1, 30)], "all parts of it were there"
        one.restart()
        sell(one, "s2", item=2)
        one.sync()
        for point in ("collect.fetched", "collect.merged"):
            shop.restart(dying_at(world, point))
            with pytest.raises(Died):
                shop.agent.round()
            assert shop.sql(SEEN) == [(30, 1, 30)]
        shop.restart()
        shop.settle()
        assert shop.sql(SEEN) == [(60, 2, 60)], "and it is counted once"
        sell(one, "s3", item=3)  # a foreign key that is looked at when the transaction ends
        sell(one, "s4", item=1)
        shop.settle()
        assert shop.sql(SEEN) == [(90, 3, 90)]
        shop.sql("INSERT INTO item VALUES (3)")
        assert parked.retry(shop.conn, shop.prepared.plan, force=True) == 31
        assert shop.sql(SEEN) == [(120, 4, 120)]
        one.restart(dying_at(world, "apply.rows"))
        with pytest.raises(Died):
            shop.sync()
        assert one.sql("SELECT count(*) FROM item") == [(2,)]
        one.restart()
        shop.settle()
        assert one.sql("SELECT count(*) FROM item") == [(3,)]
        assert shop.sql(SEEN) == [(120, 4, 120)]
    finally:
        shop.close()


def sell(till: Till, number: str, item: int) -> None:
    till.sql("BEGIN")
    till.sql("INSERT INTO sale VALUES (?, 30)", number)
    for line in range(1, 31):
        till.sql("INSERT INTO line VALUES (?, ?, ?, 1)", number, line, item)
    till.sql("COMMIT")
