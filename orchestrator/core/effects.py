"""What a change of plan or parameters does to the tills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """One table for some branches: rows that they hold before, that come, that go, that are sent anew or for the first
    time, and the bytes at the relay for all of them together."""

    channel: str
    parameters: Mapping[str, Any]
    branches: tuple[str, ...]
    table: str
    before: int
    come: int
    go: int
    sent: int
    bytes: int

    @property
    def is_any(self) -> bool:
        return bool(self.come or self.go or self.sent)
