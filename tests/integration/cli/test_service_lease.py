"""One service at a time: of a till's file, of head office's database, and of head offices at a relay."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from orchestrator.core.world import World, real_world
from orchestrator.errors import Busy
from orchestrator.service.lease import CentralLease, lock_file, till_is_held
from orchestrator.settings import CentralSettings
from tests.integration.cli.place import Place
from tests.integration.cli.test_service import running, until


@pytest.fixture
def settings(place: Place) -> CentralSettings:
    place.install("T1")
    return CentralSettings.load(place.settings)


def test_b49_a_head_office_that_came_back_publishes_nothing_beside_the_real_one(
    place: Place, settings: CentralSettings
) -> None:
    """After a failover the lease is the new primary's: it runs out for the dead one, and is renewed by the living."""
    seconds = [0.0]
    real = real_world()
    world = World(real.now, lambda: seconds[0], real.random63, real.sleep, real.crash)
    lease = CentralLease(settings, world)
    lease.hold()
    assert place.on_relay("SELECT lease_until > now() FROM relay.state") == [(True,)]
    place.on_relay("UPDATE relay.state SET lease_holder = 'the new primary', lease_until = now() + interval '1 minute'")
    lease.hold()  # it is not asked at every round
    seconds[0] += 21
    with pytest.raises(Busy, match="TS-849 another head office"):
        lease.hold()
    lease.release()
    place.command("sync", "central").said(5, "TS-849", "the new primary")
    place.on_relay("UPDATE relay.state SET lease_until = now() - interval '1 second'")
    lease.hold()
    lease.release()
    place.does("sync", "central")  # the same head office, another process
    assert place.on_relay("SELECT lease_holder LIKE '%/%/%' FROM relay.state") == [(True,)]


def test_b49_a_relay_of_a_former_version_has_no_lease(place: Place, settings: CentralSettings) -> None:
    place.on_relay("DROP FUNCTION relay.hold_lease(text, integer)")
    lease = CentralLease(settings, real_world())
    lease.hold()
    lease.release()


def test_b49_a_killed_service_frees_its_lease_at_once(place: Place, settings: CentralSettings) -> None:
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    lock = lock_file(place.directory / "T1" / "pos.db")
    sides: dict[str, tuple[list[str], Callable[[], bool]]] = {
        "central": (["central"], lambda: place.on_central(held) == [(1,)]),
        "till": (["till", "-c", "T1/till.toml"], lambda: lock.exists() and till_is_held(lock.with_name("pos.db"))),
    }
    for side, is_held in sides.values():
        with running(place, "run", *side) as first:
            until(is_held)
            begun = time.monotonic()
            place.command("sync", *side).said(5, "TS-720")
            assert time.monotonic() - begun < 10, "it is told quickly"
            first.kill()
            first.wait()
            place.does("sync", *side)
