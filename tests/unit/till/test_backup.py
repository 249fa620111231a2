"""Copies of a till's file: of one moment while the till sells, whole or not at all, and made when they are due."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from orchestrator.core.world import World
from orchestrator.errors import Busy, PersonMustDecide, TillsyncError, UsageError
from orchestrator.service.backups import Backups
from orchestrator.settings import TillSettings
from orchestrator.settings_parts import BackupSettings
from orchestrator.till import backup, database, putback, schema
from tests.unit.till.conftest import PLAN, SCHEMA

FILLER = (
    "CREATE TABLE filler AS WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)"
    " SELECT i, hex(randomblob(100)) AS x FROM n"
)


@pytest.fixture
def till(till_file: Path, world: World, request: pytest.FixtureRequest) -> Iterator[apsw.Connection]:
    """The application's connection to a file that is installed."""
    app = apsw.Connection(str(till_file))
    app.pragma("journal_mode", getattr(request, "param", "wal"))
    app.set_busy_timeout(5000)
    app.execute(SCHEMA)
    db = database.connect(till_file)
    schema.install(db, PLAN, world, node="T1")
    db.close()
    yield app
    app.close()


def later(world: World, seconds: float) -> World:
    return World(
        lambda: world.now() + timedelta(seconds=seconds), world.monotonic, world.random63, world.sleep, world.crash
    )


@pytest.mark.parametrize("till", ["wal", "delete"], indirect=True)
def test_a_copy_of_a_till_that_sells_is_of_one_moment(
    till: apsw.Connection, settings: TillSettings, world: World, tmp_path: Path
) -> None:
    journal = till.pragma("journal_mode")
    till.execute(FILLER)
    medium = tmp_path / "stick"
    medium.mkdir()
    stop = threading.Event()
    sold: list[int] = []

    def sell() -> None:
        while not stop.is_set():
            # Two rows in one transaction: a copy has both, or none.
            till.execute(
                "BEGIN IMMEDIATE; INSERT INTO sale (amount) VALUES (1); INSERT INTO sale (amount) VALUES (2); COMMIT"
            )
            sold.append(1)
            stop.wait(0.002)

    selling = threading.Thread(target=sell)
    selling.start()
    try:
        made = [backup.backup(settings, later(world, i), medium, keep=2, same_device=True) for i in range(3)]
        before = len(sold)
        threading.Event().wait(0.2)
        assert len(sold) > before, "the till has stopped selling"
    finally:
        stop.set()
        selling.join()
    assert backup.listed(medium, "T1") == [made[2].path, made[1].path], "two are kept, the oldest went"
    assert len(list(medium.iterdir())) == 2, "no journal, no part"
    assert not list(tmp_path.glob(".*copying"))
    copied = apsw.Connection(str(made[2].path), flags=apsw.SQLITE_OPEN_READONLY)
    ones, twos = next(copied.execute("SELECT sum(amount = 1), sum(amount = 2) FROM sale"))
    copied.close()
    assert ones == twos > 0
    assert till.pragma("journal_mode") == journal
    assert till.execute("SELECT path FROM tillsync_backup").fetchall() == [(str(made[2].path),)]


class Died(Exception):
    """Stands for a kill -9."""


def test_a_backup_that_dies_half_way_leaves_the_earlier_ones(
    till: apsw.Connection, settings: TillSettings, world: World, tmp_path: Path
) -> None:
    def die(point: str) -> None:
        if point == "backup.checked":
            raise Died

    first = backup.backup(settings, world, tmp_path, keep=1, same_device=True)
    (tmp_path / ".T1-20260101T000000Z.db.part").write_bytes(b"of a process that was killed")
    dying = World(lambda: world.now() + timedelta(seconds=5), world.monotonic, world.random63, world.sleep, die)
    with pytest.raises(Died):
        backup.backup(settings, dying, tmp_path, keep=1, same_device=True)
    assert backup.listed(tmp_path, "T1") == [first.path]
    assert not list(tmp_path.glob(".T1*.part"))
    other = settings.model_copy(update={"node": "T2"})
    with pytest.raises(PersonMustDecide, match="TS-891"):
        putback.foreseen(other, world, first.path, None)
    with pytest.raises(TillsyncError, match="TS-890"):
        putback.foreseen(other, world, None, tmp_path)


def test_the_service_makes_one_when_the_newest_is_old(
    till: apsw.Connection, settings: TillSettings, world: World, tmp_path: Path
) -> None:
    hours = 0.0
    at = World(
        lambda: world.now() + timedelta(hours=hours), lambda: hours * 3600, world.random63, world.sleep, world.crash
    )
    medium = tmp_path / "stick"
    own = BackupSettings(directory=medium, every_hours=2, same_device=True, keep=2)
    asked = settings.model_copy(update={"backup": own})
    backups = Backups(asked, at)
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
    assert Backups(asked, at).round().moved == 0, "a restart makes none too many"
    hours += 1
    late = Backups(asked, at)
    late.interrupt()
    with pytest.raises(Busy, match="TS-897"):
        late.round()
    assert len(list(medium.iterdir())) == 2
    till.execute("DROP TABLE tillsync_backup")  # a file of an earlier version
    assert [Backups(asked, at).round().moved for _ in range(2)] == [1, 0]
