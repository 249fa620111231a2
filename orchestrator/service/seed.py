"""A ready file for a new till, made at head office: the application's empty file with the plan and its streams' rows.

It is loaded as any till loads itself, through the relay and with the till's own account. So it cannot differ from one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw

from orchestrator.central.agent import CentralAgent
from orchestrator.errors import Busy, Unreachable, UsageError
from orchestrator.service import rounds
from orchestrator.service.lease import CentralLease
from orchestrator.service.office import Office
from orchestrator.settings import TillSettings
from orchestrator.till.agent import TillAgent
from orchestrator.till.setup import install_till

SECONDS_MAX = 3_600


def make(office: Office, node: str, dsn: str, schema: Path, seed: Path) -> int:
    """Makes `seed` out of the application's `schema`, an SQL script or an empty file of its own. Returns how many rows
    came. Raises UsageError TS-733 where `seed` is there or `schema` is not what it should be.
    """
    create(schema, seed)
    settings = TillSettings(node=node, relay={"dsn": dsn}, till={"database": seed.absolute()})
    try:
        install_till(settings, office.world)
        agent = TillAgent(settings, office.world, claims=False)
        try:
            return _load(agent, office)
        finally:
            agent.close()
    except BaseException:
        seed.unlink(missing_ok=True)
        raise


def create(schema: Path, seed: Path) -> None:
    """The application's file as it is when it is new."""
    if seed.exists():
        raise UsageError("TS-733", f"{seed} is there already", hint="name another file, or move it away")
    try:
        if schema.read_bytes()[:16] == b"SQLite format 3\0":
            shutil.copyfile(schema, seed)
            return
        made = apsw.Connection(str(seed))
        try:
            made.execute(schema.read_text(encoding="utf-8"))
        finally:
            made.close()
    except (OSError, UnicodeDecodeError, apsw.Error) as e:
        seed.unlink(missing_ok=True)
        raise UsageError(
            "TS-733", f"{schema} makes no file for a till: {e}", hint="give the application's SQL or its empty file"
        ) from None


def _load(agent: TillAgent, office: Office) -> int:
    """Rounds of the till, and of head office where its service is not running, until every stream is loaded."""
    until = office.world.monotonic() + SECONDS_MAX
    rows = 0
    while office.world.monotonic() < until:
        report = agent.round()
        rows += report.received
        if report.is_loaded and not report.moved:
            return rows
        try:
            rounds.one(CentralAgent(office.settings, office.world), CentralLease(office.settings, office.world))
        except Busy:  # the service is at work and does it
            office.world.sleep(office.settings.poll_ms / 1000)
    raise Unreachable("TS-721", f"the streams were not loaded in {SECONDS_MAX} s", hint="look at `tillsync status`")
