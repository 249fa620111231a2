"""What is told of troubles, with a clock that is moved by hand: each once when it comes and once when it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.alerts import Alert, Key, State, step

HOLD = timedelta(seconds=120)
START = datetime(2026, 11, 25, 8, tzinfo=UTC)


@dataclass
class Watch:
    """Looks every 30 s, as the service does; `told` is what a person got: (cause, subjects, begun or ended)."""

    now: datetime = START
    known: dict[Key, Alert] = field(default_factory=dict)
    told: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    def look(self, *found: Key, seconds: float = 30, unknown: tuple[str, ...] = (), hold: timedelta = HOLD) -> Watch:
        """So many seconds in which this is wrong."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=min(30, seconds) if seconds <= 36_000 else 1_800)
            done = step(self.known.values(), dict.fromkeys(found, ("what", "do")), unknown, self.now, hold)
            self.known |= {alert.key: alert for alert in done.kept}
            for key in done.gone:
                del self.known[key]
            for groups, how in ((done.begun, "begun"), (done.ended, "ended")):
                self.told += [(g[0].cause, tuple(a.subject for a in g), how) for g in groups]
        return self


T1, T2 = ("silent", "T1"), ("silent", "T2")


def test_a_trouble_is_told_once_and_its_end_once() -> None:
    watch = Watch().look(T1, seconds=3600)
    assert watch.told == [("silent", ("T1",), "begun")]
    watch.look(seconds=3600)
    assert watch.told[1:] == [("silent", ("T1",), "ended")]


def test_what_passes_by_itself_is_not_told() -> None:
    watch = Watch().look(T1, seconds=120).look(seconds=3600)
    assert (watch.told, watch.known) == ([], {})
    assert Watch().look(T1, seconds=150).told != []


def test_twenty_tills_within_a_minute_are_one_message_and_one_end() -> None:
    tills = [("silent", f"T{n:02}") for n in range(20)]
    watch = Watch().look(*tills[:5]).look(*tills[:12]).look(*tills, seconds=600)
    everybody = tuple(subject for _, subject in tills)
    assert watch.told == [("silent", everybody, "begun")]
    watch.look(*tills[5:]).look(*tills[12:]).look(seconds=600)
    assert watch.told[1:] == [("silent", everybody, "ended")]


def test_causes_are_apart() -> None:
    watch = Watch().look(T1, ("disk", "T1"), seconds=300)
    assert sorted(watch.told) == [("disk", ("T1",), "begun"), ("silent", ("T1",), "begun")]


def test_who_comes_later_is_told_later_and_alone() -> None:
    watch = Watch().look(T1, seconds=600).look(T1, T2, seconds=600).look(T2, seconds=600)
    assert watch.told == [
        ("silent", ("T1",), "begun"),
        ("silent", ("T2",), "begun"),
        ("silent", ("T1",), "ended"),
    ]


def test_what_flaps_is_told_once() -> None:
    watch = Watch().look(T1, seconds=300)
    for _ in range(20):  # away for two minutes and a half, back for one and a half
        watch.look(seconds=90).look(T1, seconds=150)
    assert watch.told == [("silent", ("T1",), "begun")]
    watch.look(seconds=32 * 120)
    assert len(watch.told) == 1, "its end is not believed at once"
    watch.look(seconds=60)
    assert watch.told[1:] == [("silent", ("T1",), "ended")]


def test_what_comes_back_after_its_end_is_told_with_longer_and_longer_waits() -> None:
    watch = Watch()
    for _ in range(10):  # ten minutes away, ten minutes back
        watch.look(T1, seconds=600).look(seconds=600)
    assert len(watch.told) <= 8, watch.told
    assert [how for *_, how in watch.told] == ["begun", "ended"] * (len(watch.told) // 2) + ["begun"] * (
        len(watch.told) % 2
    )


def test_flapping_is_forgotten_after_a_day() -> None:
    watch = Watch().look(T1, seconds=300).look(seconds=60).look(T1, seconds=60).look(seconds=600)
    assert [a.flaps for a in watch.known.values()] == [1]
    watch.look(seconds=86_400)
    assert watch.known == {}


def test_what_nobody_can_know_stays_as_it_is() -> None:
    watch = Watch().look(T1, seconds=300)
    relay = ("relay", "central")
    watch.look(relay, seconds=3600, unknown=("silent",))
    assert watch.told[1:] == [("relay", ("central",), "begun")], "that T1 is not seen silent is no end of it"
    watch.look(T1, seconds=300)
    assert watch.told[2:] == [("relay", ("central",), "ended")]


def test_without_a_hold_everything_is_told_at_once() -> None:
    watch = Watch().look(T1, hold=timedelta(0)).look(hold=timedelta(0))
    assert [how for *_, how in watch.told] == ["begun", "ended"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from([T1, T2, ("disk", "T1")])), st.integers(1, 20)), max_size=30))
def test_whatever_comes_and_goes_beginnings_and_ends_take_turns(days: list[tuple[set[Key], int]]) -> None:
    watch = Watch()
    for found, looks in days:
        watch.look(*found, seconds=30 * looks)
    watch.look(seconds=2 * 86_400)
    assert watch.known == {}
    for key in (T1, T2, ("disk", "T1")):
        hows = [how for cause, subjects, how in watch.told if cause == key[0] and key[1] in subjects]
        assert hows == ["begun", "ended"] * (len(hows) // 2), "never twice, and never left open"


def test_the_words_are_those_of_the_time_when_it_was_told() -> None:
    state: State = "suspected"
    old = Alert("parked", "T1", state, START, START, "1 change", "look")
    (kept,) = step([old], {old.key: ("3 changes", "look")}, (), START + HOLD, HOLD).kept
    assert (kept.state, kept.what) == ("told", "3 changes")
