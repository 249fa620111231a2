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


def test_a_till_of_another_life_than_both_remember_sends_all_that_it_has() -> None:
    """One of a thousand schedules on real parts met it: what the till was answered after their backups was lost."""
    another_life(Watched())


def another_life(world: Watched) -> None:
    life = world.tills["T1"].copy()

    def sell(pk: str) -> None:
        world.sales[pk] = {("A", "0", "1", "draft")}
        world.till_write(world.tills["T1"], pk, ("A", "0", "1", "draft"))
        world.drain()

    sell("s1")
    world.relay.uploads.clear()
    world.relay.wants.add("A")  # whoever starts anew starts after s1
    world.tick()
    office, relay = world.central.copy(), world.relay.copy()
    world.tills["T1"], world.calm = life, False
    sell("s2")
    world.central, world.relay = office, relay
    sell("s3")
    world.check()
    assert set(world.central.rows) == {"s1", "s2", "s3"}


def test_what_a_till_sent_in_a_former_life_goes_in_though_nothing_leads_to_it() -> None:
    """What came before it is lost with head office's newest and the till's own: it took thousands of schedules to meet."""
    former_life(Watched())


def former_life(world: Watched) -> None:
    till = world.tills["T1"]

    def sell(pk: str) -> None:
        world.sales[pk] = {("A", "0", "1", "draft")}
        world.till_write(world.tills["T1"], pk, ("A", "0", "1", "draft"))
        world.push(world.tills["T1"])

    sell("s1")
    world.tick()
    world.drain()
    office, life = world.central.copy(), till.copy()
    sell("s2")
    sell("s3")
    world.collect(dies_after=1)
    world.relay.uploads = world.relay.of("T1")[-1:]  # it forgets what was taken
    world.central, world.tills["T1"] = office, life
    world.calm, world.dead = False, {"s2"}
    world.drain()
    world.check()
    assert set(world.central.rows) == {"s1", "s3"}
    sell("s4")
    world.drain()
    world.check()
    assert world.central.applied["T1"][0] == world.tills["T1"].log[-1].pos


def test_what_others_moved_between_two_changes_that_are_sent_again_is_not_the_tills() -> None:
    """Head office comes back from a backup. What a till has from it since then lies between the till's own changes."""
    between_two_changes(Watched())


def between_two_changes(world: Watched) -> None:
    one, two = world.tills["T1"], world.tills["T2"]
    world.office_write("c1", ("A", "0", "10", "draft"))
    world.drain()
    office = world.central.copy()
    world.till_write(one, "c1", ("A", "0", "9", "draft"))
    world.till_write(two, "c1", ("A", "0", "30", "draft"))
    world.drain()
    assert one.rows["c1"][2] == "29"
    world.till_write(one, "c1", ("A", "0", "28", "draft"))
    world.central, world.calm = office, False
    world.relay.uploads.clear()
    world.drain()
    world.check()
    assert world.central.rows["c1"][2] == "28"
