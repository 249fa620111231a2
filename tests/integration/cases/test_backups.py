"""A till's file is copied while it sells, and put back: what was sent since comes home, and nothing is there twice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from orchestrator.core.world import World
from orchestrator.errors import PersonMustDecide, TillsyncError
from orchestrator.till import backup, putback
from tests.integration.cases.shop import Shop, Till


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
    assert one.file.read_bytes()[18:20] == b"\x02\x02", "the journal is in the mode that the application had chosen"
    one.reopen()
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


def damage(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096 * 3)
        opened.write(b"\xa5" * 4096 * 4)
