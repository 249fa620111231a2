"""What head office asks of a till in a tick, kept with the tick: to compare its rows, to send some again."""

from __future__ import annotations

from collections.abc import Iterable

import apsw
import msgspec

from orchestrator import assets
from orchestrator.core.comparing import Ask
from orchestrator.relay.messages import TickHead
from orchestrator.till.database import rows
from orchestrator.till.parts import News


def note(db: apsw.Connection, news: Iterable[News], head: TickHead) -> None:
    """Keeps what a tick asks; within the transaction that applies it."""
    for one in news:
        for kind, asked in (("compare", one.compare), ("again", one.again)):
            if asked is not None and has_table(db):
                step = asked.step if isinstance(asked, Ask) else 0
                given = (kind, asked.id, step, head.n, head.token, msgspec.msgpack.encode(asked))
                db.execute(assets.query("till/reconcile.ask"), given)


def is_asked(news: Iterable[News]) -> bool:
    """Whether a tick asks anything: the next one is then not applied in the same transaction."""
    return any(one.compare is not None or one.again is not None for one in news)


def has_table(db: apsw.Connection) -> bool:
    """A file that an earlier version installed has none before the plan is read anew."""
    return bool(rows(db, "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'tillsync_asked'"))
