from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from orchestrator.demo.databases import Server
from tests.integration.cli.place import CENTRAL_TABLES, SECRET, Ended, Place

Command = Callable[..., Ended]


@pytest.fixture
def place(database: Callable[..., str], pg: Server, tmp_path: Path) -> Place:
    """Databases with the application's tables, settings written, nothing installed."""
    central, admin = database("central"), database("relay")
    name = str(conninfo_to_dict(admin)["dbname"])
    made = Place(tmp_path, central, admin, pg.dsn(name, f"{name}_hq", SECRET))
    made.on_central(CENTRAL_TABLES)
    made.write_settings()
    return made


@pytest.fixture
def command(place: Place, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command in this process, in the place's directory."""
    monkeypatch.setenv("NO_COLOR", "1")
    return place.command
