"""The replay of the month: head office and the tills work side by side, and agents are stopped, killed and started.

A trading day ends when everybody has ended it. The agents run on their own; only when they lag by more than a day,
the next day waits a little for them, or head office would never see an order before the month is over.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from orchestrator.demo import office, pos
from orchestrator.demo.agents import Agent
from orchestrator.demo.chain import Chain, Till
from orchestrator.demo.site import CENTRAL, Site

DAYS_FOR_FAULTS = 4
"""A shorter replay has no room for outages."""

KILL_AFTER_SECONDS_MAX = 1.0
"""An agent is killed within this time of its coming up, or of its start."""

KILLED_AT_WORK = 0.85
COME_UP_SECONDS_MAX = 20.0
A_KILL_TAKES_SECONDS = 2.0


LAG_DAYS_MAX = 2
NIGHT_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A till without a network: its agent is stopped before `first` and started again after `last`."""

    node: str
    first: int
    last: int

    def covers(self, node: str, day: int) -> bool:
        """Is `node` offline on `day` because of this?"""
        return node == self.node and self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class Plan:
    """How the days go: how long each lasts at least, who is offline when, who is killed on which day, how often."""

    days: int
    day_seconds: float
    outages: tuple[Outage, ...]
    kills: tuple[dict[str, int], ...]


def plan(chain: Chain, days: int, day_seconds: float, kills: int) -> Plan:
    """The faults of a replay: two tills offline for some days each, a till and central killed once.

    `kills` more for every agent are spread over the days on which it runs, for those who want to see it.
    """
    names = (CENTRAL, *(till.node for till in chain.tills))
    daily = [dict.fromkeys(names, 0) for _ in range(days)]
    outages = _outages(chain.tills, days) if days >= DAYS_FOR_FAULTS else ()
    for name in names:
        at_work = [day for day in range(days) if not any(outage.covers(name, day) for outage in outages)]
        for number in range(kills):
            daily[at_work[number * len(at_work) // kills]][name] += 1
        if outages and name in (CENTRAL, chain.tills[0].node):
            daily[at_work[len(at_work) * 2 // 3]][name] += 1
    return Plan(days, day_seconds, outages, tuple(daily))


def _outages(tills: Sequence[Till], days: int) -> tuple[Outage, ...]:
    first, second = tills[1 % len(tills)], tills[3 % len(tills)]
    length = max(1, days // 10)
    return (
        Outage(first.node, max(1, days // 5), max(1, days // 5) + length - 1),
        Outage(second.node, days // 2, days // 2 + length - 1),
    )


def replay(site: Site, plan: Plan, day_done: Callable[[int], None]) -> dict[str, float]:
    """Lives through the days and returns the longest wait for a lock of each till's application, in seconds."""
    applications = [pos.Pos(till, pos.connect(site.file(till))) for till in site.chain.tills]
    chance = random.Random(site.chain.month.days[0].date.toordinal())
    with psycopg.connect(site.office_dsn, autocommit=True) as books, ThreadPoolExecutor(2 * len(site.agents)) as pool:
        for day in range(plan.days):
            _switch(site, plan, day)
            _night(books, site, plan, day)
            seconds = max(plan.day_seconds, max(plan.kills[day].values()) * A_KILL_TAKES_SECONDS)
            work: list[Future[None]] = [pool.submit(_head_office, books, site.chain, day, seconds)]
            work += [pool.submit(_till, application, site.chain, day, seconds) for application in applications]
            work += [
                pool.submit(_strike, site.agents[name], times, random.Random(chance.random()))
                for name, times in plan.kills[day].items()
                if times
            ]
            _end(work)
            for agent in site.agents.values():
                agent.check()
            day_done(day)
    for application in applications:
        application.close()
    return {application.till.node: application.waited_seconds for application in applications}


def _switch(site: Site, plan: Plan, day: int) -> None:
    """In the morning: who has no network today, and everybody else."""
    for agent in site.agents.values():
        if any(outage.covers(agent.name, day) for outage in plan.outages):
            agent.stop()
        else:
            agent.start()


def _night(books: office.Connection, site: Site, plan: Plan, day: int) -> None:
    """Waits, not for long, until head office has the day before yesterday of the tills that were online since."""
    awaited = {
        till.node
        for till in site.chain.tills
        if not any(outage.covers(till.node, on) for outage in plan.outages for on in range(day - LAG_DAYS_MAX, day + 1))
    }
    until = time.monotonic() + NIGHT_SECONDS_MAX
    while time.monotonic() < until and awaited - office.closed_through(books, day - LAG_DAYS_MAX + 1):
        time.sleep(0.05)


def _head_office(connection: office.Connection, chain: Chain, day: int, seconds: float) -> None:
    office.work(connection, chain, day, pace(office.STEPS_A_DAY, seconds))


def _till(application: pos.Pos, chain: Chain, day: int, seconds: float) -> None:
    invoices = chain.dealt[day][application.till.node]
    application.trade(chain.month.days[day].date, day, invoices, pace(len(invoices) + 2, seconds))


def pace(steps: int, seconds: float) -> Callable[[], None]:
    """A pause that spreads `steps` transactions evenly over `seconds`; who is late does not wait."""
    begun, taken = time.monotonic(), 0

    def pause() -> None:
        nonlocal taken
        taken += 1
        time.sleep(max(0.0, begun + seconds * taken / steps - time.monotonic()))

    return pause


def _strike(agent: Agent, times: int, chance: random.Random) -> None:
    """kill -9 at random moments, most of them at work, some while it comes up; it is started again at once."""
    for _ in range(times):
        if chance.random() < KILLED_AT_WORK:
            until = time.monotonic() + COME_UP_SECONDS_MAX
            while not agent.at_work and time.monotonic() < until:
                time.sleep(0.02)
        time.sleep(chance.uniform(0, KILL_AFTER_SECONDS_MAX))
        agent.kill()
        agent.start()


def _end(work: Sequence[Future[None]]) -> None:
    """Waits for all, then raises what went wrong first."""
    for part in work:
        part.result()
