"""The connection to the relay, which may lead through a pooler in transaction mode: PgBouncer, say.

Such a pooler keeps no session: it drops the options of the start-up packet or refuses a client that has any, hands each
transaction another server connection, and answers keepalives itself, so that a server which is gone looks like one
which is busy. So nothing rests on options here, they are only used where they are taken; and a relay that says
nothing for too long is given up from this end.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from orchestrator.errors import Unreachable
from orchestrator.postgres import connect_as

REFUSED = "unsupported startup parameter"
"""How PgBouncer refuses a client that sends options, unless its `ignore_startup_parameters` has them."""

SILENCE_SECONDS = 300
"""Every statement of the relay's is bounded, so one that takes longer than this has nobody at its other end."""

_STATEMENT_TIMEOUT = re.compile(r"-c\s*statement_timeout=(\d+)(?=\s|$)")


class PatientConnection(psycopg.Connection[Any]):
    """A connection that ends when its server says nothing for `silence_seconds` while it is waited for."""

    silence_seconds: float = SILENCE_SECONDS
    is_given_up: bool = False
    """Set by another thread, it ends the wait within a tenth of a second, and the connection with it."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """As psycopg's, which looks up every tenth of a second; here it also looks at the clock.

        The socket is closed rather than the statement cancelled: a cancel would go the same way and wait again.
        """
        try:
            return super().wait(_heard(gen, self), *args, **kwargs)
        except _Silent as e:
            self.pgconn.finish()
            raise psycopg.OperationalError(str(e)) from e


class _Silent(Exception):
    pass


def _heard(gen: Generator[Any, Any, Any], of: PatientConnection) -> Generator[Any, Any, Any]:
    """What `gen` does, until nothing was ready for so many seconds. A slow line that moves is never too slow."""
    seconds = of.silence_seconds
    try:
        wanted = next(gen)
        until = monotonic() + seconds
        while True:
            ready = yield wanted
            if of.is_given_up:
                raise _Silent("it was given up")
            if ready:
                until = monotonic() + seconds
            elif monotonic() > until:
                raise _Silent(f"it said nothing for {seconds:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


def open_link(dsn: str, application: str) -> psycopg.Connection:
    """Connect to the relay with the options of `dsn`, or without any where a pooler refuses them.

    The `statement_timeout` that the DSN asks the server for counts at this end as well, instead of SILENCE_SECONDS.
    Raises as `postgres.connect`.
    """
    given = conninfo_to_dict(dsn)
    made = _with_options(dsn, application)
    if made is None:
        made = connect_as(PatientConnection, dsn, application, bare=True)
    asked = _STATEMENT_TIMEOUT.findall(str(given.get("options") or ""))
    if asked and int(asked[-1]):
        made.silence_seconds = int(asked[-1]) / 1000
    return made


def _with_options(dsn: str, application: str) -> PatientConnection | None:
    """None where they are refused."""
    try:
        return connect_as(PatientConnection, dsn, application)
    except Unreachable as e:
        if REFUSED in str(e):
            return None
        raise
