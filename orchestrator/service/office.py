"""What head office does with its branches: register, change, rotate, retire, list."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from orchestrator import assets, postgres
from orchestrator.central import branches, life, schema
from orchestrator.central.schema import Prepared
from orchestrator.core.effects import Effect
from orchestrator.core.world import World
from orchestrator.errors import ConfigError, Unreachable, UsageError
from orchestrator.relay.client import CentralRelay, connect_central
from orchestrator.service import changes
from orchestrator.settings import CentralSettings, Common

PRIVATE = 0o600
NODE = r"[A-Za-z][A-Za-z0-9_-]{0,39}"


@dataclass(frozen=True, slots=True)
class Office:
    """Central with the installed plan, and the relay, which is not connected before it is needed."""

    settings: CentralSettings
    world: World
    conn: psycopg.Connection
    relay: CentralRelay
    prepared: Prepared


@contextmanager
def opened(settings: CentralSettings, world: World) -> Iterator[Office]:
    """Central's connection with its errors translated. Raises TS-301 where central is not installed."""
    relay = connect_central(postgres.conninfo(settings.relay))
    try:
        with (
            postgres.connect(postgres.conninfo(settings.central), "tillsync branch") as conn,
            postgres.translated(postgres.place_of(settings.central.dsn)),
        ):
            yield Office(settings, world, conn, relay, schema.installed(conn))
    finally:
        relay.close()


def add(
    office: Office, node: str, given: Mapping[str, str], *, relay_dsn: str | None = None, dry_run: bool = False
) -> str:
    """Register a branch; the DSN of its account at the relay, which is shown this once. Empty for a rehearsal.

    `relay_dsn` is how the till reaches the relay, where that is not head office's way.
    """
    if re.fullmatch(NODE, node) is None:
        raise UsageError("TS-732", f"{node!r} is no name of a branch", hint="letters, digits, _ and -, at most 40")
    if _found(office, node):
        raise UsageError(
            "TS-730",
            f"branch {node} is registered already",
            hint=f"`tillsync branch set {node}` changes it, `branch rotate {node}` gives it a new password",
        )
    if dry_run:
        with office.conn.transaction(force_rollback=True):
            branches.put(office.conn, office.prepared, node, given)
        return ""
    office.relay.head()  # nothing is registered here that cannot be registered there
    dsn = relay_dsn or office.settings.relay.dsn
    return branches.add(office.conn, office.relay, office.prepared, office.world, node, given, dsn)


def change(
    office: Office, node: str, given: Mapping[str, str], *, dry_run: bool = False, yes: bool = False
) -> tuple[dict[str, Any], list[Effect]]:
    """Give a branch other parameters; those that are not given stay. The whole of them, and what comes of it.

    Central's agent announces what follows in its next round, so the relay need not be there. Raises PersonMustDecide
    TS-146 where many rows would go and it is not said to be meant (`yes`).
    """
    now = _existing(office, node)["params"]
    kept = {name: _text(value) for name, value in now.items() if name in office.prepared.plan.parameters}

    def put() -> None:
        branches.put(office.conn, office.prepared, node, {**kept, **given})

    effects = [e for e in changes.foreseen(office.settings, office.conn, office.prepared, put) if node in e.branches]
    if not (dry_run or yes):
        changes.refuse_removal(effects, office.settings.removal_share_max)
    with office.conn.transaction(force_rollback=dry_run):
        put()
        after = _existing(office, node)["params"]
    return dict(after), effects


def rotate(office: Office, node: str, *, relay_dsn: str | None = None, dry_run: bool = False) -> str:
    """A new login with a new password in place of the branch's old ones; its DSN. The old ones end at once."""
    row = _existing(office, node)
    if dry_run:
        return ""
    with office.relay.transaction():
        office.relay.drop_account(node)
        params = {name: _text(value) for name, value in row["params"].items()}
        dsn = relay_dsn or office.settings.relay.dsn
        return branches.add(office.conn, office.relay, office.prepared, office.world, node, params, dsn)


def retire(office: Office, node: str, *, dry_run: bool = False) -> None:
    """End a branch: its account and its streams go, what it sent stays."""
    _existing(office, node)
    if not dry_run:
        branches.retire(office.conn, office.relay, office.prepared, node)


def rejoin(office: Office, node: str, *, dry_run: bool = False) -> None:
    """The next machine that comes as the branch is the branch: its file was moved, or restored elsewhere."""
    _existing(office, node)
    if not dry_run:
        office.relay.release(node)


def reload(office: Office, node: str, channel: str | None, *, dry_run: bool = False) -> list[str]:
    """Have a branch take its streams anew; the channels. Raises ConfigError TS-144 where it takes no such channel."""
    _existing(office, node)
    rows = office.conn.execute(assets.query("central.streams_of"), {"node": node}).fetchall()
    chosen = [(stream, name) for stream, name in rows if channel in (None, name)]
    if not chosen:
        what = f"channel {channel}" if channel else "channel at all"
        raise ConfigError("TS-145", f"{node} takes no {what} from head office", hint="look at `tillsync status`")
    if not dry_run:
        office.relay.put_reload(node, [stream for stream, _ in chosen], office.relay.head().n + 1)
    return [name for _, name in chosen]


def explain(office: Office, table: str, key: Sequence[str], branch: str | None) -> dict[str, Any]:
    """The life of a row. `branch`: evaluate the filter's terms for this one. The relay is asked how far the tills are;
    without it that is not known."""
    if branch is not None:
        _existing(office, branch)
    asked = life.subject(office.conn, office.prepared, table, key)
    told = life.life(asked)
    try:
        ticks = {r["node"]: (r["body"] or {}).get("tick") for r in office.relay.reports()}
    except Unreachable:
        ticks = {}
    for row in told["branches"]:
        row["applied_tick"] = ticks.get(row["node"])
        row["says"] = _where(row)
    terms = life.terms(asked, branch) if branch is not None else []
    return {**told, "branch": branch, "terms": terms}


def _where(row: Mapping[str, Any]) -> str:
    """Where a row is on its way to a branch."""
    applied = row["applied_tick"]
    if row["loaded_tick"] is None:
        return "its stream is not loaded yet"
    if row["entered_tick"] is None:
        return "not for this till"
    tick = row["left_tick"] if row["left_tick"] is not None else row["entered_tick"]
    what = "gone" if row["left_tick"] is not None else "there"
    if applied is None:
        return f"{what} with tick {tick}; the till has not said how far it is"
    return f"{what} since tick {tick}" if applied >= tick else f"{what} with tick {tick}; the till is at {applied}"


def listing(office: Office) -> list[dict[str, Any]]:
    """Every branch: node, state, params, created_at."""
    return [{k: row[k] for k in ("node", "state", "params", "created_at")} for row in branches.listing(office.conn)]


def till_settings(settings: CentralSettings, node: str, dsn: str, database: str) -> str:
    """The text of a new till's `till.toml`. It polls as often as head office, where that is not the default."""
    own_pace = settings.poll_ms != Common.model_fields["poll_ms"].default
    return "".join(
        [
            f"# Settings of the till {node}. The connection string holds its password: keep this file private.\n",
            f"node = {_quoted(node)}\n",
            f"poll_ms = {settings.poll_ms}\n" if own_pace else "",
            f"\n[relay]\ndsn = {_quoted(dsn)}\n",
            f"\n[till]\ndatabase = {_quoted(database)}\n",
        ]
    )


@contextmanager
def private_file(path: Path) -> Iterator[Any]:
    """A new file that only its owner can read, there when the block ends well.

    It is opened before the block, so that no password is made that then has no place. Raises UsageError TS-731.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError:
        raise UsageError("TS-731", f"{path} is there already", hint="name another file, or move it away") from None
    except OSError as e:
        raise UsageError("TS-731", f"{path} cannot be written: {e.strerror}", hint="name another file") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        try:
            yield file
        except BaseException:
            path.unlink()
            raise


def _found(office: Office, node: str) -> dict[str, Any] | None:
    rows = (row for row in branches.listing(office.conn) if row["node"] == node and row["state"] == "active")
    return next(rows, None)


def _existing(office: Office, node: str) -> dict[str, Any]:
    row = _found(office, node)
    if row is None:
        raise ConfigError("TS-143", f"there is no branch {node}", hint="`tillsync branch list` shows them")
    return row


def _text(value: Any) -> str:
    """A parameter as `--set` takes it: PostgreSQL reads its own JSON scalars back as their types."""
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
