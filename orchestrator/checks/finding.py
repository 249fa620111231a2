"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """subject: which check says it. what: what is wrong and where. remedy: what to do. is_advice: it works as it is."""

    subject: str
    what: str
    remedy: str
    is_advice: bool = False
