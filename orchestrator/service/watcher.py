"""The thread that looks for troubles and tells them, beside head office's rounds.

While head office's database is away nothing can be looked up or written down; that itself is told then, without it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime, timedelta

from orchestrator import postgres
from orchestrator.core import alerts, messages
from orchestrator.core.alerts import Alert
from orchestrator.core.messages import Message
from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.log import logger
from orchestrator.report.troubles import CENTRAL
from orchestrator.service.glance import CentralReader, Glance
from orchestrator.service.health import Health
from orchestrator.service.metrics import Rounds
from orchestrator.service.notify import Notifier, fault_of
from orchestrator.service.senders import Letter, Send, ways
from orchestrator.settings import CentralSettings

JOIN_SECONDS = 1.0
OFFICE = ("office", CENTRAL)

log = logger("service.watcher")


class Watcher:
    """Looks every `every_seconds`, on connections of its own."""

    def __init__(self, settings: CentralSettings, world: World, health: Health, counted: Rounds) -> None:
        """Raises ConfigError where a way cannot be had."""
        self._settings, self._world, self._health = settings, world, health
        self._ways = ways(settings.notify)
        self._notifier = Notifier(settings, self._ways, counted)
        self._reader = CentralReader(settings, world)
        self._glance = Glance(self._reader.read, self._reader.close, world)
        self._away = _Away(settings, self._ways)
        self._said = ""
        self._stopping = threading.Event()
        # A thread does not inherit the log's labels.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True, name="watcher")

    @property
    def has_ways(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self._ways)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stops; a message that is on its way is broken off, and sent again after the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)
        else:
            self._glance.close()

    def look(self) -> None:
        """Once. It never raises."""
        now = self._world.now()
        try:
            chain = self._health.added_to(self._glance.status(0))
            with postgres.translated(postgres.place_of(self._settings.central.dsn)):
                conn = self._reader.connection()
                self._notifier.look(conn, chain, now)
                self._away.look("", now)
                self._notifier.send(conn, now)
            self._said = ""
        except TillsyncError as e:
            self._glance.close()
            self._say(str(e))
            self._away.look(str(e), now)
        except Exception as e:
            self._glance.close()
            self._say(repr(e))

    def _say(self, fault: str) -> None:
        if fault != self._said:
            self._said = fault
            log.error("cannot look for troubles", error=fault)

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._settings.notify.every_seconds):
                self.look()
        finally:
            self._glance.close()


class _Away:
    """Head office's database itself, which is told of without it, from memory."""

    def __init__(self, settings: CentralSettings, found_ways: Mapping[str, Send]) -> None:
        self._settings, self._ways = settings, found_ways
        self._known: list[Alert] = []
        self._unsent: list[tuple[str, Letter]] = []

    def look(self, fault: str, now: datetime) -> None:
        """`fault`: why it does not answer, '' where it does."""
        found = {OFFICE: (fault, "tills go on selling; see that it runs and is reached")} if fault else {}
        hold = timedelta(seconds=self._settings.notify.hold_seconds)
        step = alerts.step(self._known, found, (), now, hold)
        changed = {alert.key: alert for alert in step.kept}
        kept = {alert.key: alert for alert in self._known} | changed
        self._known = [alert for key, alert in kept.items() if key not in step.gone]
        name = self._settings.notify.name
        for group in step.begun:
            self._post(messages.begun(name, group, 0), now)
        for group in step.ended:
            self._post(messages.ended(name, group, now), now)
        self._unsent = [(way, letter) for way, letter in self._unsent if fault_of(self._ways[way], letter)]

    def _post(self, message: Message, now: datetime) -> None:
        number = f"office.{message.kind}.{int(now.timestamp())}"
        letter = Letter(number, message.kind, message.title, message.text, message.body, now)
        self._unsent += [(way, letter) for way in self._ways]
