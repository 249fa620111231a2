"""Rounds and the service around them, with a clock that is moved by hand: what is retried, when, and what is said."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator import log
from orchestrator.core.world import World
from orchestrator.errors import Busy, ConfigError, PersonMustDecide, TillsyncError, Unreachable
from orchestrator.service.pace import Backoff, Pace, spread, spread_fault
from orchestrator.service.rounds import until_idle
from orchestrator.service.scheduler import STUCK_SECONDS, Rhythm, Service

AWAY = Unreachable("TS-400", "the relay does not answer")
REFUSED = PersonMustDecide("TS-401", "the login is refused")


@dataclass
class Clock:
    seconds: float = 0.0

    def world(self) -> World:
        def sleep(seconds: float) -> None:
            self.seconds += seconds

        return World(
            now=lambda: datetime.fromtimestamp(self.seconds, UTC),
            monotonic=lambda: self.seconds,
            random63=lambda: 2**63 - 1,
            sleep=sleep,
            crash=lambda point: None,
        )


@dataclass(frozen=True)
class Report:
    moved: int = 0


@dataclass
class Script:
    """An agent and a lease in one: each round does what is next, and the last thing for ever."""

    steps: list[Report | Exception]
    rounds: int = 0
    held: int = 0
    noted: int = 0
    calls: list[str] = field(default_factory=list)

    def round(self) -> Report:
        step = self.steps[min(self.rounds, len(self.steps) - 1)]
        self.rounds += 1
        if isinstance(step, Exception):
            raise step
        return step

    def hold(self) -> None:
        self.held += 1

    def note(self) -> None:
        self.noted += 1

    def close(self) -> None:
        self.calls.append("close")

    def release(self) -> None:
        self.calls.append("release")


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.configure(stream=stream, json=True)
    yield stream
    log.configure(level="warning")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def turns(script: Script, clock: Clock, seconds: float, poll_seconds: float = 1.0) -> Service:
    service = Service(script, script, clock.world(), Rhythm(poll_seconds, poll_seconds), {"node": "T1"})
    go_on(service, clock, seconds)
    return service


def go_on(service: Service, clock: Clock, seconds: float) -> None:
    end = clock.seconds + seconds
    while clock.seconds < end and not service.stopping.is_set():
        clock.seconds += service.turn()


def test_a_network_that_is_away_for_a_night_is_one_line(said: io.StringIO) -> None:
    clock = Clock()
    script = Script([AWAY])
    service = turns(script, clock, 8 * 3600)
    assert not service.stopping.is_set()
    assert len(lines(said)) == 1
    assert 8 * 60 <= script.rounds < 700, "the pauses grow to a minute, and no further"
    script.steps = [Report()]
    go_on(service, clock, 60)
    assert [line["event"] for line in lines(said)] == ["round failed", "working again"]


def test_another_error_is_another_line(said: io.StringIO) -> None:
    turns(Script([Report(), AWAY, AWAY, REFUSED, REFUSED, AWAY]), Clock(), 600)
    assert [line["error"][:6] for line in lines(said)] == ["TS-400", "TS-401", "TS-400"]


@pytest.mark.parametrize("error", [ConfigError("TS-105", "wrong"), REFUSED, KeyError("a bug")])
def test_what_can_never_work_ends_the_service_at_the_start(said: io.StringIO, error: Exception) -> None:
    script = Script([error])
    service = turns(script, Clock(), 100)
    assert service.fault is error
    assert script.rounds == 1


@pytest.mark.parametrize("error", [AWAY, Busy("TS-503", "locked")])
def test_what_passes_is_waited_for_at_the_start_too(said: io.StringIO, error: TillsyncError) -> None:
    script = Script([error, error, Report()])
    service = turns(script, Clock(), 100)
    assert service.fault is None
    assert script.noted > 50
    assert not service.is_stuck


@pytest.mark.parametrize("error", [ConfigError("TS-511", "wrong"), REFUSED, KeyError("a bug")])
def test_once_at_work_nothing_ends_it(said: io.StringIO, error: Exception) -> None:
    script = Script([Report(), error])
    service = turns(script, Clock(), 1_000)
    assert service.fault is None
    assert script.rounds > 5
    assert len(lines(said)) == 1
    assert script.held == script.rounds, "the lease is looked at before every round"


def test_a_round_that_is_broken_off_says_nothing(said: io.StringIO) -> None:
    script = Script([AWAY])
    service = Service(script, script, Clock().world(), Rhythm(1.0, 1.0), {})
    script.hold = service.stopping.set  # type: ignore[method-assign]
    service.turn()
    service.turn()
    assert (script.rounds, lines(said)) == (1, [])


def test_pauses() -> None:
    def pauses(poll_seconds: float, error: Exception, count: int) -> list[float]:
        backoff = Backoff(poll_seconds)
        return [backoff.failed(error) for _ in range(count)]

    assert pauses(1.0, AWAY, 8) == [1, 2, 4, 8, 16, 32, 50, 50]
    assert max(pauses(10.0, AWAY, 99)) == 60
    assert max(pauses(0.1, AWAY, 99)) == 5, "who polls ten times a second does not wait a minute"
    assert pauses(1.0, REFUSED, 3) == [4, 8, 16], "a refused login is asked for less often"
    backoff = Backoff(1.0)
    backoff.failed(AWAY)
    backoff.succeeded()
    assert backoff.failed(AWAY) == 1


def test_a_lock_is_asked_for_again_soon() -> None:
    backoff = Backoff(10.0)
    assert [backoff.failed(Busy("TS-405", "locked")) for _ in range(9)] == [10.0] * 9


def test_an_idle_agent_slows_down_and_a_busy_one_is_quick_again() -> None:
    pace = Pace(1.0, 5.0)
    assert pace.after(moved=True) == 1.0
    assert [pace.after(moved=False) for _ in range(6)] == [1.5, 2.25, 3.375, 5.0, 5.0, 5.0]
    assert pace.after(moved=True) == 1.0
    assert pace.after(moved=False) == 1.5
    assert pace.after(moved=True, more=True) == 0.0, "what is left over is not waited for"
    assert Pace(1.0, 0.1).after(moved=False) == 1.0, "idle is never quicker than busy"


def test_a_chain_does_not_ask_in_step() -> None:
    draws = [0, 2**62, 2**63 - 1]
    assert [round(spread(10.0, d), 3) for d in draws] == [9.0, 10.0, 11.0]
    assert [round(spread_fault(10.0, d), 3) for d in draws] == [5.0, 7.5, 10.0]


def test_a_round_without_end_is_stuck() -> None:
    clock, seen = Clock(), list[bool]()
    script = Script([Report()])
    service = Service(script, script, clock.world(), Rhythm(1.0, 1.0), {})

    def long() -> None:
        clock.seconds += STUCK_SECONDS - 1
        seen.append(service.is_stuck)
        clock.seconds += 2
        seen.append(service.is_stuck)

    script.hold = long  # type: ignore[method-assign]
    service.turn()
    assert [*seen, service.is_stuck] == [False, True, False]


def test_until_idle_is_two_quiet_rounds() -> None:
    script = Script([Report(3), Report(), Report(1), Report()])
    moved = until_idle(script, script, Clock().world(), timeout_seconds=60, pause_seconds=1)
    assert (moved, script.rounds, script.noted) == (2, 5, 5)
    assert script.calls == ["close", "release"]


def test_until_idle_gives_up() -> None:
    clock = Clock()

    class Busybody(Script):
        def round(self) -> Report:
            clock.seconds += 1
            return Report(1)

    script = Busybody([])
    with pytest.raises(Unreachable) as caught:
        until_idle(script, script, clock.world(), timeout_seconds=10, pause_seconds=1)
    assert caught.value.code == "TS-721"
    assert script.calls == ["close", "release"]


def test_until_idle_ends_with_the_first_error() -> None:
    script = Script([AWAY])
    with pytest.raises(Unreachable):
        until_idle(script, script, Clock().world(), timeout_seconds=10, pause_seconds=1)
    assert (script.rounds, script.calls) == (1, ["close", "release"])
