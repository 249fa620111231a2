"""What a till says of the machine that it is on: its clock, its disk, its certificates. None of it is in the file."""

from __future__ import annotations

import shutil
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any

from orchestrator.core import skew
from orchestrator.core.world import World
from orchestrator.relay.certificates import first_end

CERTIFICATE_SECONDS = 6 * 3_600
"""A certificate is looked at so often."""


class Vitals:
    """Measured as rounds go by."""

    def __init__(self, world: World, database: Path, relay_dsn: str | None) -> None:
        self._world, self._database, self._dsn = world, database, relay_dsn
        self.skew: float | None = None
        self._succeeded_at: datetime | None = None
        self._certificate: datetime | None = None
        self._looked_at = -inf

    def heard(self, relay_now: float | None, asked: datetime) -> None:
        """The relay said what time it is, after it had been asked at `asked`."""
        self.skew = skew.seconds(relay_now, asked, self._world.now())

    def told(self, *, succeeded: bool) -> dict[str, Any]:
        """For the report: the time here, what it is off, the newest good round, the disk, a certificate's end."""
        now = self._world.now()
        if succeeded:
            self._succeeded_at = now
        self._look()
        return {
            "at": now.isoformat(),
            "succeeded_at": _text(self._succeeded_at),
            "clock_skew_seconds": self.skew,
            "disk_free_bytes": shutil.disk_usage(self._database.absolute().parent).free,
            "certificate_ends_at": _text(self._certificate),
        }

    def _look(self) -> None:
        if self._dsn is not None and self._world.monotonic() - self._looked_at >= CERTIFICATE_SECONDS:
            self._looked_at = self._world.monotonic()
            self._certificate = first_end(self._dsn)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
