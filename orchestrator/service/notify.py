"""Notifications: what is known of troubles and the messages about them are kept in head office's database.

Looking and sending are two things. A look decides what is to be told and writes it down in one transaction, so that a
restart neither repeats nor forgets it. Sending takes one message after the other, each claimed and marked by statements
of their own, with nothing open while a server is waited for; what does not go is tried again, later and later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.core import alerts, messages
from orchestrator.core.alerts import Alert
from orchestrator.core.calendar import Calendar
from orchestrator.core.messages import Message
from orchestrator.core.world import World
from orchestrator.errors import ConfigError
from orchestrator.log import logger
from orchestrator.masking import mask
from orchestrator.report.troubles import OF_REPORTS
from orchestrator.service.metrics import Rounds
from orchestrator.service.senders import Letter, Refused, Send, ways
from orchestrator.settings import CentralSettings
from orchestrator.settings_watch import NotifySettings, minutes

DAY = timedelta(days=1)
CLAIMED = timedelta(minutes=5)
"""A message whose sending was broken off is due again after this."""

AGAIN_FIRST, AGAIN_LAST = timedelta(seconds=30), timedelta(hours=1)
SENT_MAX = 50
"""So many are sent before it is looked again."""

log = logger("service.notify")


@dataclass(frozen=True, slots=True)
class Notifier:
    """What it works by. `ways` are those of the settings; a message of one that is not there any more waits for it."""

    settings: CentralSettings
    ways: Mapping[str, Send]
    counted: Rounds

    def look(self, conn: psycopg.Connection, chain: Mapping[str, Any], now: datetime) -> None:
        """Decide what a status has to tell, and post it."""
        unknown = OF_REPORTS if "error" in chain["relay"] else frozenset[str]()
        found = _by_key(chain["troubles"])
        active = sum(b["state"] == "active" for b in chain["branches"])
        hold = timedelta(seconds=self.settings.notify.hold_seconds)
        name = self.settings.notify.name
        with conn.transaction():
            digest_on: date | None = _one(conn, "begin")["digest_on"]
            step = alerts.step(_known(conn), found, unknown, now, hold)
            with conn.cursor() as cursor:
                cursor.executemany(_sql("keep"), [asdict(alert) for alert in step.kept])
                cursor.executemany(_sql("forget"), step.gone)
            self.post(conn, (messages.begun(name, group, active) for group in step.begun), now)
            self.post(conn, (messages.ended(name, group, now) for group in step.ended), now)
            self._digest(conn, chain, active, digest_on, now)
            conn.execute(_sql("purge"), {"now": now})

    def post(self, conn: psycopg.Connection, made: Iterable[Message], now: datetime) -> None:
        """Messages for every way."""
        for message in made:
            log.info("notification", kind=message.kind, title=message.title)
            body = {"text": message.text, **message.body}
            for way in self.ways:
                said = {"way": way, "kind": message.kind, "title": message.title, "body": Jsonb(body), "at": now}
                conn.execute(_sql("post"), said)

    def send(self, conn: psycopg.Connection, now: datetime) -> int:
        """Send what is due, oldest first; how many went. A way that fails is left alone until the next time."""
        went, open_ways = 0, set(self.ways)
        for _ in range(SENT_MAX):
            row = _row(conn, "claim", {"now": now, "again": now + CLAIMED, "ways": sorted(open_ways)})
            if row is None:
                break
            if self._send(conn, row, now):
                went += 1
            else:
                open_ways.discard(row["way"])
        return went

    def _send(self, conn: psycopg.Connection, row: Mapping[str, Any], now: datetime) -> bool:
        way, body = row["way"], dict(row["body"])
        text = str(body.pop("text", ""))
        number = f"{row['id']}.{int(row['at'].timestamp())}"
        letter = Letter(number, row["kind"], row["title"], text, body, row["at"])
        fault = fault_of(self.ways[way], letter)
        if not fault:
            conn.execute(_sql("sent"), {"id": row["id"], "now": now})
            self.counted.notified(way, "sent")
            return True
        again = now + min(AGAIN_LAST, AGAIN_FIRST * 2 ** min(row["tries"] - 1, 10))
        conn.execute(_sql("failed"), {"id": row["id"], "again": again, "error": fault})
        self.counted.notified(way, "failed")
        if row["tries"] == 1:
            log.warning("notification did not go", way=way, title=row["title"], error=fault)
        return False

    def _digest(
        self, conn: psycopg.Connection, chain: Mapping[str, Any], active: int, done: date | None, now: datetime
    ) -> None:
        due = self.settings.notify.digest
        if due is None:
            return
        hours = Calendar(self.settings.calendar).everywhere
        local = now.astimezone(hours.zone).date()
        day = local if now >= hours.at(local, minutes(due)) else local - DAY
        if done is None or done >= day:
            # The first day that it is asked for is the next one: a start is no day.
            if done is None:
                conn.execute(_sql("digested"), {"day": day})
            return
        since = {"since": now - DAY}
        told = [(row["at"].astimezone(UTC), row["title"]) for row in _rows(conn, "told_since", since)]
        summary = messages.digest(
            self.settings.notify.name, _one(conn, "day", since) | {"told": told}, chain["troubles"], active
        )
        self.post(conn, [summary], now)
        conn.execute(_sql("digested"), {"day": day})


def tried(settings: NotifySettings, world: World) -> dict[str, str]:
    """Send a message each way, now; by way why it did not go, '' where it did. Raises TS-865 where there is none."""
    found = ways(settings)
    if not found:
        raise ConfigError("TS-865", "`[notify]` names nobody", hint="add `[notify.mail]`, say: see docs/monitoring.md")
    text = "This is a test. Troubles of the chain will come this way."
    number = f"test.{world.random63():x}"
    letter = Letter(number, "test", f"[{settings.name}] a test", text, {"troubles": []}, world.now())
    return {way: fault_of(send, letter) for way, send in found.items()}


def fault_of(send: Send, letter: Letter) -> str:
    """Send it; why it did not go, '' where it did."""
    try:
        send(letter)
    except (OSError, Refused) as e:
        return mask(str(e) or type(e).__name__)
    except Exception as e:  # a mail library's or apprise's own; it must not end the notifications
        log.error("notification failed", error=mask(repr(e)))
        return type(e).__name__
    return ""


def _by_key(troubles: Iterable[Mapping[str, str]]) -> dict[alerts.Key, tuple[str, str]]:
    """Several troubles of one cause and subject are one."""
    found: dict[alerts.Key, tuple[str, str]] = {}
    for t in troubles:
        key = t["cause"], t["subject"]
        found[key] = (f"{found[key][0]}; {t['what']}" if key in found else t["what"], t["remedy"])
    return found


def _known(conn: psycopg.Connection) -> list[Alert]:
    with conn.cursor(row_factory=class_row(Alert)) as cursor:
        return cursor.execute(_sql("alerts")).fetchall()


def _one(conn: psycopg.Connection, block: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    row = _row(conn, block, values)
    assert row is not None, f"{block} gives one row"
    return row


def _row(conn: psycopg.Connection, block: str, values: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    return next(iter(_rows(conn, block, values)), None)


def _rows(conn: psycopg.Connection, block: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_sql(block), values).fetchall()


def _sql(block: str) -> Any:
    return assets.query(f"central.notify.{block}")
