"""Three tills, head office and a relay in random order: they agree, nothing is lost or doubled, policies hold."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import CalmMachine, Machine
from tests.model.oracle import Watched

EXAMPLES = int(os.environ.get("TILLSYNC_MODEL_EXAMPLES", "500"))
STEPS = int(os.environ.get("TILLSYNC_MODEL_STEPS", "25"))


def run(machine: type[Machine], examples: int, steps: int = STEPS) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=(Phase.generate,),  # to make a failure smaller takes minutes, so that is for whoever looks into it
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("machine", [CalmMachine, Machine])
def test_the_chain_keeps_its_promises(machine: type[Machine]) -> None:
    run(machine, EXAMPLES // 2)


def test_head_office_and_the_relay_come_back_from_one_moment() -> None:
    """What a till was answered after that moment is sent again; no schedule drawn by lot comes to this often."""
    come_back_together(Watched())


def come_back_together(world: Watched) -> None:
    till = world.tills["T1"]
    world.tick()
    world.pull(till)
    world.drain()
    office, relay = world.central.copy(), world.relay.copy()
    for number in range(3):
        if number == 2:
            world.central, world.relay = office, relay
        pk = f"s{number}"
        world.sales[pk] = {("A", "0", "1", "draft")}
        world.till_write(till, pk, ("A", "0", "1", "draft"))
        world.drain()
    world.check()
