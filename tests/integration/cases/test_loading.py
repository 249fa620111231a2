"""Field cases of first loads, reloads, and files that were full or empty before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from orchestrator.core.world import World
from orchestrator.errors import ConfigError, UsageError
from orchestrator.relay import client
from orchestrator.service import office as offices
from orchestrator.service import seed as seeds
from orchestrator.till.setup import install_till
from tests.integration.cases.shop import TILL, Shop, Till, open_app

ITEMS = "SELECT id, code, name, price FROM item ORDER BY id"


def stocked(shop: Shop, items: int = 6) -> None:
    shop.sql("INSERT INTO item SELECT g, 'c' || g, 'item ' || g, g FROM generate_series(1, %s) g", items)
    shop.sql("INSERT INTO branch_item SELECT 'B1', g FROM generate_series(1, %s) g", items)


def as_floats(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(*row[:-1], pytest.approx(float(row[-1]))) for row in rows]


def office(shop: Shop) -> offices.Office:
    return offices.Office(shop.settings, shop.world, shop.conn, shop.relay, shop.prepared)


@pytest.mark.parametrize("number", range(3))
def test_b76_a_load_that_starts_while_the_triggers_are_installed(shop: Shop, number: int) -> None:
    """A writer at head office goes on through installing and loading."""
    stocked(shop, 50)
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        import psycopg

        with psycopg.connect(shop.settings.central.dsn, autocommit=True) as app:
            while not stop.is_set():
                n = 1000 + len(written)
                app.execute("INSERT INTO item VALUES (%s, %s, 'made', 1)", (n, f"m{n}"))
                app.execute("INSERT INTO branch_item VALUES ('B1', %s)", (n,))
                app.execute("UPDATE item SET price = price + 1 WHERE id = %s", (1 + n % 50,))
                if n % 3 == 0:
                    app.execute("DELETE FROM item WHERE id = %s", (n - 2,))
                written.append(n)
                stop.wait(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        one = shop.till("T1", "B1")
        for _ in range(6):
            shop.sync(one)
    finally:
        stop.set()
        writer.join()
    shop.settle()
    assert len(written) > 20
    assert one.sql(ITEMS) == as_floats(shop.sql(ITEMS))


@pytest.mark.parametrize("inline_bytes", [0, client.INLINE_BYTES_MAX])
def test_b78_a_reload_keeps_what_was_not_sent_and_what_is_parked(
    shop: Shop, inline_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "INLINE_BYTES_MAX", inline_bytes)
    stocked(shop)
    shop.sql("INSERT INTO contact VALUES ('hq', '0555', 'Head', 'h@x', 'Nitra')")
    one = shop.till("T1", "B1")
    shop.settle()
    one.sql("INSERT INTO sales_order VALUES ('B1-0', 'B1', '0', 'paid', NULL, 99999999999999)")  # no numeric(12,2)
    shop.settle()
    assert shop.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked'") == [(1,)]
    for number in range(1, 5):
        one.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', NULL, 10)", f"B1-{number}", str(number))
    with pytest.raises(ConfigError, match="TS-145"):
        offices.reload(office(shop), "T1", "nothing")
    assert set(offices.reload(office(shop), "T1", None)) == {"catalogue", "contacts", "orders"}
    one.app.execute("CREATE TABLE seen (id)")
    one.app.execute("CREATE TRIGGER app_sees AFTER UPDATE ON item BEGIN INSERT INTO seen VALUES (NEW.id); END")
    shop.settle()
    assert [r[0] for r in one.sql("SELECT id FROM sales_order ORDER BY 1")] == [f"B1-{n}" for n in range(5)]
    assert [r[0] for r in shop.sql("SELECT id FROM sales_order ORDER BY 1")] == [f"B1-{n}" for n in range(1, 5)]
    assert shop.sql("SELECT count(*) FROM tillsync.parked WHERE state = 'parked'") == [(1,)]
    assert one.sql("SELECT min(loaded_tick) FROM tillsync_stream")[0][0] > 1
    assert one.sql("SELECT count(*) FROM seen") == [(0,)], "equal rows are not touched"


def test_b78_an_emptied_till_deletes_nothing_and_is_loaded(shop: Shop) -> None:
    stocked(shop)
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, NULL)")
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    shop.settle()
    before = shop.sql("SELECT count(*) FROM contact"), shop.sql("SELECT count(*) FROM closure")
    one.agent.close()
    one.app.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{one.file}{suffix}").unlink(missing_ok=True)
    one.app = open_app(one.file)
    one.app.execute(TILL)
    install_till(one.settings, shop.world)
    one.restart()
    one.sql("INSERT INTO closure VALUES (2, '2024-03-02', 50)")
    shop.settle()
    assert (shop.sql("SELECT count(*) FROM contact"), [(1,)]) == (before[0], before[1])
    assert one.sql(ITEMS) == as_floats(shop.sql(ITEMS))
    assert one.sql("SELECT id FROM contact") == [("c1",)]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(150,)]


@pytest.mark.parametrize("inline_bytes", [0, client.INLINE_BYTES_MAX])
def test_a_till_with_data_is_adopted(shop: Shop, inline_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal rows are not touched, others become head office's, and what only the till has is set aside."""
    monkeypatch.setattr(client, "INLINE_BYTES_MAX", inline_bytes)
    stocked(shop)
    tables = TILL + (
        "INSERT INTO item VALUES (1, 'c1', 'item 1', 1), (2, 'c2', 'other', 2), (77, 'own', 'it''s own', 7.5);"
        "INSERT INTO contact VALUES ('mine', '1', 'Own', NULL, NULL);"
        "CREATE TABLE seen (what, id);"
        "CREATE TRIGGER sees_update AFTER UPDATE ON item BEGIN INSERT INTO seen VALUES ('U', NEW.id); END;"
        "CREATE TRIGGER sees_insert AFTER INSERT ON item BEGIN INSERT INTO seen VALUES ('I', NEW.id); END;"
    )
    shop.till_tables = tables
    one = shop.till("T1", "B1")
    one.sql("DELETE FROM seen")
    shop.settle()
    assert one.sql(ITEMS) == as_floats(shop.sql(ITEMS))
    assert sorted(one.sql("SELECT * FROM seen")) == [("I", n) for n in (3, 4, 5, 6)] + [("U", 2)]
    aside = one.sql("SELECT central, statement FROM tillsync_extra ORDER BY 1")
    assert [central for central, _ in aside] == ["public.contact", "public.item"]
    one.sql("DELETE FROM seen")
    one.sql(aside[1][1])
    assert one.sql("SELECT id, code, name, price FROM item WHERE id = 77") == [(77, "own", "it's own", 7.5)]
    (report,) = shop.relay.reports()
    assert report["body"]["extra"] == 2


@pytest.mark.parametrize("inline_bytes", [0, client.INLINE_BYTES_MAX])
@pytest.mark.parametrize("policy", ["branch_wins", "central_wins"])
def test_a_difference_at_a_first_load_is_decided_by_policy(
    database: Callable[..., str],
    world: World,
    tmp_path: Path,
    policy: str,
    inline_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "INLINE_BYTES_MAX", inline_bytes)
    channels = [{"name": "contacts", "direction": "both", "table": [{"name": "contact", "policy": policy}]}]
    shop = Shop(database, world, tmp_path, channels=channels)
    try:
        shop.sql("INSERT INTO contact VALUES ('a', '1', 'Ann', NULL, 'Nitra'), ('b', '2', 'Bea', NULL, NULL)")
        shop.till_tables = (
            TILL + "INSERT INTO contact VALUES ('a', '1', 'Anna', NULL, 'Nitra'), ('b', '2', 'Bea', NULL, NULL);"
        )
        one = shop.till("T1", "B1")
        shop.settle()
        name = "Anna" if policy == "branch_wins" else "Ann"
        for rows in (
            one.sql("SELECT id, name FROM contact ORDER BY 1"),
            shop.sql("SELECT id, name FROM contact ORDER BY 1"),
        ):
            assert rows == [("a", name), ("b", "Bea")]
        assert shop.sql("SELECT count(*) FROM tillsync.conflict") == [(0,)]
    finally:
        shop.close()


def rows_of(file: Path) -> dict[str, list[Any]]:
    db = apsw.Connection(str(file))
    try:
        return {t: db.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in ("item", "price", "contact")}
    finally:
        db.close()


@pytest.mark.parametrize("kind", ["sql", "file"])
def test_a_seed_is_what_a_till_that_loaded_itself_has(shop: Shop, tmp_path: Path, kind: str) -> None:
    stocked(shop)
    shop.sql("INSERT INTO price_list VALUES (1, 'B1', 'retail')")
    shop.sql("INSERT INTO price SELECT 1, g, g FROM generate_series(1, 300) g")
    one = shop.till("T1", "B1")
    shop.settle()
    schema, seed = tmp_path / "pos.sql", tmp_path / "T2.db"
    schema.write_text(TILL, encoding="utf-8")
    if kind == "file":
        made = apsw.Connection(str(tmp_path / "empty.db"))
        made.execute(TILL)
        made.close()
        schema = tmp_path / "empty.db"
    dsn = offices.add(office(shop), "T2", {"branch_id": "B1"})
    assert seeds.make(office(shop), "T2", dsn, schema, seed) == 307
    assert rows_of(seed) == rows_of(one.file)
    with pytest.raises(UsageError, match="TS-733"):
        seeds.make(office(shop), "T2", dsn, schema, seed)
    moved = tmp_path / "till two" / "pos.db"
    moved.parent.mkdir()
    seed.rename(moved)
    two = Till.of_file("T2", dsn, moved, shop.world)
    shop.tills["T2"] = two
    before = shop.relay.head().n
    shop.sql("UPDATE item SET price = 99 WHERE id = 3")
    two.sql("INSERT INTO closure VALUES (1, '2024-03-01', 5)")
    shop.settle()
    assert two.sql(ITEMS) == as_floats(shop.sql(ITEMS))
    assert two.sql("SELECT max(loaded_tick) FROM tillsync_stream")[0][0] <= before, "it is not loaded again"
    assert shop.sql("SELECT till FROM closure") == [("T2",)]


def test_a_seed_out_of_nonsense_is_refused_and_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "pos.sql").write_text("CREATE TABEL item", encoding="utf-8")
    with pytest.raises(UsageError, match="TS-733"):
        seeds.create(tmp_path / "pos.sql", tmp_path / "T2.db")
    assert not (tmp_path / "T2.db").exists()
