"""Field cases of what a till answers to a comparison: whatever it says is told, and stops nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orchestrator.central import reconcile_report
from orchestrator.core.comparing import Answer, TableAnswer, pack
from orchestrator.core.world import real_world
from tests.integration.cases.reconciling import compared, known, tables_of, unseen
from tests.integration.cases.shop import Shop, Till


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for the module: each test has tills of its own."""
    made = Shop(module_database, real_world(), tmp_path_factory.mktemp("shop"))
    yield made
    made.close()


def test_b87_a_nul_in_a_tills_text_is_told(shop: Shop) -> None:
    till = shop.till("N1", "B1")
    shop.sql("INSERT INTO contact VALUES ('K1', '1', 'Anna', 'a@b', 'Wien')")
    shop.settle(till)
    unseen(till, "UPDATE contact SET name = 'An' || char(0) || 'na' WHERE id = 'K1'")
    unseen(till, "INSERT INTO contact VALUES ('K' || char(0), '99', 'n', 'e', 'c')")
    contacts = tables_of(compared(shop, till), "N1")["contact"]
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


NONSENSE = [
    TableAnswer(buckets=((0, 5, 5, 5),), rows=(("1",), ())),
    TableAnswer(buckets=((2**62, -1, 2**63 - 1, 5),) * 3, pending=((), ("1", "2", "3")), parked=((None,),)),
    TableAnswer(buckets=((0, 5, 5, 5),), low="1); DROP TABLE closure; --", rows=(("\0", "\0", "\0", "\0"),)),
    TableAnswer(lacks=("name", "'; --", "no_such_column")),
    TableAnswer(rows=(("1", "x", "y", "z", "too", "many"),) * 9, waiting=(((), "why"),), cut=True),
]


def test_b87_an_answer_that_is_nonsense_stops_nobody(shop: Shop) -> None:
    hostile = {shop.till(f"H{i}", "B1"): said for i, said in enumerate(NONSENSE)}
    good = shop.till("G1", "B1")
    shop.sql("INSERT INTO item VALUES (1, 'c', 'pen', 1)")
    shop.sql("INSERT INTO branch_item VALUES ('B1', 1)")
    shop.settle(good, *hostile)
    asked = reconcile_report.start(shop.conn, shop.world, [good.node, *(till.node for till in hostile)])
    names = [table.name for _, table in shop.prepared.plan.tables()]
    for price in range(2, 9):
        shop.sql("UPDATE item SET price = %s", price)
        shop.agent.round()
        for till, said in hostile.items():
            answer_nonsense(shop, till, dict.fromkeys(names, said))
        good.sync()
    shop.agent.round()
    shop.sync(good, *hostile)
    for till in (good, *hostile):
        assert till.sql("SELECT price FROM item") == [(8,)], "ticks go on"
    assert good.node not in reconcile_report.open_nodes(shop.conn, asked)
    report = known(shop, good.node)
    assert report.equal
    assert report.branches[0].state == "compared"
