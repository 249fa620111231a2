"""The operator's list of notices: net changes, acknowledged as they were listed, forgotten in the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import apsw
import pytest

from orchestrator.core.world import World
from orchestrator.errors import UsageError
from orchestrator.till import noticed, schema
from orchestrator.till.noticed import Notice
from tests.unit.till.conftest import PLAN

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def change(db: apsw.Connection, old: Any, new: Any, *, key: str = "[1]", column: str = "price", days: float = 0) -> int:
    db.execute(
        'INSERT INTO tillsync_notice (kind, central, till, key, "column", old, new, tick, at)'
        " VALUES ('label', 'public.item', 'item', ?, ?, ?, ?, 1, ?)",
        (key, column, old, new, (NOW - timedelta(days=days)).isoformat()),
    )
    return db.last_insert_rowid()


def pairs(found: list[Notice]) -> list[tuple[Any, Any]]:
    return [(n.old, n.new) for n in found]


def test_many_changes_are_one_and_there_and_back_is_none(db: apsw.Connection) -> None:
    change(db, "1", "2")
    change(db, "5", "6", key="[2]")
    change(db, "2", "3")
    assert pairs(noticed.due(db)) == [("5", "6"), ("1", "3")]
    change(db, "6", "5", key="[2]")
    assert pairs(noticed.due(db)) == [("1", "3")]
    change(db, None, "new", key='["a"]', column="name")
    change(db, "new", None, key='["a"]', column="name")
    assert pairs(noticed.due(db)) == [("1", "3")], "a row that came and went"
    assert noticed.due(db, "other") == []
    assert noticed.counts(db) == {"label": {"due": 1, "since": NOW.isoformat()}}


def test_what_changes_while_a_label_is_printed_stays_due(db: apsw.Connection) -> None:
    change(db, "1", "2")
    (listed,) = noticed.due(db)
    change(db, "2", "1")  # the label with 2 is in the printer
    noticed.ack(db, [listed.id], "Anna", NOW)
    (due,) = noticed.due(db)
    assert (due.old, due.new) == ("2", "1"), "the label says 2, and the price is 1"
    noticed.ack(db, [due.id], "Bob", NOW)
    assert noticed.due(db) == []
    assert [(n.new, n.acked_by) for n in noticed.past(db)] == [("1", "Bob"), ("2", "Anna")]
    noticed.ack(db, [due.id], "Eve", NOW)
    assert noticed.past(db)[0].acked_by == "Bob", "who was first stays"


def test_an_unknown_number_acknowledges_nothing(db: apsw.Connection) -> None:
    known = change(db, "1", "2")
    with pytest.raises(UsageError, match="TS-881"):
        noticed.ack(db, [known, 99], "Anna", NOW)
    assert len(noticed.due(db)) == 1


def test_neither_list_grows_for_ever(db: apsw.Connection) -> None:
    for i in range(50):
        change(db, f"{i}", f"{i + 1}", days=20)
    for old, new in (("1", "2"), ("2", "1")):
        change(db, old, new, key="[2]", days=20)
        change(db, old, new, key="[3]", days=1)
    change(db, "7", "8", key="[4]", days=20)
    noticed.ack(db, [change(db, "1", "2", key="[5]")], "Anna", NOW - timedelta(days=100))
    before = pairs(noticed.due(db))
    noticed.tidy(db, NOW)
    assert pairs(noticed.due(db)) == before == [("0", "50"), ("7", "8")]
    left = db.execute("SELECT key, old, new FROM tillsync_notice ORDER BY id").fetchall()
    assert left == [("[1]", "0", "1"), ("[1]", "1", "50"), ("[3]", "1", "2"), ("[3]", "2", "1"), ("[4]", "7", "8")]
    noticed.tidy(db, NOW)
    assert db.execute("SELECT count(*) FROM tillsync_notice").fetchall() == [(5,)]


def test_a_file_of_an_earlier_version_gets_the_list(db: apsw.Connection, world: World) -> None:
    db.execute("DROP VIEW tillsync_notice_due; ALTER TABLE tillsync_notice DROP COLUMN acked_by")
    change(db, "1", "2")
    assert noticed.counts(db) == {}, "an agent that is newer than its file goes on"
    schema.install(db, PLAN, world, node="T1")
    assert pairs(noticed.due(db)) == [("1", "2")]
    noticed.ack(db, [1], "Anna", NOW)
    schema.uninstall(db)
    assert not db.execute("SELECT name FROM sqlite_master WHERE name LIKE 'tillsync%'").fetchall()
