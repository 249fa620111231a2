from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.core.world import World
from tests.integration.cases.shop import Shop


@pytest.fixture
def shop(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(database, world, tmp_path)
    yield made
    made.close()
