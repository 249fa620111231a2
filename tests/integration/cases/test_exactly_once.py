"""Field cases of lost answers, crashes between two commits, and values that are sums."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest

from orchestrator.relay.client import BranchRelay
from orchestrator.relay.messages import UploadPart
from orchestrator.settings import TillSettings
from orchestrator.till.agent import TillAgent
from tests.integration.cases.shop import Died, Shop, Till, dying_at


class LostAnswer(Exception):
    """The relay has committed, the till does not hear of it."""


def loses_answers(till: Till, times: int) -> None:
    """The next `times` pushes of the till commit at the relay and are not answered."""
    relay = till.agent._relay
    assert isinstance(relay, BranchRelay)
    left = times

    def push(part: UploadPart) -> None:
        nonlocal left
        BranchRelay.push(relay, part)
        if left > 0:
            left -= 1
            raise LostAnswer

    relay.push = push  # type: ignore[method-assign]


def test_b03_an_edit_between_selection_and_ack_is_sent_too(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO sales_order VALUES ('B1-1', 'B1', '1', 'draft', NULL, 10)")
    shop.settle()
    one.sql("UPDATE sales_order SET status = 'paid'")
    one.restart(dying_at(shop.world, "push.sent"))
    with pytest.raises(Died):
        one.sync()
    one.sql("UPDATE sales_order SET status = 'shipped'")  # after the upload, before the till knows of the ack
    one.restart()
    before = shop.sql("SELECT count(*) FROM tillsync.taken")
    shop.settle()
    assert shop.sql("SELECT status FROM sales_order") == one.sql("SELECT status FROM sales_order") == [("shipped",)]
    (taken,), (was,) = shop.sql("SELECT count(*) FROM tillsync.taken")[0], before[0]
    assert taken - was == 2  # the paid one, and exactly one more


@pytest.mark.parametrize("where", ["relay", "central"])
def test_b08_a_lost_answer_makes_no_second_sale(shop: Shop, where: str) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO stock VALUES ('B1', 1, 10)")
    shop.settle()
    one.sql("BEGIN")
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    one.sql("INSERT INTO sales_order VALUES ('B1-1', 'B1', '1', 'paid', NULL, 100)")
    one.sql("UPDATE stock SET qty = qty - 3")
    one.sql("COMMIT")
    if where == "relay":
        loses_answers(one, 1)
        with pytest.raises(LostAnswer):
            one.sync()
        for _ in range(3):
            one.restart()
            one.sync()
    else:
        one.sync()
        for point in ("collect.committed", "collect.committed", "collect.merged"):
            shop.restart(dying_at(shop.world, point))
            with pytest.raises(Died):
                shop.agent.round()
        shop.restart()
    shop.settle()
    assert shop.sql("SELECT count(*), sum(total) FROM closure") == [(1, 100)]
    assert shop.sql("SELECT total FROM turnover") == [(100,)]
    assert shop.sql("SELECT count(*) FROM sales_order") == [(1,)]
    assert shop.sql("SELECT qty FROM stock") == [(7,)]


def test_b08_two_pushers_of_one_till_at_once(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    one.sql("INSERT INTO closure VALUES (1, '2024-03-01', 100)")
    twins = [
        TillAgent(TillSettings(node="T1", relay={"dsn": one.dsn}, till={"database": one.file}), shop.world)
        for _ in range(2)
    ]
    together = threading.Barrier(2)

    def run(agent: TillAgent) -> None:
        together.wait()
        agent.round()
        agent.close()

    threads = [threading.Thread(target=run, args=(agent,)) for agent in twins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shop.settle()
    assert shop.sql("SELECT total FROM turnover") == [(100,)]


def test_b09_three_writers_of_one_counter_add_up(shop: Shop) -> None:
    one, two = shop.till("T1", "B1"), shop.till("T2", "B1")
    shop.sql("INSERT INTO stock VALUES ('B1', 1, 10)")
    shop.settle()
    one.sql("UPDATE stock SET qty = qty - 3")
    two.sql("UPDATE stock SET qty = qty - 4")
    shop.sql("UPDATE stock SET qty = qty + 5")
    loses_answers(one, 1)
    with pytest.raises(LostAnswer):
        one.sync()
    shop.settle()
    everywhere = [shop.sql("SELECT qty FROM stock"), one.sql("SELECT qty FROM stock"), two.sql("SELECT qty FROM stock")]
    assert everywhere == [[(8,)], [(8,)], [(8,)]]
    one.sql("UPDATE stock SET qty = qty - 6")
    two.sql("UPDATE stock SET qty = qty - 4")
    shop.settle()
    assert shop.sql("SELECT qty FROM stock") == one.sql("SELECT qty FROM stock") == [(-2,)]  # below zero is shown


def test_b10_a_crash_between_the_remote_commit_and_the_local_mark(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.settle()
    one.sql("INSERT INTO sales_order VALUES ('B1-9', 'B1', '9', 'draft', NULL, 10)")
    one.restart(dying_at(shop.world, "push.sent"))
    with pytest.raises(Died):
        one.sync()
    shop.agent.round()
    one.restart()
    one.sql("UPDATE sales_order SET total = 12 WHERE id = 'B1-9'")
    shop.settle()
    assert shop.sql("SELECT total FROM sales_order") == [(Decimal(12),)]
    assert one.sql("SELECT total FROM sales_order") == [(12,)]


def test_b39_an_older_copy_does_not_reopen_a_paid_order(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    one.sql("INSERT INTO sales_order VALUES ('B1-5', 'B1', '5', 'draft', NULL, 10)")
    shop.settle()
    one.sql("UPDATE sales_order SET status = 'paid'")
    shop.sql("UPDATE sales_order SET note = 'call first'")
    one.restart(dying_at(shop.world, "apply.tick"))  # the line is cut midway once
    shop.agent.round()
    with pytest.raises(Died):
        one.sync()
    one.restart()
    shop.settle()
    both = "SELECT status, note FROM sales_order"
    assert shop.sql(both) == one.sql(both) == [("paid", "call first")]
    one.sql("UPDATE sales_order SET status = 'shipped'")
    shop.sql("UPDATE sales_order SET status = 'closed'")
    shop.settle()
    assert shop.sql(both) == one.sql(both) == [("closed", "call first")]


def test_b41_what_a_trigger_of_head_office_makes_of_a_row_reaches_its_till(shop: Shop) -> None:
    one = shop.till("T1", "B1")
    shop.sql(
        "CREATE SEQUENCE hq_no;"
        " CREATE FUNCTION number_it() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.no := 'HQ-' || nextval('hq_no'); RETURN NEW; END $$;"
        " CREATE TRIGGER number_it BEFORE INSERT ON sales_order FOR EACH ROW EXECUTE FUNCTION number_it()"
    )
    shop.settle()
    one.sql("INSERT INTO sales_order VALUES ('B1-1', 'B1', 'local', 'draft', NULL, 10)")
    shop.settle()
    assert shop.sql("SELECT no FROM sales_order") == one.sql("SELECT no FROM sales_order") == [("HQ-1",)]
    assert shop.settle() == 0  # and nothing goes to and fro


@pytest.mark.parametrize(
    "point",
    [
        "push.sealed",
        "push.part",
        "push.sent",
        "push.stored",
        "pull.fetched",
        "apply.begun",
        "apply.tick",
        "apply.rows",
        "apply.committed",
    ],
)
def test_a_till_killed_at_any_point_loses_and_doubles_nothing(shop: Shop, point: str) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO stock VALUES ('B1', 1, 100)")
    shop.settle()
    for number in range(1, 4):
        one.sql("INSERT INTO closure VALUES (?, '2024-03-01', 10)", number)
        one.sql("UPDATE stock SET qty = qty - 1")
        shop.sql("UPDATE stock SET qty = qty + 10")
        shop.agent.round()
        one.restart(dying_at(shop.world, point))
        try:
            one.sync()
        except Died:
            one.restart()
        shop.agent.round()
    one.restart()
    shop.settle()
    assert shop.sql("SELECT total FROM turnover") == [(30,)]
    assert shop.sql("SELECT qty FROM stock") == one.sql("SELECT qty FROM stock") == [(127,)]


@pytest.mark.parametrize(
    "point",
    [
        "collect.fetched",
        "collect.merged",
        "collect.committed",
        "collect.marked",
        "publish.routed",
        "publish.intent",
        "publish.relay",
    ],
)
def test_central_killed_at_any_point_loses_and_doubles_nothing(shop: Shop, point: str) -> None:
    one = shop.till("T1", "B1")
    shop.sql("INSERT INTO stock VALUES ('B1', 1, 100)")
    shop.settle()
    for number in range(1, 4):
        one.sql("INSERT INTO closure VALUES (?, '2024-03-01', 10)", number)
        one.sql("UPDATE stock SET qty = qty - 1")
        one.sync()
        shop.restart(dying_at(shop.world, point))
        try:
            shop.agent.round()
        except Died:
            shop.restart()
        one.sync()
    shop.restart()
    shop.settle()
    assert shop.sql("SELECT total FROM turnover") == [(30,)]
    assert shop.sql("SELECT qty FROM stock") == one.sql("SELECT qty FROM stock") == [(97,)]
