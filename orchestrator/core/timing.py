"""What agents ask of those who know when a channel's time is. By hand nobody is asked, and everything goes at once."""

from __future__ import annotations

from typing import Any, Protocol

from orchestrator.core.plan import Plan


class Timetable(Protocol):
    """Head office's. `conn` is a connection to its database, where it is kept what has been done."""

    def due(self, conn: Any, plan: Plan) -> frozenset[str] | None:
        """The channels whose time it is; None for all of them."""
        ...

    def done(self, conn: Any, plan: Plan, channels: frozenset[str]) -> None:
        """These have been published, or had nothing to tell."""
        ...


class Gate(Protocol):
    """A till's. What it has to say is one line, in order: it is sent when the time of any part of it has come."""

    def may_send(self, db: Any) -> bool: ...

    def sent(self, db: Any) -> None: ...
