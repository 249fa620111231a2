"""What a till says of its operator's work: labels that nobody printed, and how old the newest backup is."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import Any

import apsw

from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.log import logger
from orchestrator.settings import TillSettings
from orchestrator.till import backup, labels, noticed
from orchestrator.till.database import value

LOOK_SECONDS = 15
TIDY_SECONDS = 3_600
LABELS_MAX = 5_000
"""Of more labels than that it is not looked up which have time."""

KIND = "label"

log = logger("till.desk")


class Desk:
    """Looked at as rounds go by, not in each: only where the file changed, or the day did."""

    def __init__(self, world: World, settings: TillSettings) -> None:
        self._world, self._settings = world, settings
        self._seen: tuple[Any, ...] = ()
        self._told: dict[str, Any] = {}
        self._looked_at = self._tidied_at = -inf

    def told(self, db: apsw.Connection) -> dict[str, Any]:
        """For the report. notices: per kind how many are due and since when. labels: how many are due, how many of them
        hang with a wrong price (`late`), since when. backup_at: of the newest backup."""
        now, at = self._world.now(), self._world.monotonic()
        if at - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = at
            noticed.tidy(db, now)
        seen = (value(db, "PRAGMA data_version"), db.total_changes(), now.astimezone().date())
        if not self._told or (seen != self._seen and at - self._looked_at >= LOOK_SECONDS):
            self._seen, self._looked_at = seen, at
            self._told = self._look(db, now)
        return self._told

    def _look(self, db: apsw.Connection, now: datetime) -> dict[str, Any]:
        notices = noticed.counts(db)
        due = notices.get(KIND, {"due": 0, "since": None})
        late = due["due"]
        if 0 < late <= LABELS_MAX:
            try:
                late = labels.late(labels.listed(db, self._settings.labels, KIND).labels, now.astimezone().date())
            except TillsyncError as e:
                log.warning("labels", error=str(e))
        said = {"due": due["due"], "late": late, "since": due["since"] if late else None}
        return {"notices": notices, "labels": said, "backup_at": backup.last_at(db)}
