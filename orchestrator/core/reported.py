"""What a till says of itself, as it may be believed: it is the till's word, and a till may be anybody's.

A field that is not of its kind is left out, as though it had not been said; fields that this version does not know are
kept as they are and read by nobody. Texts are cut, and have no control characters: they are shown on terminals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

TEXT_MAX, LIST_MAX = 500, 50

_NUMBERS = {"tick", "plan_version", "pending", "waiting", "held", "extra", "instance", "epoch", "sent", "received"} | {
    "disk_free_bytes",
    "clock_skew_seconds",
}
_TEXTS = {"version", "sqlite", "succeeded_at", "certificate_ends_at", "backup_at", "other_machine_at"}
_TEXT_LISTS = {"errors", "lacks"}
_NUMBER_LISTS = {"loading", "pushed", "ack"}


def read(text: str | None) -> dict[str, Any]:
    """The report, given as JSON, with what is wrong left out."""
    try:
        body = msgspec.json.decode(text or "{}")
    except (msgspec.MsgspecError, RecursionError):
        return {}
    if not isinstance(body, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, said in body.items():
        known, value = _field(name, said)
        if not known or value is not None:
            found[name] = value
    return found


def _field(name: str, said: Any) -> tuple[bool, Any]:
    if name in _NUMBERS:
        return True, _number(said)
    if name in _TEXTS:
        return True, _text(said)
    for names, one in ((_TEXT_LISTS, _text), (_NUMBER_LISTS, _number)):
        if name in names:
            listed = said[:LIST_MAX] if isinstance(said, list) else []
            return True, [v for v in map(one, listed) if v is not None]
    if name == "labels":
        return True, said if isinstance(said, dict) else None
    return False, said


def _number(said: Any) -> int | float | None:
    if isinstance(said, bool) or not isinstance(said, (int, float)):
        return None
    return said if math.isfinite(said) and -(2**63) <= said < 2**63 else None


def _text(said: Any) -> str | None:
    if not isinstance(said, str):
        return None
    return "".join(c if c.isprintable() else " " for c in said[:TEXT_MAX])
