"""Jobs of the DBA's own, at the tills and at head office: once per business date, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator import log
from orchestrator.central import schema
from orchestrator.core.world import World
from orchestrator.service.jobs import CentralJobs, TillWithJobs
from orchestrator.settings_jobs import JobSettings
from tests.integration.cases.shop import Died, Shop, Till

CLOSE = """
INSERT INTO closure (number, day, total)
SELECT (SELECT coalesce(max(number), 0) + 1 FROM closure), :business_date, '10.50';
UPDATE contact SET city = 'closed by ' || :node WHERE id = 'c1';
"""
JOBS = (
    JobSettings(name="close", at="till", cron="0 20 * * *", sql=CLOSE),
    JobSettings(name="post", at="central", cron="0 22 * * *", sql="SELECT post_day(:business_date, ':node')"),
    JobSettings(name="pulse", at="central", every_seconds=600, sql="INSERT INTO pulse VALUES (:now, :node)"),
)
BOOKS = """
CREATE TABLE posted (day date, note text);
CREATE TABLE pulse (at timestamptz, node text);
CREATE FUNCTION post_day(day date, note text) RETURNS void LANGUAGE sql AS 'INSERT INTO posted VALUES (day, note)';
"""


@dataclass
class Clock:
    """A wall clock that is set by hand, and a place where the process may die."""

    world: World
    at: datetime = datetime(2026, 11, 2, 12, tzinfo=UTC)
    die_at: str = ""

    def made(self) -> World:
        def crash(point: str) -> None:
            if point == self.die_at:
                raise Died(point)

        return replace(self.world, now=lambda: self.at, crash=crash)

    def to(self, day: int, hour: int, minute: int = 1) -> None:
        self.at = datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    log.configure(level="critical")
    yield
    log.configure(level="warning")


def with_jobs(shop: Shop, *jobs: JobSettings) -> None:
    """Head office's DBA declares jobs."""
    shop.settings = shop.settings.model_copy(update={"job": jobs})
    shop.prepared = schema.prepare(shop.conn, shop.settings)
    schema.install(shop.conn, shop.prepared)
    shop.agent.round()


@dataclass
class Counter:
    """A till with its clock and the service's agent."""

    till: Till
    clock: Clock

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        world = self.clock.made()
        self.till.restart(world)
        self.agent = TillWithJobs(self.till.agent, self.till.settings, world)

    def days(self) -> list[tuple[object, ...]]:
        return self.till.sql("SELECT number, day FROM closure ORDER BY number")


@pytest.fixture
def counter(shop: Shop, world: World) -> Counter:
    with_jobs(shop, *JOBS[:1])
    till = shop.till("T1", "B1")
    till.sql("INSERT INTO contact (id) VALUES ('c1')")
    return Counter(till, Clock(world))


def test_a_till_closes_its_days_once_and_those_that_it_missed(shop: Shop, counter: Counter) -> None:
    counter.agent.round()
    assert counter.days() == [], "what was due before the job was there is not made good"
    counter.clock.to(2, 20)
    for _ in range(3):
        counter.agent.round()
        counter.restart()
    assert counter.days() == [(1, "2026-11-02")]
    counter.clock.to(6, 9)  # three days without power
    counter.agent.round()
    assert counter.days() == [(n, f"2026-11-0{n + 1}") for n in range(1, 5)]
    shop.settle(counter.till)
    assert shop.sql("SELECT till, count(*), sum(total) FROM closure GROUP BY till") == [("T1", 4, 42)]
    assert shop.sql("SELECT total FROM turnover") == [(42,)]
    assert shop.sql("SELECT city FROM contact") == [("closed by T1",)]


@pytest.mark.parametrize("point", ["job.noted", "job.done"])
def test_a_till_that_dies_in_a_job_runs_it_once(counter: Counter, point: str) -> None:
    counter.agent.round()
    counter.clock.to(2, 20)
    counter.clock.die_at = point
    with pytest.raises(Died):
        counter.agent.round()
    assert counter.days() == []
    counter.clock.die_at = ""
    counter.restart()
    counter.agent.round()
    assert counter.days() == [(1, "2026-11-02")]


def test_a_clock_that_is_set_back_closes_no_day_twice(counter: Counter) -> None:
    counter.agent.round()
    for day, hour in ((4, 20), (3, 20), (4, 20), (5, 20)):
        counter.clock.to(day, hour)
        counter.restart()
        counter.agent.round()
    assert [day for _, day in counter.days()] == [f"2026-11-0{n}" for n in (2, 3, 4, 5)]


BAD = {
    "COMMIT": "a transaction of its own",
    "UPDATE tillsync_state SET applying = 1": "Tillsync's",
    "DROP TRIGGER tillsync_closure_after_insert": "Tillsync's",
    "ATTACH ':memory:' AS other": "attaches",
    "PRAGMA writable_schema = 1": "PRAGMA",
    "INSERT INTO closure (number, day) VALUES (1, :busines_date)": "busines_date",
    "INSERT INTO closure (number) VALUES (9); INSERT INTO no_table VALUES (1)": "no_table",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n": "longer than",
}


def test_what_a_tills_job_may_not_do(shop: Shop, counter: Counter, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told once, nothing of it stays, and neither the rounds nor the other jobs wait for it."""
    bad = [
        JobSettings(name=f"bad{n}", at="till", cron="0 19 * * *", sql=sql, seconds_max=0.2) for n, sql in enumerate(BAD)
    ]
    with_jobs(shop, *bad, *JOBS[:1])
    counter.till.sync()
    counter.agent.round()
    log.configure(level="error")
    counter.clock.to(2, 20)
    for _ in range(3):
        counter.agent.round()
        counter.clock.at += timedelta(seconds=5)
    log.configure(level="critical")
    said = [line for line in capsys.readouterr().err.splitlines() if "job failed" in line]
    assert len(said) == len(BAD), said
    assert all(why in line for why, line in zip(BAD.values(), said, strict=True)), said
    told = next(row["body"]["errors"] for row in shop.relay.reports() if row["node"] == "T1")
    assert len(told) == len(BAD), "head office hears of it"
    assert counter.days() == [(1, "2026-11-02")]
    assert counter.till.sql("SELECT applying FROM tillsync_state") == [(0,)]
    shop.settle(counter.till)
    assert shop.sql("SELECT count(*) FROM closure") == [(1,)]


def test_head_offices_jobs_run_once_too(shop: Shop, world: World) -> None:
    shop.sql(BOOKS)
    bad = JobSettings(
        name="bad", at="central", cron="0 21 * * *", sql="INSERT INTO posted VALUES (NULL, 'bad'); COMMIT"
    )
    worse = JobSettings(name="worse", at="central", cron="0 21 * * *", sql="SELECT pg_sleep(9)", seconds_max=0.1)
    with_jobs(shop, bad, worse, *JOBS)
    clock = Clock(world)
    look = looker(shop, clock)
    look()
    clock.to(2, 22)
    clock.die_at = "job.done"
    with pytest.raises(Died):
        look()
    clock.die_at = ""
    for _ in range(3):
        look()
    clock.to(4, 23)
    look()
    assert [row[0].day for row in shop.sql("SELECT day FROM posted WHERE note = ':node' ORDER BY day")] == [2, 3, 4]
    runs = shop.sql("SELECT job, count(*), max(rows) FROM tillsync.job_run WHERE key <> '' GROUP BY job ORDER BY job")
    assert ("post", 3, 1) in runs
    assert "worse" not in {job for job, _, _ in runs}
    assert {node for _, node in shop.sql("SELECT * FROM pulse")} == {"central"}
    assert len(shop.sql("SELECT at FROM pulse")) == 2, "an interval that was missed is not made good"


def looker(shop: Shop, clock: Clock) -> Callable[[], int]:
    """Head office's jobs, looked at by a service that is started anew each time."""

    def look() -> int:
        jobs = CentralJobs(shop.settings, clock.made())
        try:
            return jobs.round().moved
        finally:
            jobs.close()

    return look


def test_a_file_that_is_not_there_is_the_rounds_to_tell(shop: Shop, counter: Counter, tmp_path: Path) -> None:
    gone = counter.till.settings.model_copy(
        update={"till": counter.till.settings.till.model_copy(update={"database": tmp_path / "gone.db"})}
    )
    agent = TillWithJobs(counter.till.agent, gone, counter.clock.made())
    assert agent.round().moved >= 0
