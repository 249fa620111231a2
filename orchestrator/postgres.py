"""Connections to PostgreSQL, central and relay alike: options that make text canonical, errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.core.values import SESSION
from orchestrator.errors import Busy, ConfigError, PersonMustDecide, TillsyncError, Unreachable
from orchestrator.settings import DatabaseSettings

CONNECT_SECONDS = 10
Kind = TypeVar("Kind", bound=psycopg.Connection[Any])
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "pg_hba.conf",
    # PgBouncer's words
    "SASL authentication failed",
    "no such user",
    "no such database",
)
_ALIVE = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_MISSED = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=60000"
"""The same at the server's end: a machine that lost its power holds its lease and its locks for a minute, not for the
two hours that an operating system waits."""


def connect(dsn: str, application: str, *, autocommit: bool = True) -> psycopg.Connection:
    """Open a connection. Raises TS-111 for a DSN that is none, TS-401 for a refused login, Unreachable TS-400.

    Statements are never prepared, and options travel in the start-up packet; see `relay/link.py` for a pooler, which
    may not take them.
    """
    return connect_as(psycopg.Connection, dsn, application, autocommit=autocommit)


def connect_as(kind: type[Kind], dsn: str, application: str, *, autocommit: bool = True, bare: bool = False) -> Kind:
    """As `connect`, as another kind of connection; `bare`: with no options at all, for who refuses any."""
    given = _parsed(dsn)
    ours = {"connect_timeout": str(CONNECT_SECONDS), "application_name": application, "client_encoding": "UTF8"}
    given = {**ours, **_ALIVE, **given}
    given["options"] = None if bare else f"{_MISSED} {given.get('options') or ''} {SESSION}"
    with translated(place_of(dsn)):
        return kind.connect(
            make_conninfo("", **{k: v for k, v in given.items() if v is not None}),
            autocommit=autocommit,
            prepare_threshold=None,
        )


def conninfo(database: DatabaseSettings) -> str:
    """The database's DSN with the timeouts of its settings, and with commits that are durable when they return, which
    exactly-once rests on, whatever the server's or the role's default is. What the DSN itself says stands."""
    given = _parsed(database.dsn)
    defaults = (
        "-c synchronous_commit=on"
        f" -c statement_timeout={round(database.statement_timeout_seconds * 1000)}"
        f" -c lock_timeout={round(database.lock_timeout_seconds * 1000)}"
    )
    options = f"{defaults} {given.get('options') or ''}".strip()
    return make_conninfo("", **{"connect_timeout": str(database.connect_timeout_seconds), **given, "options": options})


def place_of(dsn: str) -> str:
    """Where a DSN leads, without its secrets: `user@host:port/database`."""
    d = conninfo_to_dict(dsn)
    host = d.get("host") or "localhost"
    port = f":{d['port']}" if d.get("port") else ""
    user = f"{d['user']}@" if d.get("user") else ""
    return f"{user}{host}{port}/{d.get('dbname') or ''}"


def _parsed(dsn: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # libpq's own words repeat the string, and with it the password.
        raise ConfigError(
            "TS-111", "a DSN cannot be read", hint="write it as postgresql://user@host/database"
        ) from None


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn what PostgreSQL or the network says into errors that know their exit code and the next step."""
    try:
        yield
    except pg.InvalidPassword as e:
        raise _login(place, e) from None
    except pg.InvalidAuthorizationSpecification as e:
        raise _login(place, e) from None
    except pg.InsufficientPrivilege as e:
        raise PersonMustDecide(
            "TS-402", f"{place} refuses: {first_line(e)}", hint="have its administrator register or grant it"
        ) from e
    except pg.UndefinedTable as e:
        raise TillsyncError(
            "TS-403", f"{place}: {first_line(e)}", hint="run `tillsync install` there, or look what was dropped"
        ) from e
    except pg.InvalidSchemaName as e:
        raise TillsyncError("TS-403", f"{place}: {first_line(e)}", hint="run `tillsync install` there") from e
    except pg.ReadOnlySqlTransaction as e:
        raise Unreachable("TS-404", f"{place} is read-only", hint="connect to the primary") from e
    except pg.LockNotAvailable as e:
        raise Busy(
            "TS-405", f"{place}: {first_line(e)}", hint="somebody holds a table; try again when he is done"
        ) from e
    except pg.ProgramLimitExceeded as e:
        raise Unreachable(
            "TS-545",
            f"{place} takes no more: {first_line(e)}",
            hint="nothing is lost; look why head office takes none",
        ) from e
    except psycopg.OperationalError as e:
        said = first_line(e)
        if any(words in said for words in _REFUSALS):
            raise _login(place, e) from None
        if "does not exist" in said and ("role" in said or "database" in said):
            raise _login(place, e) from None
        raise Unreachable(
            "TS-400", f"{place} does not answer: {said}", hint="it is tried again in the next round"
        ) from e


def first_line(e: BaseException) -> str:
    """The first line of what the server said, without psycopg's and libpq's lead-in."""
    text = str(e).strip()
    line = text.splitlines()[0] if text else type(e).__name__
    for lead in ("FATAL:", "failed: "):
        line = line.rsplit(lead, 1)[-1]
    return line.strip()


def _login(place: str, e: BaseException) -> TillsyncError:
    return PersonMustDecide(
        "TS-401", f"{place} refuses the login: {first_line(e)}", hint="check user, password and database in the DSN"
    )
