"""What every connection of ours asks of the server."""

from __future__ import annotations

import pytest

from orchestrator.demo.databases import Server
from orchestrator.demo.server import Cluster
from orchestrator.postgres import connect


def test_a_machine_that_lost_its_power_is_missed_by_the_server_within_a_minute(pg: Server) -> None:
    if not isinstance(pg, Cluster):
        pytest.skip("a given server may be behind a socket, where nothing is kept alive")
    with connect(pg.dsn(tcp=True), "test") as conn:
        idle, interval, count = (
            int(conn.execute(f"SELECT current_setting('tcp_keepalives_{name}')".encode()).fetchone()[0])  # type: ignore[index]
            for name in ("idle", "interval", "count")
        )
        assert 0 < idle + interval * count <= 60
        assert conn.execute("SELECT current_setting('tcp_user_timeout')::int").fetchone() == (60_000,)


def test_what_the_dsn_says_of_it_stands(pg: Server) -> None:
    if not isinstance(pg, Cluster):
        pytest.skip("a given server may be behind a socket, where nothing is kept alive")
    with connect(f"{pg.dsn(tcp=True)}?options=-c%20tcp_keepalives_idle%3D7", "test") as conn:
        assert conn.execute("SHOW tcp_keepalives_idle").fetchone() == ("7",)
