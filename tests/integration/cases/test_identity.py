"""Keys and numbers that both ends draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.core.world import World
from orchestrator.service.checking import of_central
from tests.integration.cases.shop import Shop

CENTRAL = "CREATE TABLE t (id serial PRIMARY KEY, what text)"
TILL = "CREATE TABLE t (id INTEGER PRIMARY KEY, what TEXT)"


def shop_of(database: Callable[..., str], world: World, place: Path, **table: object) -> Shop:
    channels = [{"name": "all", "direction": "both", "table": [{"name": "t", **table}]}]
    return Shop(database, world, place, central=CENTRAL, till=TILL, channels=channels)


def test_b19_the_same_key_drawn_at_three_places_overwrites_nothing_unsaid(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    shop = shop_of(database, world, tmp_path, policy="append_only")
    try:
        one, two = shop.till("T1", "B1"), shop.till("T2", "B2")
        shop.settle()
        one.sql("INSERT INTO t VALUES (70, 'order X')")
        two.sql("INSERT INTO t VALUES (70, 'order Z')")
        shop.sql("INSERT INTO t VALUES (70, 'order Y')")
        shop.settle()
        assert shop.sql("SELECT * FROM t") == [(70, "order Y")]
        assert one.sql("SELECT * FROM t") == two.sql("SELECT * FROM t") == [(70, "order Y")]
        kept = shop.sql("SELECT node, theirs ->> 'what', winner FROM tillsync.conflict ORDER BY 1")
        assert kept == [("T1", "order X", "central"), ("T2", "order Z", "central")], "both are kept, and said"
    finally:
        shop.close()


def test_b63_a_till_draws_its_next_key_after_those_that_came_down(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    shop = shop_of(database, world, tmp_path, policy="column_merge")
    try:
        shop.sql("INSERT INTO t (what) SELECT 'n' FROM generate_series(1, 500)")
        one = shop.till("T1", "B1")
        shop.settle()
        one.sql("INSERT INTO t (what) VALUES ('drawn at the till')")
        shop.settle()
        assert shop.sql("SELECT id FROM t WHERE what = 'drawn at the till'") == [(501,)]
        assert one.sql("SELECT count(*) FROM t") == [(501,)]
        found = [f for f in of_central(shop.settings, world) if f.subject == "keys"]
        assert [f.what for f in found] == [
            "public.t.id comes up from tills, and head office draws it from public.t_id_seq"
        ], "head office's own next number would be 501 as well, which the check says beforehand"
    finally:
        shop.close()
