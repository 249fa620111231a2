"""From what is wrong now to what is told: once when it comes, once when it goes. Pure: what was known before goes in.

A trouble is *suspected* until it has stood for the hold; then it is *told*, and with it all others of its cause that
are suspected, in one message: twenty tills that fall silent are one fault. It is *clearing* when it is gone, and told
as ended when it has been gone for the hold. What comes back meanwhile was not gone, and the next time has to be gone
for twice as long: what flaps is told once. After its end a trouble is *quiet* for a day, in which its flapping is
remembered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

FLAP_FORGOTTEN = timedelta(days=1)
FLAP_WINDOW = timedelta(hours=1)
"""What comes again so soon after it was told as ended flaps, too."""

HOLD_DOUBLINGS_MAX = 5
State = Literal["suspected", "told", "clearing", "quiet"]
Key = tuple[str, str]
"""Cause and subject."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is known of a trouble. since: when it began. changed_at: when it came into its state. flaps: how often it
    came back."""

    cause: str
    subject: str
    state: State
    since: datetime
    changed_at: datetime
    what: str = ""
    remedy: str = ""
    flaps: int = 0

    @property
    def key(self) -> Key:
        return self.cause, self.subject


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: alerts to keep and those to forget, and by cause what is told as begun and as ended."""

    kept: tuple[Alert, ...] = ()
    gone: tuple[Key, ...] = ()
    begun: tuple[tuple[Alert, ...], ...] = ()
    ended: tuple[tuple[Alert, ...], ...] = ()


def step(
    known: Iterable[Alert],
    found: Mapping[Key, tuple[str, str]],
    unknown: Collection[str],
    now: datetime,
    hold: timedelta,
) -> Step:
    """found: (what, remedy) of each trouble that is there now. unknown: causes that nobody can tell of now."""
    before = {alert.key: alert for alert in known}
    after: dict[Key, Alert] = {}
    for key in sorted(before.keys() | found.keys()):
        alert = before.get(key)
        if key[0] in unknown:
            after |= {key: alert} if alert is not None else {}
            continue
        seen = _seen(alert, key, found[key], now) if key in found else _not_seen(alert, now)
        after |= {key: seen} if seen is not None else {}
    begun = _due(after.values(), "suspected", now, hold)
    ended = _due(after.values(), "clearing", now, hold)
    for alert in (alert for group in begun for alert in group):
        after[alert.key] = replace(alert, state="told", changed_at=now)
    for alert in (alert for group in ended for alert in group):
        after[alert.key] = replace(alert, state="quiet", changed_at=now)
    kept = tuple(alert for key, alert in after.items() if alert != before.get(key))
    return Step(kept, tuple(before.keys() - after.keys()), begun, ended)


def _seen(alert: Alert | None, key: Key, about: tuple[str, str], now: datetime) -> Alert:
    what, remedy = about
    if alert is None:
        return Alert(*key, "suspected", now, now, what, remedy)
    if alert.state == "quiet":
        flapped = now - alert.changed_at < FLAP_WINDOW
        alert = replace(alert, state="suspected", since=now, changed_at=now)
        return replace(alert, what=what, remedy=remedy, flaps=alert.flaps + flapped)
    if alert.state == "clearing":
        return replace(alert, state="told", changed_at=now, flaps=alert.flaps + 1)
    return replace(alert, what=what, remedy=remedy) if alert.state == "suspected" else alert


def _not_seen(alert: Alert | None, now: datetime) -> Alert | None:
    assert alert is not None, "a key is known or found"
    if alert.state == "told":
        return replace(alert, state="clearing", changed_at=now)
    if alert.state == "clearing":
        return alert
    if alert.state == "suspected":
        # It never was told. That it flapped before is still to be remembered.
        return replace(alert, state="quiet", changed_at=now) if alert.flaps else None
    return alert if now - alert.changed_at < FLAP_FORGOTTEN else None


def _due(alerts: Iterable[Alert], state: State, now: datetime, hold: timedelta) -> tuple[tuple[Alert, ...], ...]:
    """By cause the alerts in a state, where one of them is due: the others go with it, but for what flaps."""
    groups: dict[str, list[Alert]] = {}
    for alert in alerts:
        if alert.state == state:
            groups.setdefault(alert.cause, []).append(alert)
    due = []
    for group in groups.values():
        ripe = {alert.key for alert in group if now - alert.changed_at >= _hold(alert, state, hold)}
        if ripe:
            due.append(tuple(alert for alert in group if alert.key in ripe or not alert.flaps or state == "suspected"))
    return tuple(due)


def _hold(alert: Alert, state: State, hold: timedelta) -> timedelta:
    return hold if state == "suspected" else hold * 2 ** min(alert.flaps, HOLD_DOUBLINGS_MAX)
