"""Head office and relay are upgraded first; tills of a former version go on until their turn comes, and then go on as new."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.central import schema
from orchestrator.central.agent import CentralAgent
from orchestrator.core.world import World
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from orchestrator.settings import CentralSettings
from orchestrator.till.setup import install_till
from tests.integration.cases.shop import CHANNELS, Till
from tests.tidy.files import ROOT

FORMER = "a8ad7f8bfa136eb0118634dbd1ad00bbb3636637"
"""The commit whose tills are still out there."""


class Former:
    """A former version's code, unpacked, and run with the packages of this one."""

    def __init__(self, place: Path) -> None:
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", FORMER], check=False, capture_output=True)
        if archive.returncode != 0:
            pytest.skip(f"NO FORMER VERSION HERE: the history has no commit {FORMER[:8]} (a shallow clone?)")
        place.mkdir()
        subprocess.run(["tar", "-x", "-C", place], input=archive.stdout, check=True)
        self.place = place

    def run(self, step: str, *arguments: str) -> str:
        script = Path(__file__).with_name("old_version.py")
        environment = {**os.environ, "PYTHONPATH": str(self.place)}
        command = [sys.executable, str(script), step, *arguments]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=self.place)
        assert ended.returncode == 0, ended.stderr[-3000:]
        return ended.stdout


def test_tills_of_a_former_version_go_on_after_head_office_and_relay_were_upgraded(
    database: Callable[..., str], world: World, tmp_path: Path
) -> None:
    former = Former(tmp_path / "former")
    central, relay = database("central"), database("relay")
    left = json.loads(former.run("begin", central, relay, str(tmp_path)).splitlines()[-1])
    settings = CentralSettings(
        central={"dsn": central}, relay={"dsn": relay}, parameters={"branch_id": "text"}, channel=CHANNELS
    )
    with connect(central, "head office") as conn:
        relay_schema.install(relay, relay)
        schema.install(conn, schema.prepare(conn, settings))
        agent = CentralAgent(settings, world)
        try:
            old = Till.of_file("T1", left["dsn"], Path(left["file"]), world)
            assert old.sql("SELECT count(*) FROM item") == [(2,)]
            old.sql("INSERT INTO closure VALUES (2, '2026-01-02', 20)")
            old.sql("UPDATE sales_order SET status = 'paid' WHERE id = 'o1'")
            conn.execute("UPDATE item SET price = 9 WHERE id = 1")
            agent.round()
            former.run("till", left["dsn"], left["file"])
            agent.round()
            former.run("till", left["dsn"], left["file"])
            assert old.sql("SELECT price FROM item WHERE id = 1") == [(9,)]
            assert conn.execute("SELECT number, total FROM closure ORDER BY 1").fetchall() == [(1, 10), (2, 20)]
            assert conn.execute("SELECT total FROM turnover").fetchall() == [(30,)]
            assert conn.execute("SELECT status FROM sales_order").fetchall() == [("paid",)]

            install_till(old.settings, world)  # its turn
            old.sql("INSERT INTO closure VALUES (3, '2026-01-03', 30)")
            conn.execute("DELETE FROM branch_item WHERE item_id = 2")
            for _ in range(3):
                old.sync()
                agent.round()
            old.sync()
            assert old.sql("SELECT id FROM item") == [(1,)]
            assert conn.execute("SELECT total FROM turnover").fetchall() == [(60,)]
            old.close()
        finally:
            agent.close()
