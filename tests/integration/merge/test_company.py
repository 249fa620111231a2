"""Merging is not alone: other writers, locks, deadlocks, two collectors, and what an upload does to whom it refers to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
from msgspec.structs import replace

from orchestrator import postgres
from orchestrator.central.collect import collect
from orchestrator.core.plan import Column, Plan, Table
from tests.integration.merge.conftest import Office

ROW = {"id": "c1", "name": "Ann", "city": "Rome"}


@contextmanager
def met_by_a_collector(office: Office) -> Iterator[psycopg.Connection]:
    """A transaction of somebody else's; it is committed when a collector has begun to wait for it."""
    with closing(postgres.connect(office.dsn, "another")) as other:
        with other.transaction():
            yield other
            collector = threading.Thread(target=office.collect)
            collector.start()
            waits_for_a_lock(office)
        collector.join(timeout=30)
        assert not collector.is_alive()


def waits_for_a_lock(office: Office) -> None:
    """Until somebody stands in front of what another holds."""
    with closing(postgres.connect(office.dsn, "tillsync test")) as watch:
        for _ in range(1000):
            row = watch.execute("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
            if row:
                return
            watch.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("nobody waits")


def test_a_row_that_is_being_changed_is_waited_for_and_judged_as_it_is_then(office: Office) -> None:
    office.run("INSERT INTO contact (id, name, city) VALUES ('c1', 'Ann', 'Rome')")
    till = office.till()
    till.update("contact", ROW, city="Oslo")
    till.push()
    with met_by_a_collector(office) as other:
        other.execute("UPDATE contact SET city = 'Lima', credit = 7")
    assert office.rows("SELECT city, credit::text FROM contact") == [("Lima", "7.00")]
    assert office.rows("SELECT theirs->>'city', ours->>'city' FROM tillsync.conflict") == [("Oslo", "Lima")]


def test_a_row_that_is_being_made_at_the_same_time_is_one_that_both_made(office: Office) -> None:
    till = office.till()
    till.insert("contact", **ROW)
    till.push()
    with met_by_a_collector(office) as other:
        other.execute("INSERT INTO contact (id, name, city) VALUES ('c1', 'Bea', 'Lima')")
    assert office.rows("SELECT name, city FROM contact") == [("Bea", "Lima")]
    assert office.rows("SELECT columns, winner FROM tillsync.conflict") == [(["name", "city"], "central")]
    assert office.rows("SELECT FROM tillsync.parked") == []


def test_a_transaction_that_met_another_is_done_again(office: Office) -> None:
    office.run(
        """CREATE SEQUENCE tries;
        CREATE FUNCTION unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('public.tries') < 3 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;
            RETURN NEW; END $$;
        CREATE TRIGGER unlucky BEFORE INSERT ON contact FOR EACH ROW EXECUTE FUNCTION unlucky()"""
    )
    till = office.till()
    till.insert("contact", **ROW)
    till.push()
    assert office.collect().merged == 1
    assert office.rows("SELECT id FROM contact") == [("c1",)]
    assert office.rows("SELECT count(*) FROM tillsync.inbound") == [(1,)]


def test_two_collectors_take_every_change_once(office: Office) -> None:
    office.run("INSERT INTO stock VALUES (1, 100, 'A')")
    till = office.till()
    for qty in range(100, 60, -1):
        till.update("stock", {"item_id": 1, "qty": str(qty), "place": "A"}, qty=str(qty - 1))
        till.push()
        till.push(since=0)
    uploads = list(office.relay.uploads)

    class Alone:
        """Each collector has the uploads for itself, as if the other had not marked any."""

        def fetch_uploads(self) -> Iterator[object]:
            return iter(uploads)

        def mark_taken(self, node: str, uids: list[int]) -> None: ...

    def run(failed: list[BaseException]) -> None:
        try:
            with closing(postgres.connect(office.dsn, "tillsync test")) as conn:
                collect(conn, Alone(), office.plan, office.world)  # type: ignore[arg-type]
        except BaseException as e:
            failed.append(e)

    failed: list[BaseException] = []
    threads = [threading.Thread(target=run, args=(failed,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failed == []
    assert office.rows("SELECT qty::integer FROM stock") == [(60,)]
    assert len(office.rows("SELECT FROM tillsync.taken")) == 80


def test_b15_an_order_and_its_lines_are_deleted_together(office: Office) -> None:
    till = office.till()
    order, line = {"id": "o1", "status": "draft"}, {"order_id": "o1", "line_no": 1, "ordered": 2}
    till.insert("supplier_order", **order)
    till.insert("supplier_order_line", **line)
    till.push()
    office.collect()
    till.delete("supplier_order", **order)  # written first, as a cascade at the till would
    till.delete("supplier_order_line", **line)
    till.insert("supplier_order", id="o2", status="draft")
    till.insert("supplier_order_line", **{**line, "order_id": "o2"})
    till.push()
    done = office.collect()
    assert (done.parked, done.conflicts) == (0, 0)
    assert office.rows("SELECT order_id FROM supplier_order_line") == [("o2",)]


def test_a_parent_that_head_office_still_needs_is_not_deleted(office: Office) -> None:
    till = office.till()
    till.insert("supplier_order", id="o1", status="draft")
    till.push()
    office.collect()
    office.run("INSERT INTO supplier_order_line VALUES ('o1', 1, NULL, 5)")
    till.delete("supplier_order", id="o1", status="draft")
    till.push()
    assert office.collect().parked == 1
    assert office.rows("SELECT id FROM supplier_order") == [("o1",)]
    assert office.echoes("supplier_order") == [("T1", "o1")]


def changed(plan: Plan, name: str, change: Callable[[Table], Table]) -> Plan:
    """The plan with one table changed."""
    channels = (replace(c, tables=tuple(change(t) if t.name == name else t for t in c.tables)) for c in plan.channels)
    return replace(plan, channels=tuple(channels))


def test_columns_that_the_till_does_not_have_come_from_the_branch(office: Office) -> None:
    given = {"credit": ":store_id", "vip": "true", "notes": ":missing", "city": "100 %"}

    def change(t: Table) -> Table:
        return replace(t, columns=tuple(c for c in t.columns if c.name not in given), set=given)

    office.plan = changed(office.plan, "public.contact", change)
    till = office.till()
    till.plan = office.plan
    till.insert("contact", id="c1", name="Ann")
    till.push()
    office.collect()
    till.update("contact", {"id": "c1", "name": "Ann"}, name="Bea")
    till.push()
    office.collect()
    assert office.rows("SELECT name, credit::text, vip, notes, city FROM contact") == [
        ("Bea", "1.00", True, None, "100 %")
    ]


def test_names_with_capitals_blanks_and_quotes(office: Office) -> None:
    office.run('ALTER TABLE contact ADD COLUMN "Ci ty%""s" text')

    def change(t: Table) -> Table:
        return replace(t, columns=(*t.columns, Column('Ci ty%"s', "text", "text", "ci")))

    office.plan = changed(office.plan, "public.contact", change)
    till = office.till()
    till.plan = office.plan
    row = {"id": "c1", "name": "Ann", 'Ci ty%"s': "Rome"}
    till.insert("contact", **row)
    till.push()
    office.collect()
    till.update("contact", row, **{'Ci ty%"s': "Oslo"})
    till.push()
    office.collect()
    assert office.rows('SELECT id, name, c."Ci ty%%""s" FROM contact c') == [("c1", "Ann", "Oslo")]
