"""Where a till stands: the one row of tillsync_state, read whole and written by column."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from orchestrator.core.changes import Position
from orchestrator.core.protocol import Marks
from orchestrator.errors import ConfigError
from orchestrator.till.database import rows

FORMAT = 1
"""Version of Tillsync's own tables in a till's file."""


@dataclass(frozen=True, slots=True)
class State:
    """instance: random, this copy of the file. pushed: end of the newest upload that the relay has. ack: what central
    has answered. resend: send everything after it again. (tick, token): the last tick applied, 0 for none.
    """

    instance: int
    node: str | None
    plan_version: int
    epoch: int
    tick: int
    token: int
    pushed: Position
    ack: Position
    resend: Position | None

    @property
    def marks(self) -> Marks:
        return Marks(self.epoch, self.ack, self.pushed, self.resend)


def is_installed(db: apsw.Connection) -> bool:
    """Whether Tillsync's tables are in the file."""
    return bool(rows(db, "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'tillsync_state'"))


def load(db: apsw.Connection) -> State:
    """The till's state. Raises TS-520 where nothing is installed, TS-522 where a newer version was."""
    if not is_installed(db):
        raise ConfigError("TS-520", f"{db.filename} has no Tillsync tables", hint="run `tillsync install till`")
    found = rows(
        db,
        "SELECT format, instance, node, plan_version, epoch, tick, token, pushed_seq, pushed_nonce, ack_seq, ack_nonce,"
        " resend_seq, resend_nonce FROM tillsync_state",
    )
    if not found or found[0][0] > FORMAT:
        said = f"format {found[0][0]}, this version knows {FORMAT}" if found else "no state"
        raise ConfigError("TS-522", f"the Tillsync tables of {db.filename} have {said}", hint="upgrade Tillsync here")
    row = found[0]
    return State(
        instance=row[1],
        node=row[2],
        plan_version=row[3],
        epoch=row[4],
        tick=row[5],
        token=row[6],
        pushed=Position(row[7], row[8]),
        ack=Position(row[9], row[10]),
        resend=None if row[11] is None else Position(row[11], row[12]),
    )


def set_applying(db: apsw.Connection, applying: bool) -> None:
    """Capture rests while it is set. Set and cleared inside one transaction, so no other connection ever sees it."""
    db.execute("UPDATE tillsync_state SET applying = ?", (int(applying),))


def set_tick(db: apsw.Connection, epoch: int, tick: int, token: int) -> None:
    db.execute("UPDATE tillsync_state SET epoch = ?, tick = ?, token = ?", (epoch, tick, token))


def set_pushed(db: apsw.Connection, pushed: Position) -> None:
    db.execute("UPDATE tillsync_state SET pushed_seq = ?, pushed_nonce = ?", pushed)


def set_ack(db: apsw.Connection, ack: Position) -> None:
    db.execute("UPDATE tillsync_state SET ack_seq = ?, ack_nonce = ?", ack)


def set_resend(db: apsw.Connection, resend: Position | None) -> None:
    db.execute("UPDATE tillsync_state SET resend_seq = ?, resend_nonce = ?", resend or (None, None))
