"""One service at a time: of a till's file, of head office's database, and of head offices at a relay."""

from __future__ import annotations

import pytest

from orchestrator.core.world import World, real_world
from orchestrator.errors import Busy
from orchestrator.service.lease import CentralLease
from orchestrator.settings import CentralSettings
from tests.integration.cli.place import Place


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
