"""One run at a time: central's lease is a lock of central's database, a till's is a lock file beside its own file."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Protocol

import psycopg
from filelock import FileLock, Timeout

from orchestrator import assets, postgres
from orchestrator.core.world import World
from orchestrator.errors import Busy, TillsyncError
from orchestrator.relay.client import CentralRelay, connect_central
from orchestrator.settings import CentralSettings, TillSettings

PATIENCE_SECONDS = 2.0
"""A run that was killed a moment ago still holds its lease until the server has noticed."""

TRY_SECONDS = 0.1
RELAY_LEASE_SECONDS = 60
CENTRAL_LOCK = (0x7115, 0x5C)


class Lease(Protocol):
    """Held from `hold` to `release`. `hold` is called before every round and is cheap while the lease is held."""

    def hold(self) -> None:
        """Take the lease, or see that it is still held. Raises Busy TS-720 where another run has it."""
        ...

    def note(self) -> None:
        """A round ended well under this lease."""
        ...

    def release(self) -> None: ...


class RelayLease:
    """One head office at a relay: an old primary that comes back, or a copy that somebody started, does not publish
    beside the real one. It is held by central's database, not by a process, and needs no session: it runs out."""

    def __init__(self, relay: CentralRelay, world: World) -> None:
        self._relay, self._world = relay, world
        self._renew_at = -inf

    def hold(self, conn: psycopg.Connection, place: str) -> None:
        """Take it or renew it, where it is time to. A relay that is away or too old for it is no reason to stop: the
        round will say what is wrong with it.

        Raises Busy TS-849 where another head office has it.
        """
        if self._world.monotonic() < self._renew_at:
            return
        row = conn.execute(assets.query("service.identity")).fetchone()
        try:
            other = self._relay.hold_lease(str(row[0]) if row else "", RELAY_LEASE_SECONDS)
        except (TillsyncError, psycopg.errors.UndefinedFunction):
            other = None
        if other is not None:
            raise Busy(
                "TS-849",
                f"another head office ({other}) publishes to the relay of {place}",
                hint=f"stop the one that is not head office any more; its lease runs out in {RELAY_LEASE_SECONDS} s",
            )
        self._renew_at = self._world.monotonic() + RELAY_LEASE_SECONDS / 3

    def close(self) -> None:
        self._relay.close()


class CentralLease:
    """A session's advisory lock: it goes when the session does, whatever ended that. Needs a direct connection. With it
    goes the lease at the relay."""

    def __init__(self, settings: CentralSettings, world: World) -> None:
        self._relay = RelayLease(connect_central(postgres.conninfo(settings.relay)), world)
        self._dsn = postgres.conninfo(settings.central)
        self._place = postgres.place_of(settings.central.dsn)
        self._world = world
        self._conn: psycopg.Connection | None = None
        self._one = threading.Lock()  # several lanes ask before their rounds

    def hold(self) -> None:
        with self._one, postgres.translated(self._place):
            if self._conn is not None and not self._conn.closed:
                self._conn.execute("SELECT")
                self._relay.hold(self._conn, self._place)
                return
            self._drop()
            conn = postgres.connect(self._dsn, "tillsync lease")
            try:
                self._take(conn)
                self._relay.hold(conn, self._place)
            except BaseException:
                conn.close()
                self._relay.close()
                raise
            self._conn = conn

    def _take(self, conn: psycopg.Connection) -> None:
        until = self._world.monotonic() + PATIENCE_SECONDS
        while conn.execute("SELECT pg_try_advisory_lock(%s, %s)", CENTRAL_LOCK).fetchone() != (True,):
            if self._world.monotonic() >= until:
                raise Busy(
                    "TS-720",
                    f"another run of central holds {self._place}",
                    hint="one is enough; stop the other, or wait until it is done",
                )
            self._world.sleep(TRY_SECONDS)

    def note(self) -> None:
        """Nothing: what central did last is in its own tables."""

    def release(self) -> None:
        with self._one:
            self._drop()
            self._relay.close()

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


class TillLease:
    """A lock file, which the operating system lets go when the process ends."""

    def __init__(self, settings: TillSettings) -> None:
        self._database = settings.till.database
        self._lock = FileLock(lock_file(settings.till.database), thread_local=False)

    def hold(self) -> None:
        if self._lock.is_locked or not self._database.is_file():
            return  # without the till's file the round itself says what is wrong
        try:
            self._lock.acquire(timeout=PATIENCE_SECONDS, poll_interval=TRY_SECONDS)
        except Timeout:
            raise Busy(
                "TS-720",
                f"another run of this till holds {self._database}",
                hint="one is enough; stop the other, or wait until it is done",
            ) from None

    def note(self) -> None:
        """The time of the last good round is the lock file's own: the till's file is not written for it."""
        if self._lock.is_locked:
            os.utime(self._lock.lock_file)

    def release(self) -> None:
        self._lock.release()


def central_is_held(conn: psycopg.Connection) -> bool:
    """Whether a run of central is at work, without taking the lease."""
    row = conn.execute(assets.query("report.lease"), CENTRAL_LOCK).fetchone()
    return bool(row and row[0])


def central_round_at(conn: psycopg.Connection) -> datetime | None:
    """When the run of central that is at work began its newest round, None where there is none or it cannot be seen."""
    row = conn.execute(assets.query("report.last_round"), CENTRAL_LOCK).fetchone()
    return row[0] if row else None


def till_is_held(database: Path) -> bool:
    """Whether a run of the till is at work."""
    file = lock_file(database)
    if not file.exists():
        return False
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def last_round_at(database: Path) -> datetime | None:
    """When the till's last good round ended, None where there was none."""
    file = lock_file(database)
    return datetime.fromtimestamp(file.stat().st_mtime, UTC) if file.exists() else None


def lock_file(database: Path) -> Path:
    """The file whose lock is the lease of a till."""
    return database.with_name(f"{database.name}-tillsync.lock")
