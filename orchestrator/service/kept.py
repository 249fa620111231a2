"""A connection to central that is kept between looks of what runs beside the rounds, and opened again when it broke."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from orchestrator import postgres
from orchestrator.settings import CentralSettings


@dataclass(frozen=True, slots=True)
class Look:
    """What a look did; `moved` is 0 where there was nothing to do."""

    moved: int = 0


class Kept:
    """`application`: the name that the server shows of it."""

    def __init__(self, settings: CentralSettings, application: str) -> None:
        self._settings, self._application = settings, application
        self._conn: psycopg.Connection | None = None

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        """The connection, with central's errors translated."""
        if self._conn is None or self._conn.closed:
            self._conn = postgres.connect(postgres.conninfo(self._settings.central), self._application)
        with postgres.translated(postgres.place_of(self._settings.central.dsn)):
            yield self._conn

    def interrupt(self) -> None:
        """Ask the server to give up what it is doing; called from another thread."""
        if self._conn is not None:
            self._conn.cancel_safe(timeout=0.5)

    def close(self) -> None:
        """Close it; whoever asks for it next opens it again."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
