"""The newest wins, whatever the clocks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.central import purge
from orchestrator.core.world import World
from orchestrator.settings import RetentionSettings
from tests.integration.cases.shop import Shop, Till

NEWEST = [{"name": "contacts", "direction": "both", "table": [{"name": "contact", "policy": "newest_wins"}]}]
CITY = "SELECT id, city FROM contact ORDER BY 1"
RESULTS = "SELECT key->>'id', winner FROM tillsync.conflict ORDER BY 1"


@pytest.fixture
def newest(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(database, world, tmp_path, channels=NEWEST)
    yield shop
    shop.close()


def wrong_clock(till: Till, ahead: timedelta) -> None:
    """From here on the till's machine is `ahead`: its agent, and every stamp that is made with `stamped`."""
    now = till.world.now
    till.restart(replace(till.world, now=lambda: now() + ahead))


def stamped(till: Till, statement: str, ago: timedelta, ahead: timedelta = timedelta(0)) -> None:
    """The application's statement, captured some time ago by a clock that is `ahead`."""
    (before,) = till.sql("SELECT coalesce(max(seq), 0) FROM tillsync_changelog")[0]
    till.sql(statement)
    made = till.world.now() - ago + ahead
    till.sql("UPDATE tillsync_changelog SET at = ? WHERE seq > ?", round(made.timestamp() * 1000), before)


def made_at_central(shop: Shop, statement: str, ago: timedelta) -> None:
    """Head office's own edit, made some time ago."""
    shop.sql(statement)
    shop.sql(
        "UPDATE tillsync.log_contact SET at = clock_timestamp() - %s WHERE xid = (SELECT max(xid) FROM tillsync.log_contact)",
        ago,
    )


def begin(shop: Shop, *contacts: str) -> None:
    """Contacts that everybody has for a year."""
    for place, contact in enumerate(contacts):
        shop.sql("INSERT INTO contact VALUES (%s, %s, 'Ann', 'a@x', 'Rome')", contact, str(place))
    shop.settle()
    shop.sql("UPDATE tillsync.log_contact SET at = at - interval '1 year'")


HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)


CLOCKS = [
    (400 * DAY, 10 * MINUTE, 5 * MINUTE, "central"),
    (400 * DAY, 5 * MINUTE, 10 * MINUTE, "till"),
    (-HOUR, 5 * MINUTE, 10 * MINUTE, "till"),
    (-HOUR, 10 * MINUTE, 5 * MINUTE, "central"),
    (timedelta(0), 5 * MINUTE, 10 * MINUTE, "till"),
]


def test_b23_a_till_with_a_wrong_clock_wins_and_loses_as_if_it_were_right(newest: Shop) -> None:
    begin(newest, *(f"c{i}" for i in range(len(CLOCKS))))
    tills = [newest.till(f"T{i}", "B1") for i in range(len(CLOCKS))]
    newest.settle()
    for i, (ahead, till_ago, central_ago, _) in enumerate(CLOCKS):
        wrong_clock(tills[i], ahead)
        stamped(tills[i], f"UPDATE contact SET city = 'Oslo' WHERE id = 'c{i}'", till_ago, ahead)
        made_at_central(newest, f"UPDATE contact SET city = 'Bari' WHERE id = 'c{i}'", central_ago)
    newest.settle()
    expected = [(f"c{i}", "Oslo" if winner == "till" else "Bari") for i, (*_, winner) in enumerate(CLOCKS)]
    assert newest.sql(CITY) == expected
    assert [till.sql(CITY) for till in tills] == [expected] * len(tills)
    assert newest.sql(RESULTS) == [(f"c{i}", winner) for i, (*_, winner) in enumerate(CLOCKS)]
    notes = [note for (note,) in newest.sql("SELECT note FROM tillsync.conflict ORDER BY key->>'id'")]
    year, hour = "the till's clock was 400 days, 0:00:00 ahead", "the till's clock was 1:00:00 behind"
    assert notes == [*[f"{said}, which was put right" for said in (year, year, hour, hour)], None]


def test_b23_a_stamp_of_next_year_is_cut_to_when_it_was_sent_and_flagged(newest: Shop) -> None:
    one = newest.till("T1", "B1")
    begin(newest, "c1")
    stamped(one, "UPDATE contact SET city = 'Oslo'", timedelta(0), 400 * DAY)  # the clock has been put right since
    one.sync()
    newest.sql("UPDATE contact SET city = 'Bari'")
    newest.settle()
    assert newest.sql(CITY) == one.sql(CITY) == [("c1", "Bari")], "head office's later edit prevails"
    [(note,)] = newest.sql("SELECT note FROM tillsync.conflict")
    assert "after it was sent, which was cut" in note
    one.sql("UPDATE contact SET city = 'Kiel'")
    newest.settle()
    assert newest.sql(CITY) == one.sql(CITY) == [("c1", "Kiel")], "and no stamp of next year is left to win for ever"


def test_b23_equal_stamps_are_decided_alike_whoever_arrives_first(newest: Shop) -> None:
    one, two = newest.till("T1", "B1"), newest.till("T2", "B1")
    begin(newest, "c1", "c2")
    at = round((newest.world.now() - HOUR).timestamp() * 1000)
    for contact, order in (("c1", (one, two)), ("c2", (two, one))):
        for till, city in ((one, "Oslo"), (two, "Bari")):
            till.sql("UPDATE contact SET city = ? WHERE id = ?", city, contact)
            till.sql("UPDATE tillsync_changelog SET at = ?", at)
        for till in order:
            till.sync()
            newest.agent.round()
    newest.settle()
    for side in (newest, one, two):
        assert side.sql(CITY) == [("c1", "Bari"), ("c2", "Bari")]


def test_b24_each_row_has_its_own_winner(newest: Shop) -> None:
    one = newest.till("T1", "B1")
    begin(newest, *(f"c{i}" for i in range(21, 26)))
    for i in (21, 22, 23):
        stamped(one, f"UPDATE contact SET city = 'Oslo' WHERE id = 'c{i}'", 5 * MINUTE)
        made_at_central(newest, f"UPDATE contact SET city = 'Bari' WHERE id = 'c{i}'", 20 * MINUTE)
    stamped(one, "UPDATE contact SET city = 'Oslo' WHERE id = 'c25'", 30 * MINUTE)
    made_at_central(newest, "UPDATE contact SET city = 'Bari' WHERE id = 'c25'", MINUTE)
    newest.settle()
    expected = [("c21", "Oslo"), ("c22", "Oslo"), ("c23", "Oslo"), ("c24", "Rome"), ("c25", "Bari")]
    assert newest.sql(CITY) == one.sql(CITY) == expected
    assert newest.sql(RESULTS) == [("c21", "till"), ("c22", "till"), ("c23", "till"), ("c25", "central")]


def test_a_change_that_is_merged_late_is_as_old_as_it_was_made(newest: Shop) -> None:
    """T1's edit arrives first and T2's, made before it, an hour later: the later edit stands, not the later arrival."""
    one, two = newest.till("T1", "B1"), newest.till("T2", "B1")
    begin(newest, "c1")
    stamped(one, "UPDATE contact SET city = 'Oslo'", 10 * MINUTE)
    stamped(two, "UPDATE contact SET city = 'Bari'", 20 * MINUTE)
    newest.settle(one)
    newest.settle()
    for side in (newest, one, two):
        assert side.sql(CITY) == [("c1", "Oslo")]


def test_deletes_count_by_when_they_were_made(newest: Shop) -> None:
    one = newest.till("T1", "B1")
    begin(newest, "c1", "c2", "c3", "c4")
    stamped(one, "DELETE FROM contact WHERE id = 'c1'", 5 * MINUTE)
    made_at_central(newest, "UPDATE contact SET city = 'Bari' WHERE id = 'c1'", 9 * MINUTE)
    stamped(one, "DELETE FROM contact WHERE id = 'c2'", 9 * MINUTE)
    made_at_central(newest, "UPDATE contact SET city = 'Bari' WHERE id = 'c2'", 5 * MINUTE)
    stamped(one, "UPDATE contact SET city = 'Oslo' WHERE id = 'c3'", 5 * MINUTE)
    made_at_central(newest, "DELETE FROM contact WHERE id = 'c3'", 9 * MINUTE)
    stamped(one, "UPDATE contact SET city = 'Oslo' WHERE id = 'c4'", 9 * MINUTE)
    made_at_central(newest, "DELETE FROM contact WHERE id = 'c4'", 5 * MINUTE)
    newest.settle()
    assert newest.sql(CITY) == one.sql(CITY) == [("c2", "Bari"), ("c3", "Oslo")]


def test_what_the_log_forgets_the_stamps_keep(newest: Shop) -> None:
    """Head office's edit of last month still beats a till's that is older and arrives today."""
    one = newest.till("T1", "B1")
    begin(newest, "c1")
    stamped(one, "UPDATE contact SET city = 'Oslo'", 50 * DAY)
    made_at_central(newest, "UPDATE contact SET city = 'Bari'", 40 * DAY)
    newest.agent.round()
    newest.sql("UPDATE tillsync.intent SET at = at - interval '60 days'")
    keep = RetentionSettings(ticks_days=30)
    purger = purge.Purger(newest.conn, newest.relay, newest.world, newest.prepared, keep)
    newest.sql("INSERT INTO contact VALUES ('c2', '2', 'Bea', 'b@x', 'Rome')")
    newest.agent.round()
    newest.sql("UPDATE tillsync.intent SET at = at - interval '60 days' WHERE n < (SELECT max(n) FROM tillsync.intent)")
    gone: dict[str, Any] = {}
    while found := purger.run(at_once=True):
        gone |= found
        if not purger.is_at_work:
            break
    assert newest.sql("SELECT count(*) FROM tillsync.log_contact WHERE id = 'c1' AND origin IS NULL") == [(0,)], gone
    newest.settle()
    assert newest.sql(CITY) == one.sql(CITY) == [("c1", "Bari"), ("c2", "Rome")]
