"""Random schedules on real parts: databases that come back from backups, agents that die in the midst of a round."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator.core.world import real_world
from orchestrator.demo.databases import Server
from tests.integration.cases.test_restores import copy_of, put_back
from tests.model import real_oracle
from tests.model.machine import Machine
from tests.model.real import Edit, RealChain, RealTill

SCHEDULES = int(os.environ.get("TILLSYNC_REAL_SCHEDULES", "6"))
STEPS = int(os.environ.get("TILLSYNC_REAL_STEPS", "40"))


class RealMachine(Machine):
    """The model's machine, on a chain that is there already."""

    world: Any
    kept: RealChain

    def __init__(self) -> None:
        self.chain = lambda: self.kept  # type: ignore[assignment]
        super().__init__()
        self.files: dict[str, Path] = {}
        self.copies: set[str] = set()
        self.edits: list[Edit] = []

    def push(self, seed: int) -> None:
        rng, till = self._later(seed)
        self.world.till_round(till, rng)

    pull = push

    def collect(self, seed: int) -> None:
        rng, _ = self._later(seed)
        self.world.office_round(rng)

    tick = collect

    def a_till_is_backed_up_or_restored(self, seed: int) -> None:
        rng, till = self._drawn(seed)
        if till.node in self.files and rng.random() < 0.6:
            put_back(till.real, self.files[till.node])
            self._lost()
        else:
            self.files[till.node] = copy_of(till.real, self.world.directory / f"{till.node}.backup")

    def head_office_or_the_relay_is_backed_up_or_restored(self, seed: int) -> None:
        rng, _ = self._later(seed)
        restores, which = rng.random() < 0.5, rng.choice((["office"], ["relay"], ["office", "relay"]))
        known = [one for one in which if one in self.copies]
        if restores and known:
            self.world.put_back(*known)
            if "office" in known:
                self.world.central.edits = list(self.edits)
            self._lost()
        elif not restores:
            self.world.back_up(*which)
            self.copies |= set(which)
            if "office" in which:
                self.edits = list(self.world.central.edits)

    def the_relay_forgets_what_was_taken(self, seed: int) -> None:
        rng, _ = self._later(seed)
        if rng.random() < 0.3:
            self.world.forget()

    def a_till_writes_papers(self, seed: int) -> None:
        rng, till = self._drawn(seed)
        self.world.papers(till, rng)

    def head_office_writes_papers(self, seed: int) -> None:
        rng, _ = self._later(seed)
        self.world.papers(None, rng)

    def a_till_moves_to_the_other_store(self, seed: int) -> None:
        rng, till = self._drawn(seed)
        if rng.random() < 0.3:
            self.world.move(till)

    def teardown(self) -> None:
        self.world.drain()
        real_oracle.check(self.world)

    def _drawn(self, seed: int) -> tuple[Random, RealTill]:
        rng, drawn = self._later(seed)
        return rng, self.world.tills[drawn.node]

    def _time_for(self, node: str) -> None:
        self._later()


RULES = sorted(name for name, rule in vars(Machine).items() if hasattr(rule, "hypothesis_stateful_rule"))
RULES += ["a_till_writes_papers", "a_till_writes_papers", "head_office_writes_papers"]
MOVES = "a_till_moves_to_the_other_store"
FAULTS = {name for name in RULES if name.endswith("restored")}


@pytest.fixture(scope="module")
def chain(
    module_database: Callable[..., str], pg: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealChain]:
    made = RealChain(module_database, pg, real_world(), tmp_path_factory.mktemp("chain"))
    with closing(made):
        yield made


def play(chain: RealChain, seed: int, machine: type[RealMachine] = RealMachine, more: Iterable[str] = ()) -> None:
    """One schedule; in every third nothing is restored, so that nothing at all may be missing, and in every fourth tills
    change their stores. more: rules that the machine has beside the model's."""
    chain.begin(part_rows_max=2 if seed % 2 else 5_000)
    rng = Random(seed)
    kind = type("Kept", (machine,), {"kept": chain})
    played = kind()
    rules = [name for name in RULES if seed % 3 or name not in FAULTS]
    rules += [MOVES] if seed % 4 == 0 else []
    rules += sorted(set(more) - set(RULES) - {MOVES})
    for _ in range(STEPS):
        getattr(played, rng.choice(rules))(seed=rng.getrandbits(20))
    played.teardown()


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_real_parts_keep_the_promises_of_the_model(chain: RealChain, seed: int) -> None:
    play(chain, seed)
