"""Random schedules on real parts in which schemas, triggers and settings change, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from orchestrator.core.world import real_world
from orchestrator.demo.databases import Server
from tests.model import drift
from tests.model.drift import DriftMachine
from tests.model.real import RealChain
from tests.model.test_real_parts import play

SCHEDULES = int(os.environ.get("TILLSYNC_DRIFT_SCHEDULES", "6"))


@pytest.fixture(scope="module")
def chain(
    module_database: Callable[..., str], pg: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealChain]:
    directory = tmp_path_factory.mktemp("drifting")
    tables = {"central": drift.CENTRAL, "till": drift.TILL}
    made = RealChain(module_database, pg, real_world(), directory, **tables, channels=[drift.CHANNEL])
    with closing(made):
        yield made


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_both_ends_agree_whatever_becomes_of_schemas_triggers_and_settings(chain: RealChain, seed: int) -> None:
    play(chain, seed, DriftMachine, drift.RULES)
