"""Field cases of what a till answers to a comparison: whatever it says is told, and stops nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.central import reconcile_report
from orchestrator.core.comparing import Answer, TableAnswer, pack
from orchestrator.core.world import World
from tests.integration.cases.reconciling import compared, tables_of, unseen
from tests.integration.cases.shop import Shop, Till


@pytest.fixture
def shop(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(database, world, tmp_path)
    yield made
    made.close()


def test_b87_a_nul_in_a_tills_text_is_told(shop: Shop) -> None:
    till = shop.till("T1", "B1")
    shop.sql("INSERT INTO contact VALUES ('K1', '1', 'Anna', 'a@b', 'Wien')")
    shop.settle()
    unseen(till, "UPDATE contact SET name = 'An' || char(0) || 'na' WHERE id = 'K1'")
    unseen(till, "INSERT INTO contact VALUES ('K' || char(0), '99', 'n', 'e', 'c')")
    contacts = tables_of(compared(shop, till))["contact"]
    assert (contacts.different, contacts.extra) == (1, 1)
    assert {(c.column, c.till) for d in contacts.differences if d.kind == "different" for c in d.columns} == {
        ("name", "An\0na")
    }
    assert {d.key["id"] for d in contacts.differences} == {"K1", "K\0"}


def answer_nonsense(shop: Shop, till: Till, tables: dict[str, TableAnswer]) -> None:
    """To the step that is asked, with the right numbers on it."""
    query = (
        "SELECT id, step, n, token, plan_version FROM tillsync.compare_ask WHERE node = %s ORDER BY step DESC, n DESC"
    )
    for asked in shop.sql(query, till.node)[:1]:
        relay = till.relay()
        try:
            streams = dict(shop.sql("SELECT channel, stream FROM tillsync.stream"))
            number, step, n, token, plan_version = asked
            relay.put_result(pack(Answer(number, step, n, token, plan_version, streams, tables)))
        finally:
            relay.close()


@pytest.mark.parametrize(
    "said",
    [
        TableAnswer(buckets=((0, 5, 5, 5),), rows=(("1",), ())),
        TableAnswer(buckets=((2**62, -1, 2**63 - 1, 5),) * 3, pending=((), ("1", "2", "3")), parked=((None,),)),
        TableAnswer(buckets=((0, 5, 5, 5),), low="1); DROP TABLE closure; --", rows=(("\0", "\0", "\0", "\0"),)),
        TableAnswer(lacks=("name", "'; --", "no_such_column")),
        TableAnswer(rows=(("1", "x", "y", "z", "too", "many"),) * 9, waiting=(((), "why"),), cut=True),
    ],
)
def test_b87_an_answer_that_is_nonsense_stops_nobody(shop: Shop, said: TableAnswer) -> None:
    hostile, other = shop.till("T1", "B1"), shop.till("T2", "B1")
    shop.sql("INSERT INTO item VALUES (1, 'c', 'pen', 1)")
    shop.sql("INSERT INTO branch_item VALUES ('B1', 1)")
    shop.settle()
    number = reconcile_report.start(shop.conn, shop.world, ["T1", "T2"])
    names = [table.name for _, table in shop.prepared.plan.tables()]
    for price in range(2, 14):
        shop.sql("UPDATE item SET price = %s", price)
        shop.agent.round()
        answer_nonsense(shop, hostile, dict.fromkeys(names, said))
        other.sync()
    shop.agent.round()
    other.sync()
    assert other.sql("SELECT price FROM item") == [(13,)], "ticks go on"
    assert "T2" not in reconcile_report.open_nodes(shop.conn, number)
    now = shop.world.now()
    report = reconcile_report.report(shop.conn, shop.prepared, now, {"T2": now}, nodes=["T2"])
    assert report.equal
    assert report.branches[0].state == "compared"
    hostile.sync()
    assert hostile.sql("SELECT price FROM item") == [(13,)]
