"""What stands beside a service's rounds so that it can be seen: its health, its metrics, its pages, its notifications.

Nothing of it can stop or delay a round: it has threads and connections of its own, and what goes wrong in it is a line
in the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from email.message import Message
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from orchestrator.core.world import World
from orchestrator.errors import TillsyncError
from orchestrator.log import logger
from orchestrator.service import metrics, standing
from orchestrator.service.glance import CentralReader, Glance
from orchestrator.service.health import Health
from orchestrator.service.http import Http, Page, Pages, as_json, text
from orchestrator.service.lease import Lease
from orchestrator.service.scheduler import Lane
from orchestrator.service.watcher import Watcher
from orchestrator.settings import CentralSettings, Common, TillSettings

log = logger("service.seeing")


@dataclass(frozen=True, slots=True)
class Seen:
    """The health of the rounds, the status, what both are as metrics; and the port where they are shown."""

    health: Health
    glance: Glance
    registry: CollectorRegistry
    port: int | None = None

    def status(self) -> dict[str, Any]:
        """The status with what the rounds know. Raises TillsyncError."""
        status = self.glance.status()
        return self.health.added_to(status) if "branches" in status else status

    def lanes(self, lanes: Sequence[Lane]) -> list[Lane]:
        """The lanes, of whose first, the one that the service is for, the rounds are noted."""
        return [replace(lanes[0], agent=self.health.agent(lanes[0].agent)), *lanes[1:]]

    def lease(self, lease: Lease) -> Lease:
        """The lease, whose faults are noted."""
        return self.health.lease(lease)


@contextmanager
def beside(node: str, settings: Common, world: World) -> Iterator[Seen]:
    """While it is open the service is seen as its settings say."""
    with ExitStack() as open_things:
        registry = CollectorRegistry()
        counted = metrics.Rounds(registry, node)
        glance, known = _glance(settings, world)
        open_things.callback(glance.close)
        seen = Seen(Health(world, counted), glance, registry)
        registry.register(metrics.OfStatus(known, lambda: _status_or_none(seen)))
        if isinstance(settings, CentralSettings):
            _watch(settings, world, seen.health, counted, open_things)
        yield _shown(settings.http.listen, seen, open_things) if settings.http.listen is not None else seen


def _glance(settings: Common, world: World) -> tuple[Glance, Mapping[str, metrics.About]]:
    if isinstance(settings, CentralSettings):
        reader = CentralReader(settings, world)
        return Glance(reader.read, reader.close, world), metrics.OF_CENTRAL
    assert isinstance(settings, TillSettings), "there are two kinds of settings"
    till = settings
    return Glance(lambda: standing.of_till(till, world), lambda: None, world), metrics.OF_TILL


def _watch(
    settings: CentralSettings, world: World, health: Health, counted: metrics.Rounds, open_things: ExitStack
) -> None:
    """Notifications, where the settings name somebody to tell."""
    try:
        watcher = Watcher(settings, world, health, counted)
    except TillsyncError as e:
        log.error("nobody is notified", error=str(e))
        return
    if watcher.has_ways:
        watcher.start()
        open_things.callback(watcher.close)


def _shown(listen: str, seen: Seen, open_things: ExitStack) -> Seen:
    """A port that somebody else has is no reason not to sell."""
    try:
        http = Http(listen, pages(seen))
    except TillsyncError as e:
        log.error("not shown", error=str(e))
        return seen
    open_things.callback(http.close)
    log.info("shown", listen=listen, port=http.port)
    return replace(seen, port=http.port)


def pages(seen: Seen) -> Pages:
    """What is served."""
    return {
        "/live": lambda _: _is(seen.health.is_live, "rounds are made", "rounds are not made any more"),
        "/ready": lambda _: _is(seen.health.is_ready, "ready", seen.health.state.failed or "no round has ended yet"),
        "/status": lambda _: _status(seen),
        "/metrics": lambda headers: _metrics(seen.registry, headers),
    }


def _is(good: bool, yes: str, no: str) -> Page:
    return text(HTTPStatus.OK, yes) if good else text(HTTPStatus.SERVICE_UNAVAILABLE, no)


def _status(seen: Seen) -> Page:
    state = seen.health.state
    rounds: dict[str, Any] = {
        "started_at": state.started_at,
        "begun_at": state.begun_at,
        "succeeded_at": state.succeeded_at,
        "failed": state.failed,
        "is_live": seen.health.is_live,
        "is_ready": seen.health.is_ready,
    }
    try:
        return as_json(HTTPStatus.OK, {"rounds": rounds, **seen.status()})
    except TillsyncError as e:
        return as_json(HTTPStatus.SERVICE_UNAVAILABLE, {"rounds": rounds, "error": str(e)})


def _metrics(registry: CollectorRegistry, headers: Message) -> Page:
    encode, kind = choose_encoder(headers.get("Accept") or "")
    return Page(HTTPStatus.OK, kind, encode(registry))


def _status_or_none(seen: Seen) -> Mapping[str, Any] | None:
    try:
        return seen.status()
    except TillsyncError:
        return None
