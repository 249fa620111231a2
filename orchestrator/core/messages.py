"""What a person reads of troubles: the words of messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.core.alerts import Alert
from orchestrator.masking import mask

MANY = 3
"""So many branches at once, and half of all, are one fault of something that they share."""

SUBJECTS_MAX = 5
LINES_MAX = 200
TITLES = {
    "silent": "silent while the shop is open",
    "lag": "behind",
    "closure": "closure missing",
    "parked": "changes parked",
    "forbidden": "changes that a till may not make",
    "conflicts": "conflicts",
    "undecided": "conflicts for a person to decide",
    "failing": "rounds fail",
    "schema": "table or column missing",
    "differs": "a comparison found differences",
    "labels": "labels not printed",
    "drift": "tables or triggers changed",
    "clock": "clock wrong",
    "disk": "disk nearly full",
    "certificate": "certificate about to end",
    "backup": "backup old",
    "machine": "another machine with a copy",
    "set_aside": "rows set aside",
    "refused": "uploads refused",
    "relay": "the relay does not answer",
    "stopped": "head office's service does not run",
    "rounds": "head office's rounds fail",
    "office": "head office's database does not answer",
}
SHARED = {
    "silent": "the relay, its line or its login is likelier than as many tills",
    "clock": "the relay's own clock is likelier than as many tills",
    "certificate": "it is the relay's certificate",
    "lag": "head office's publishing or the relay is likelier than as many tills",
}


@dataclass(frozen=True, slots=True)
class Message:
    """kind: trouble, recovered or digest. body: the same for programs, as JSON."""

    kind: str
    title: str
    text: str
    body: Mapping[str, Any]


def begun(name: str, group: Sequence[Alert], branches: int) -> Message:
    """One cause that came, at all its subjects; `branches`: how many there are."""
    text = [f"{a.subject}: {a.what}\n    {a.remedy}" for a in group[:LINES_MAX]]
    if _is_shared(group, branches):
        text.insert(0, f"{len(group)} of {branches} branches at once: {SHARED[group[0].cause]}.\n")
    return _message("trouble", name, group, f"{_who(group)}: {_title(group)}", text)


def ended(name: str, group: Sequence[Alert], now: datetime) -> Message:
    """One cause that went."""
    text = [f"{a.subject}: over after {_lasted(a, now)}. It was: {a.what}" for a in group[:LINES_MAX]]
    return _message("recovered", name, group, f"{_who(group)}: over: {_title(group)}", text)


def digest(name: str, day: Mapping[str, Any], troubles: Sequence[Mapping[str, str]], branches: int) -> Message:
    """The day's summary. day: ticks, uploads, conflicts and parked by branch, told (at, title)."""
    text = [f"{branches} branches, {day['ticks']} ticks published and {day['uploads']} uploads merged since yesterday"]
    text.append(_by_branch("conflicts since yesterday", day["conflicts"]))
    text.append(_by_branch("changes parked", day["parked"]))
    text.append("\nwrong now:" if troubles else "\nnothing is wrong now")
    text += [f"  {t['subject']}: {t['what']}\n      {t['remedy']}" for t in troubles[:LINES_MAX]]
    text += ["\ntold since yesterday:"] if day["told"] else []
    text += [f"  {at:%Y-%m-%d %H:%M} UTC {title}" for at, title in day["told"]]
    title = f"[{name}] the day: {len(troubles) or 'no'} trouble{'' if len(troubles) == 1 else 's'}"
    body = {key: day[key] for key in ("ticks", "uploads", "conflicts", "parked")} | {"troubles": list(troubles)}
    return Message("digest", title, mask("\n".join(text)), body)


def _message(kind: str, name: str, group: Sequence[Alert], title: str, text: Sequence[str]) -> Message:
    more = len(group) - LINES_MAX
    whole = "\n".join([*text, *([f"and {more} more"] if more > 0 else [])])
    troubles = [{"subject": a.subject, "what": mask(a.what), "remedy": a.remedy} for a in group]
    return Message(kind, f"[{name}] {title}", mask(whole), {"cause": group[0].cause, "troubles": troubles})


def _is_shared(group: Sequence[Alert], branches: int) -> bool:
    return group[0].cause in SHARED and len(group) >= MANY and 2 * len(group) >= branches


def _who(group: Sequence[Alert]) -> str:
    named = ", ".join(a.subject for a in group[:SUBJECTS_MAX])
    return named if len(group) <= SUBJECTS_MAX else f"{named} and {len(group) - SUBJECTS_MAX} more"


def _title(group: Sequence[Alert]) -> str:
    return TITLES.get(group[0].cause, group[0].cause)


def _by_branch(what: str, counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{node} {count}" for node, count in sorted(counts.items()))
    return f"{what}: {named or 'none'}"


def _lasted(alert: Alert, now: datetime) -> str:
    minutes = round((now - alert.since).total_seconds() / 60)
    return f"{minutes} min" if minutes < 180 else f"{minutes / 60:.0f} h"
