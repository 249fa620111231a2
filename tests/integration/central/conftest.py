from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orchestrator.core.world import World
from tests.integration.central.chain import Chain, build


@pytest.fixture
def chain(database: Callable[..., str], world: World) -> Iterator[Chain]:
    made = build(database, world)
    yield made
    made.close()
