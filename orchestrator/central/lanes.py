"""Which channels a tick takes in, and from when on each: those that are not due stay back, and the urgent go first.

A channel that stays back is covered up to an earlier snapshot than the tick's own. That is kept with its intent, so
that the next tick, or one that starts over from it, begins there for this channel. Its ledger does not move meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass

from orchestrator.central.span import Span
from orchestrator.central.tick import Changed
from orchestrator.core.plan import Channel

ROWS_AT_ONCE = 20_000
"""Where more rows have changed than this, channels of the first priority go in a tick of their own: a small tick is
fetched and applied at once, though a large one follows."""


@dataclass(frozen=True)
class Lane:
    """Channels that a tick takes in from the same snapshot on, and what the logs have in that stretch."""

    channels: frozenset[str]
    span: Span
    changed: Changed


@dataclass(frozen=True)
class Lanes:
    """`going`: what the tick takes in. `is_news`: whether anything of it has changed. `held`: up to which snapshot the
    others were covered. `more`: some of those are due, and go with the next tick."""

    going: tuple[Lane, ...]
    is_news: bool
    held: Mapping[str, str]
    more: bool = False


@dataclass(frozen=True)
class Start:
    """Where a tick begins: its base's snapshot, earlier ones of channels that stayed back, and its own snapshot."""

    since: str
    held: Mapping[str, str]
    now: str


def sort(
    channels: Collection[Channel],
    tables: Mapping[str, Set[str]],
    start: Start,
    due: Set[str] | None,
    changes: Callable[[Span], Changed],
) -> Lanes:
    """The lanes of a tick. `tables`: of each channel, with those that its filters look at. `due`: the channels whose
    time it is; None takes all in, changed or not. `changes` asks the logs, once for each stretch."""
    since = {c.name: start.held.get(c.name, start.since) for c in channels}
    changed = {text: changes(Span(text, start.now)) for text in dict.fromkeys((start.since, *since.values()))}
    touched = {
        c.name: _rows(changed[since[c.name]], tables[c.name])
        for c in channels
        if changed[since[c.name]].rows.keys() & tables[c.name]
    }
    ready = [c for c in channels if due is None or (c.name in touched and c.name in due)]
    names = {c.name for c in (ready if due is None else _first(ready, touched))}
    stretches: dict[str, set[str]] = {}
    for name in names:
        stretches.setdefault(since[name], set()).add(name)
    return Lanes(
        tuple(Lane(frozenset(own), Span(text, start.now), changed[text]) for text, own in stretches.items()),
        is_news=bool(names & touched.keys()),
        held={name: since[name] for name in touched if name not in names},
        more=len(names) < len(ready),
    )


def _rows(changed: Changed, tables: Set[str]) -> float:
    return sum(changed.rows.get(name, 0) for name in tables)


def _first(ready: list[Channel], rows: Mapping[str, float]) -> list[Channel]:
    """All of them or, where that is much, those of the first priority that has anything."""
    if not ready or sum(rows[c.name] for c in ready) <= ROWS_AT_ONCE:
        return ready
    most_urgent = min(c.priority for c in ready)
    return [c for c in ready if c.priority == most_urgent]
