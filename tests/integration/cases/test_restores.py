"""Field cases of files that come back from a backup, and of files that are there twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from orchestrator.errors import PersonMustDecide
from orchestrator.till import machine
from orchestrator.till.agent import TillAgent
from tests.integration.cases.shop import Died, Shop, Till, dying_at


def copy_of(till: Till, to: Path) -> Path:
    """The till's file as a backup program copies it, while nobody writes."""
    till.app.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    to.write_bytes(till.file.read_bytes())
    return to


def put_back(till: Till, backup: Path) -> None:
    till.agent.close()
    till.app.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{till.file}{suffix}").unlink(missing_ok=True)
    till.file.write_bytes(backup.read_bytes())
    till.reopen()


def sell(till: Till, *numbers: int) -> None:
    for number in numbers:
        till.sql("INSERT INTO closure VALUES (?, '2024-03-01', 100)", number)


def sell_one_by_one(shop: Shop, till: Till, *numbers: int) -> None:
    """Each is at head office before the next."""
    for number in numbers:
        sell(till, number)
        shop.settle()


def order(till: Till, number: int) -> None:
    till.sql(
        "INSERT INTO sales_order VALUES (?, 'B1', ?, 'paid', NULL, 10)", f"B1-{till.file.stem}-{number}", str(number)
    )
    till.sql("INSERT INTO closure VALUES (?, '2024-03-01', 100)", number)


def test_b44_a_till_is_put_back_from_yesterdays_copy(shop: Shop, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, NULL), ('c2', '2', 'Bea', NULL, NULL)")
    order(one, 1)
    shop.settle()
    backup = copy_of(one, tmp_path / "yesterday.db")
    order(one, 2)
    order(one, 3)
    one.sql("DELETE FROM contact WHERE id = 'c2'")
    shop.settle()
    put_back(one, backup)
    order(one, 4)  # the change number of order 2
    shop.settle()
    ids = [f"B1-T1-{n}" for n in range(1, 5)]
    assert [i for (i,) in shop.sql("SELECT id FROM sales_order ORDER BY 1")] == ids
    assert [i for (i,) in one.sql("SELECT id FROM sales_order ORDER BY 1")] == ids
    assert [n for (n,) in one.sql("SELECT number FROM closure ORDER BY 1")] == [1, 2, 3, 4]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(400,)]
    assert one.sql("SELECT id FROM contact") == shop.sql("SELECT id FROM contact") == [("c1",)], (
        "no deleted row is back"
    )


def test_what_the_changelog_has_forgotten_is_not_put_back_over_what_came_after(shop: Shop, tmp_path: Path) -> None:
    """The relay keeps uploads for weeks; a busy till's changelog does not."""
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    shop.settle()
    one.sql("UPDATE closure SET total = 150")
    shop.settle()
    one.sql("DELETE FROM tillsync_changelog WHERE seq = 1")  # as a purge does
    backup = copy_of(one, tmp_path / "yesterday.db")
    one.sql("INSERT INTO closure VALUES (2, '2024-03-02', 10)")
    shop.settle()
    put_back(one, backup)
    shop.settle()
    assert one.sql("SELECT number, total FROM closure ORDER BY 1") == [(1, 150), (2, 10)]


def test_what_a_till_had_begun_to_send_before_it_was_put_back_is_not_lost(shop: Shop, tmp_path: Path) -> None:
    """Its line broke in the midst of an upload, then its disk: the relay has the first parts, and nobody else anything."""
    one = shop.till("T1", "B1")
    one.settings = one.settings.model_copy(update={"part_rows_max": 1})
    order(one, 1)
    shop.settle()
    backup = copy_of(one, tmp_path / "yesterday.db")
    one.sql("INSERT INTO closure VALUES (2, '2024-03-01', 100)")
    one.sql("INSERT INTO contact VALUES ('c1', '1', 'Ann', NULL, NULL)")
    one.restart(dying_at(shop.world, "push.part"))
    with pytest.raises(Died):
        one.sync()
    put_back(one, backup)
    shop.settle()
    assert one.sql("SELECT number FROM closure ORDER BY 1") == [(1,), (2,)]
    assert shop.sql("SELECT sum(total) FROM turnover") == [(200,)]
    with closing(one.relay()) as relay:
        assert relay.hello().begun == ()


def test_a_beginning_that_brings_nothing_back_is_looked_at_once(shop: Shop, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    one.settings = one.settings.model_copy(update={"part_rows_max": 1})
    shop.settle()
    backup = copy_of(one, tmp_path / "yesterday.db")
    for number in (1, 2):
        one.sql("INSERT INTO contact VALUES (?, ?, 'Ann', NULL, NULL)", f"c{number}", str(number))
    one.restart(dying_at(shop.world, "push.part"))
    with pytest.raises(Died):
        one.sync()
    put_back(one, backup)
    shop.settle()
    one.restart(dying_at(shop.world, "restored.fetched"))
    one.sync()
    with closing(one.relay()) as relay:
        assert len(relay.hello().begun) == 1


def test_b45_a_cloned_till_is_refused_until_it_is_one_of_its_own(shop: Shop, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    order(one, 1)
    shop.settle()
    (tmp_path / "T9").mkdir()
    clone = Till.of_file("T1", one.dsn, copy_of(one, tmp_path / "T9" / "T1.db"), shop.world)
    try:
        order(one, 2)
        clone.sql("INSERT INTO closure VALUES (7, '2024-03-01', 100)")
        shop.settle(one)
        for _ in range(2):
            with pytest.raises(PersonMustDecide, match="TS-525") as refused:
                clone.sync()
            assert "branch add" in str(refused.value)
            assert "branch rejoin T1" in str(refused.value)
            shop.settle(one)
        assert refused.value.exit_code == 6
        (report,) = shop.relay.reports()
        assert report["body"]["other_machine_at"] is not None, "head office hears of it"
        assert shop.sql("SELECT sum(total) FROM turnover") == [(200,)], "the clone's sale waits"
        assert clone.sql("SELECT count(*) FROM closure WHERE number = 7") == [(1,)]
        shop.relay.release("T1")  # head office says: the clone takes T1's place, T1 is scrapped
        shop.settle(clone)
        assert shop.sql("SELECT sum(total) FROM turnover") == [(300,)]
        with pytest.raises(PersonMustDecide, match="TS-525"):
            one.sync()
    finally:
        clone.close()
        one.agent.close()


@contextmanager
def twins(shop: Shop, directory: Path) -> Iterator[tuple[Till, Till]]:
    """A till that has sent an order, and a copy that nothing tells from it, as of disk images: the same machine number,
    card and place."""
    one = shop.till("T1", "B1")
    on_an_image(one)
    order(one, 1)
    shop.settle()
    (directory / "T9").mkdir()
    clone = Till.of_file("T1", one.dsn, copy_of(one, directory / "T9" / "T1.db"), shop.world)
    on_an_image(clone)
    try:
        yield one, clone
    finally:
        clone.close()
        one.agent.close()


def on_an_image(till: Till) -> None:
    on_image = till.settings.till.model_copy(update={"machine": "image"})
    till.settings = till.settings.model_copy(update={"till": on_image})
    till.restart()


def test_b45_a_clone_that_nothing_tells_from_the_first_is_found_when_both_have_sent(shop: Shop, tmp_path: Path) -> None:
    with twins(shop, tmp_path) as (one, clone):
        order(one, 2)
        shop.settle()
        sell(clone, 7)
        clone.sync()
        clone.sync()
        shop.agent.round()
        with pytest.raises(PersonMustDecide, match="TS-526"):
            one.sync()
        shop.agent.round()
        assert shop.sql("SELECT sum(total) FROM turnover") == [(300,)], "no sale of either is lost, and none is twice"


def test_b45_a_clone_that_is_always_ahead_is_found_as_well(shop: Shop, tmp_path: Path) -> None:
    """What it sends first might be what the till's own former life sent; that goes on no more."""
    with twins(shop, tmp_path) as (one, clone):
        sell(clone, 7, 8)
        clone.sync()
        shop.agent.round()
        one.sync()
        order(one, 2)
        sell(clone, 9, 10, 11)
        clone.sync()
        with pytest.raises(PersonMustDecide, match="TS-526"):
            one.sync()


def test_a_file_that_moves_to_another_machine_goes_on_after_a_word_from_head_office(shop: Shop, tmp_path: Path) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    elsewhere = one.settings.model_copy(update={"till": one.settings.till.model_copy(update={"machine": "new"})})
    assert machine.identity(one.settings) != machine.identity(elsewhere)
    one.agent.close()
    one.agent = TillAgent(elsewhere, shop.world)
    order(one, 1)
    with pytest.raises(PersonMustDecide):
        one.sync()
    shop.relay.release("T1")
    shop.settle()
    assert shop.sql("SELECT count(*) FROM closure") == [(1,)]
