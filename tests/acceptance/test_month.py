"""A month of the sample chain under its services, with nobody to help: schedules, jobs, nights, lines that are cut, kill -9.

The services live by a clock that the test moves on, so that a day takes seconds; everything else is real: processes, databases,
lines, signals. Head office keeps the price lists back until the evening, the tills' days are closed by their job.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as clock_time
from pathlib import Path

import apsw
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from orchestrator import assets
from orchestrator.demo import chain as chains
from orchestrator.demo import month, office, pos, proofs, reconciled, site
from orchestrator.demo.agents import Agent
from orchestrator.demo.databases import Server
from tests.integration.line import Line

DAYS = int(os.environ.get("TILLSYNC_MONTH_DAYS", "31"))
WAIT_SECONDS = 120
GROWTH_MAX = 1.15
"""An agent that was not killed has at most so many times the memory at the end that it had after a third of the month."""


class Application(pos.Pos):
    """A point of sale that leaves the closing of its days to the service."""

    def _close(self, day: date) -> None: ...


@dataclass
class Clock:
    """The file by which all services know the time. It is replaced whole: nobody reads half a time."""

    file: Path

    def to(self, day: date, hour: int, minute: int = 0) -> None:
        at = datetime.combine(day, clock_time(hour, minute), UTC)
        new = self.file.with_suffix(".new")
        new.write_text(at.isoformat())
        new.replace(self.file)


@dataclass
class Month:
    """The chain while the month goes by. `memory`: of each process, day by day, in MB."""

    place: site.Site
    clock: Clock
    lines: dict[str, Line]
    applications: list[Application]
    chance: random.Random
    memory: dict[int, tuple[str, list[float]]] = field(default_factory=dict)
    kills: int = 0

    def live(self, books: office.Connection, day: int, *, cut: set[str]) -> None:
        """One day: morning, sales and head office's work, evening, night."""
        today = self.place.chain.month.days[day].date
        self.clock.to(today, 8)
        for node, line in self.lines.items():
            if node not in cut:
                line.state = "open"
            elif line.state == "open":
                line.cut()
                line.state = self.chance.choice(["cut", "silent"])
        office.work(books, self.place.chain, day, lambda: None)
        for application in self.applications:
            invoices = self.place.chain.dealt[day][application.till.node]
            application.trade(today, day, invoices, lambda: None)
        if day == 1:  # its prices change after those of the first evening, and stock cards with them
            until(lambda: prices_stayed_back(self.place), "price lists are not kept back")
        self.clock.to(today, 20, 1)
        if day % 5 == 3:
            self.kill()
        until(lambda: all(closed(self.place.file(a.till), today) for a in self.applications), "a day is not closed")
        self.clock.to(today, 21, 1)
        online = {a.till.node for a in self.applications} - cut
        until(lambda: online <= arrived(books, today), "a closure is not at head office")
        for name, agent in self.place.agents.items():
            agent.check()
            self.note(name, agent)

    def kill(self) -> None:
        """kill -9 of head office's service or a till's, in the middle of the evening."""
        agent = self.place.agents[self.chance.choice([*self.lines, site.CENTRAL])]
        time.sleep(self.chance.uniform(0, 0.5))
        agent.kill()
        agent.start()
        self.kills += 1

    def note(self, name: str, agent: Agent) -> None:
        process = agent._process
        assert process is not None
        megabytes = psutil.Process(process.pid).memory_info().rss / 1e6
        self.memory.setdefault(process.pid, (name, []))[1].append(megabytes)

    def growth(self) -> dict[str, float]:
        """Of each process that lived through most of the month: its memory at the end, after a third of it taken as 1."""
        longest = max(len(seen) for _, seen in self.memory.values())
        steady = {name: seen for name, seen in self.memory.values() if len(seen) > longest * 0.6}
        return {name: max(seen[-3:]) / max(seen[: max(3, len(seen) // 3)]) for name, seen in steady.items()}

    def tell(self) -> None:
        """The figures, for who runs it with -s."""
        seen = [
            f"{name} {first[0]:.0f} to {first[-1]:.0f} MB in {len(first)} days" for name, first in self.memory.values()
        ]
        sys.stdout.write(f"{self.kills} kills; {'; '.join(seen)}; growth after a third: {self.growth()}\n")


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def closed(file: Path, day: date) -> bool:
    connection = apsw.Connection(str(file))
    try:
        return bool(list(connection.execute("SELECT 1 FROM closure WHERE day = ?", (day.isoformat(),))))
    finally:
        connection.close()


def prices_stayed_back(place: site.Site) -> bool:
    """Whether any tick has gone without the price lists that had changed."""
    with psycopg.connect(place.central_dsn) as ours:
        return bool(ours.execute("SELECT FROM tillsync.intent WHERE held ? 'prices'").fetchall())


def arrived(books: office.Connection, day: date) -> set[str]:
    return {str(till) for (till,) in books.execute("SELECT till FROM closure WHERE day = %s", [day])}


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(tmp_path / "clock")
    made.to(month.load().days[0].date, 7)
    monkeypatch.setenv("TILLSYNC_CLOCK", str(made.file))
    return made


def schedules(place: site.Site) -> None:
    """The sample's schedules: price lists in the evening, closures every ten minutes at the latest, the tills' job."""
    text = place.settings.read_text()
    evening = 'cron = "0 21 * * *"\nwindow = "20:00-06:00"'
    for name, direction, schedule in (("prices", "down", evening), ("orders", "both", "every_seconds = 60")):
        channel = f'name = "{name}"\ndirection = "{direction}"\n'
        assert text.count(channel) == 1
        text = text.replace(channel, f"{channel}{schedule}\n")
    place.settings.write_text(text + assets.text("sql/retail/service.toml"))


def over_lines(place: site.Site, stack: ExitStack) -> Iterator[tuple[str, Line]]:
    """Each till's way to the relay leads over a line of its own."""
    for till in place.chain.tills:
        settings = place.file(till).with_name("till.toml")
        line = Line(place.relay_admin_dsn)
        stack.callback(line.close)
        lines = settings.read_text().splitlines()
        given = next(row for row in lines if row.startswith("dsn = "))
        dsn = make_conninfo(line.dsn(given.removeprefix("dsn = ").strip('"')), connect_timeout=2)
        limit = "statement_timeout_seconds = 3"  # a line that says nothing is left after this
        settings.write_text("\n".join(f'dsn = "{dsn}"\n{limit}' if row == given else row for row in lines) + "\n")
        yield till.node, line


def live_through(pg: Server, clock: Clock, directory: Path, *, tills: int, days: int) -> Month:
    """The month, its proofs, and what `reconcile` says of it."""
    the_chain = chains.build(month.load(), tills, min(tills, 2))
    with ExitStack() as stack:
        directory.mkdir()
        place = site.prepare(directory, pg, the_chain)
        stack.callback(site.clear, pg)
        for agent in place.agents.values():
            stack.callback(agent.kill)
        schedules(place)
        site.install(place, lambda doing: None)
        for agent in place.agents.values():
            agent.stop()
        lines = dict(over_lines(place, stack))
        for agent in place.agents.values():
            agent.start()
        applications = [Application(t, pos.connect(place.file(t))) for t in the_chain.tills]
        for application in applications:
            stack.callback(application.close)
        lived = Month(place, clock, lines, applications, random.Random(days))
        books = stack.enter_context(psycopg.connect(place.office_dsn, autocommit=True))
        nodes = sorted(lines)
        for day in range(days):
            away = {nodes[day // 3 % len(nodes)]} if day % 7 in (1, 2, 4) else set[str]()
            lived.live(books, day, cut=away)
        for line in lines.values():
            line.state = "open"
        clock.to(the_chain.month.days[days - 1].date, 22)
        site.settle(place)
        lived.tell()
        report, _ = site.compare(place)
        if not report.equal:  # a check of the books is broken off where the machine is too busy for it
            report, _ = site.compare(place)
        site.stop(place)
        found = [
            reconciled.proof(report),
            *proofs.prove(place.central_dsn, place.branches),
            proofs.prove_replayed(the_chain, days, place.branches),
        ]
        assert [failure for proof in found for failure in proof.failures] == []
        idle = [proof.name for proof in found if not proof.checked]
        assert len(idle) <= (tills == 1), "of one till alone nobody else's secrets can be looked for"
        with psycopg.connect(place.central_dsn) as ours:
            assert ours.execute("SELECT FROM tillsync.job_run WHERE job = 'analyze' AND key <> ''").fetchall()
    return lived


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("demo")
def test_two_days_under_the_services(pg: Server, clock: Clock, tmp_path: Path) -> None:
    lived = live_through(pg, clock, tmp_path / "chain", tills=1, days=2)
    assert len(lived.memory) >= 2


@pytest.mark.long
@pytest.mark.timeout(3_000)
@pytest.mark.xdist_group("demo")
def test_a_month_under_the_services(pg: Server, clock: Clock, tmp_path: Path) -> None:
    lived = live_through(pg, clock, tmp_path / "chain", tills=3, days=DAYS)
    growth = lived.growth()
    assert len(growth) >= 2
    assert max(growth.values()) < GROWTH_MAX
