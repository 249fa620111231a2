"""A till's backups under its service: one where the newest is older than the settings say, beside the rounds."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from pathlib import Path

from orchestrator.core.world import World
from orchestrator.log import logger
from orchestrator.service.kept import Look
from orchestrator.settings import TillSettings
from orchestrator.till import backup, database, state

LOOK_SECONDS = 60.0
"""How often the newest backup's age is looked at."""

log = logger("backup")


@dataclass
class Backups:
    """Rounds beside those of the till's agent. When the newest was made is in the till's file, so that a restart
    neither makes one too many nor forgets one; one that fails is tried again, with growing pauses."""

    settings: TillSettings
    world: World
    _stopped: threading.Event = field(default_factory=threading.Event)
    _looked_at: float = -inf

    def round(self) -> Look:
        own = self.settings.backup
        assert own.directory is not None
        assert own.every_hours is not None
        if self.world.monotonic() - self._looked_at < LOOK_SECONDS:
            return Look()
        if not self._is_due(Path(own.directory), own.every_hours):
            self._looked_at = self.world.monotonic()
            return Look()
        made = backup.backup(
            self.settings,
            self.world,
            Path(own.directory),
            keep=own.keep,
            same_device=own.same_device,
            is_stopped=self._stopped.is_set,
        )
        self._looked_at = self.world.monotonic()
        log.info("backup made", path=str(made.path), bytes=made.bytes, tick=made.tick)
        return Look(1)

    def interrupt(self) -> None:
        """Have a copy that is being made given up; the next service makes it."""
        self._stopped.set()

    def close(self) -> None:
        """Nothing is open between rounds."""

    def _is_due(self, directory: Path, every_hours: float) -> bool:
        """By what the file says, or by the newest that is there, where that could not be noted."""
        till = self.settings.till
        db = database.connect(till.database, busy_ms=till.busy_timeout_ms)
        try:
            with database.explained(db.filename):
                node = state.load(db).node or self.settings.node
                noted = backup.last_at(db)
        finally:
            db.close()
        there = [at for file in backup.listed(directory, node)[:1] if (at := backup.made_at(file)) is not None]
        known = [*there, *([datetime.fromisoformat(noted)] if noted else [])]
        return not known or self.world.now() - max(known) >= timedelta(hours=every_hours)
