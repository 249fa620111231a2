"""A till's file is copied while it sells, and put back: what was sent since comes home, and nothing is there twice."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from orchestrator.core.world import World
from orchestrator.errors import Busy, PersonMustDecide, TillsyncError, UsageError
from orchestrator.service.backups import Backups
from orchestrator.settings_parts import BackupSettings
from orchestrator.till import backup, putback
from tests.integration.cases.shop import Died, Shop, Till, dying_at


def order(till: Till, number: int) -> None:
    """Two rows in one transaction: a copy has both, or none."""
    till.sql("BEGIN IMMEDIATE")
    till.sql("INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', NULL, 10)", f"B1-{number:05}", str(number))
    till.sql("INSERT INTO closure VALUES (?, '2024-03-01', 100)", number)
    till.sql("COMMIT")


def later(world: World, seconds: float) -> World:
    return World(
        lambda: world.now() + timedelta(seconds=seconds), world.monotonic, world.random63, world.sleep, world.crash
    )


def restore(till: Till, world: World, directory: Path, *, force: bool = False) -> putback.Putback:
    plan = putback.foreseen(till.settings, world, None, directory)
    putback.put_back(till.settings, plan, force=force)
    return plan


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_copy_of_a_till_that_sells_is_of_one_moment(shop: Shop, world: World, tmp_path: Path, journal: str) -> None:
    one = shop.till("T1", "B1")
    one.agent.close()
    one.sql("CREATE TABLE filler AS WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)"
            " SELECT i, hex(randomblob(100)) AS x FROM n")  # fmt: skip
    one.sql(f"PRAGMA journal_mode = {journal}")
    stop = threading.Event()
    sold: list[int] = []

    def sell() -> None:
        while not stop.is_set():
            order(one, len(sold) + 1)
            sold.append(1)
            stop.wait(0.002)

    selling = threading.Thread(target=sell)
    selling.start()
    try:
        made = [backup.backup(one.settings, later(world, i), tmp_path, keep=2, same_device=True) for i in range(3)]
        before = len(sold)
        threading.Event().wait(0.2)
        assert len(sold) > before, "the till has stopped selling"
    finally:
        stop.set()
        selling.join()
    assert backup.listed(tmp_path, "T1") == [made[2].path, made[1].path], "two are kept, the oldest went"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".T1", "T1-"))) == [
        made[1].path.name,
        made[2].path.name,
    ], "no journal, no part"
    copied = apsw.Connection(str(made[2].path), flags=apsw.SQLITE_OPEN_READONLY)
    orders, closures = next(copied.execute("SELECT (SELECT count(*) FROM sales_order), (SELECT count(*) FROM closure)"))
    copied.close()
    assert orders == closures > 0
    assert one.sql("PRAGMA journal_mode") == [(journal,)]
    assert one.sql("SELECT path FROM tillsync_backup") == [(str(made[2].path),)]


def test_a_backup_is_put_back_under_the_application_and_nothing_is_lost_or_double(
    shop: Shop, world: World, tmp_path: Path
) -> None:
    one = shop.till("T1", "B1")
    order(one, 1)
    shop.settle()
    backup.backup(one.settings, world, tmp_path, keep=2, same_device=True)
    for number in (2, 3):
        order(one, number)
    shop.settle()
    order(one, 4)
    with pytest.raises(PersonMustDecide, match="TS-892") as refused:
        restore(one, world, tmp_path)
    assert "2 changes" in str(refused.value)
    one.sync()
    one.agent.close()
    plan = restore(one, world, tmp_path)
    assert one.sql("SELECT number FROM closure") == [(1,)], "the application, which has the file open, sees the backup"
    assert one.sql("PRAGMA journal_mode") == [("wal",)]
    order(one, 5)
    shop.settle()
    numbers = [(n,) for n in range(1, 6)]
    assert one.sql("SELECT number FROM closure ORDER BY 1") == numbers
    assert shop.sql("SELECT number FROM closure ORDER BY 1") == numbers
    assert shop.sql("SELECT count(*), sum(total) FROM sales_order") == [(5, 50)]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(500,)]
    assert plan.aside is not None
    aside = apsw.Connection(str(plan.aside))
    assert list(aside.execute("SELECT count(*) FROM closure")) == [(4,)], "the file as it was stays"
    aside.close()


def test_a_damaged_file_is_replaced_by_the_newest_backup_that_is_whole(
    shop: Shop, world: World, tmp_path: Path
) -> None:
    one = shop.till("T1", "B1")
    for number in range(1, 200):
        order(one, number)
    shop.settle()
    good = backup.backup(one.settings, world, tmp_path, keep=9, same_device=True)
    bad = backup.backup(one.settings, later(world, 60), tmp_path, keep=9, same_device=True)
    damage(bad.path)
    one.agent.close()
    one.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    one.app.close()
    damage(one.file)
    with pytest.raises(TillsyncError, match="TS-889"):
        putback.foreseen(one.settings, world, bad.path, None)
    plan = restore(one, world, tmp_path)
    assert (plan.copy.path, plan.is_whole, plan.unsent) == (good.path, False, None)
    assert plan.aside is not None
    assert plan.aside.stat().st_size == bad.path.stat().st_size, "the damaged file stays for who can read it"
    one.reopen()
    assert one.sql("PRAGMA journal_mode") == [("wal",)]
    order(one, 200)
    shop.settle()
    assert shop.sql("SELECT count(*), sum(total) FROM closure") == [(200, 20000)]
    one.agent.close()
    one.app.close()
    one.file.unlink()
    assert restore(one, world, tmp_path).aside is None
    one.reopen()
    shop.settle()
    assert one.sql("SELECT count(*) FROM closure") == [(200,)]


def test_a_backup_that_dies_half_way_leaves_the_earlier_ones(shop: Shop, world: World, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    first = backup.backup(one.settings, world, tmp_path, keep=1, same_device=True)
    (tmp_path / ".T1-20260101T000000Z.db.part").write_bytes(b"of a process that was killed")
    with pytest.raises(Died):
        backup.backup(one.settings, dying_at(later(world, 5), "backup.checked"), tmp_path, keep=1, same_device=True)
    assert backup.listed(tmp_path, "T1") == [first.path]
    assert not list(tmp_path.glob(".T1*.part"))
    other = one.settings.model_copy(update={"node": "T2"})
    with pytest.raises(PersonMustDecide, match="TS-891"):
        putback.foreseen(other, world, first.path, None)
    with pytest.raises(TillsyncError, match="TS-890"):
        putback.foreseen(other, world, None, tmp_path)


def test_the_service_makes_one_when_the_newest_is_old(shop: Shop, world: World, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    hours = 0.0
    at = World(
        lambda: world.now() + timedelta(hours=hours), lambda: hours * 3600, world.random63, world.sleep, world.crash
    )
    medium = tmp_path / "stick"
    own = BackupSettings(directory=medium, every_hours=2, same_device=True, keep=2)
    settings = one.settings.model_copy(update={"backup": own})
    backups = Backups(settings, at)
    with pytest.raises(UsageError, match="TS-888"):
        backups.round()
    medium.mkdir()
    made = []
    for _ in range(13):
        made.append(backups.round().moved)
        hours += 0.5
    assert made == [1, 0, 0, 0] * 3 + [1], "no more than are asked for, and none left out"
    assert len(backup.listed(medium, "T1")) == 2
    hours += 1
    assert Backups(settings, at).round().moved == 0, "a restart makes none too many"
    hours += 1
    late = Backups(settings, at)
    late.interrupt()
    with pytest.raises(Busy, match="TS-897"):
        late.round()
    assert len(list(medium.iterdir())) == 2


def damage(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096 * 3)
        opened.write(b"\xa5" * 4096 * 4)
