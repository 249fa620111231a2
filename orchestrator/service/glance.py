"""A status that is at hand: read on connections of its own by whoever asks first, kept for a while for the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from math import inf
from typing import Any

import psycopg

from orchestrator import postgres
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.relay import certificates
from orchestrator.relay.client import CentralRelay, connect_central
from orchestrator.service import standing
from orchestrator.settings import CentralSettings

KEPT_SECONDS = 5.0
STATEMENT_SECONDS = 10
CERTIFICATE_SECONDS = 6 * 3_600

Status = dict[str, Any]


class Glance:
    """`read` is asked by one thread at a time; the others get what it last gave, or its error."""

    def __init__(self, read: Callable[[], Status], close: Callable[[], None], world: World) -> None:
        self._read, self._close, self._world = read, close, world
        self._one = threading.Lock()
        self._status: Status | None = None
        self._fault: Exception = TillsyncError("TS-861", "nobody has looked yet", hint="ask again")
        self._at = -inf

    def status(self, seconds_max: float = KEPT_SECONDS) -> Status:
        """The status, no older than so many seconds. Raises what reading it raised."""
        # Whoever comes while another reads does not wait for a database that may hang: he gets what there is.
        if self._world.monotonic() - self._at > seconds_max and self._one.acquire(blocking=self._at == -inf):
            try:
                self._look(seconds_max)
            finally:
                self._one.release()
        if self._status is None:
            raise self._fault
        return self._status

    def close(self) -> None:
        with suppress(Exception):
            self._close()

    def _look(self, seconds_max: float) -> None:
        if self._world.monotonic() - self._at <= seconds_max:
            return  # somebody was quicker
        try:
            self._status = self._read()
        except Exception as e:
            self._status, self._fault = None, e
            self.close()
        self._at = self._world.monotonic()


class CentralReader:
    """Reads head office's status again and again, on connections that are opened when they are needed."""

    def __init__(self, settings: CentralSettings, world: World) -> None:
        self._settings, self._world = settings, world
        self._place = postgres.place_of(settings.central.dsn)
        bounded = settings.central.model_copy(update={"statement_timeout_seconds": STATEMENT_SECONDS})
        self._dsn = postgres.conninfo(bounded)
        bounded = settings.relay.model_copy(update={"statement_timeout_seconds": STATEMENT_SECONDS})
        self._relay: CentralRelay = connect_central(postgres.conninfo(bounded))
        self._conn: psycopg.Connection | None = None
        self._certificate: datetime | None = None
        self._looked_at = -inf

    def read(self) -> Status:
        """The status. Raises TillsyncError."""
        if self._world.monotonic() - self._looked_at >= CERTIFICATE_SECONDS:
            self._looked_at = self._world.monotonic()
            self._certificate = certificates.first_end(self._settings.relay.dsn)
        with postgres.translated(self._place):
            return standing.of_connected(self.connection(), self._relay, self._settings, self._world, self._certificate)

    def connection(self) -> psycopg.Connection:
        """Head office's database; for the thread that reads."""
        if self._conn is None or self._conn.closed:
            self._conn = postgres.connect(self._dsn, "tillsync status")
        return self._conn

    def close(self) -> None:
        self._relay.close()
        if self._conn is not None:
            self._conn.close()
            self._conn = None
