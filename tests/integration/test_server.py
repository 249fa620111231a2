"""The embedded PostgreSQL: passwords, one run per directory, nothing lost or left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestrator.demo.binaries import open_place
from orchestrator.demo.databases import Server
from orchestrator.demo.server import Cluster
from orchestrator.errors import Busy

START_AND_SLEEP = """
import sys, time
from pathlib import Path
from orchestrator.demo.server import Cluster
cluster = Cluster(Path(sys.argv[1])).start()
print((cluster.data / "postmaster.pid").read_text().split()[0], flush=True)
time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="tillsync-server-", dir=open_place()))
    directory.chmod(0o755)
    yield directory
    Cluster(directory).remove()


def test_commits_are_durable_and_survive_a_crash(place: Path) -> None:
    cluster = Cluster(place).start()
    with psycopg.connect(cluster.dsn()) as connection:
        row = connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
        assert row == ("on", "on")
        connection.execute("CREATE TABLE sale (id int)")
        connection.execute("INSERT INTO sale VALUES (1)")
    cluster.stop(crash=True)
    with cluster, psycopg.connect(cluster.dsn()) as connection:
        assert connection.execute("SELECT id FROM sale").fetchall() == [(1,)]


def test_a_second_run_in_the_same_directory_is_told_so(place: Path) -> None:
    with Cluster(place), pytest.raises(Busy, match="TS-793"):
        Cluster(place).start()


def test_a_server_ends_with_its_owner_and_the_next_start_works(place: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", START_AND_SLEEP, str(place)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        server = psutil.Process(int(owner.stdout.readline()))
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    server.wait(timeout=20)
    with Cluster(place) as cluster, psycopg.connect(cluster.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_process_number_of_somebody_else_does_not_matter(place: Path) -> None:
    cluster = Cluster(place).start()
    cluster.stop()
    somebody = subprocess.Popen(["sleep", "60"])
    (cluster.data / "postmaster.pid").write_text(f"{somebody.pid}\n{cluster.data}\n{int(time.time())}\n1\n\n\n")
    with cluster:
        assert somebody.poll() is None
    somebody.kill()
    somebody.wait()


def test_a_role_needs_its_password_over_socket_and_tcp(place: Path) -> None:
    with Cluster(place) as cluster:
        with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
            connection.execute("CREATE ROLE till1 LOGIN PASSWORD 'p/w @1'")
        for tcp in (False, True):
            psycopg.connect(cluster.dsn("postgres", "till1", "p/w @1", tcp=tcp)).close()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(cluster.dsn("postgres", "till1", "wrong", tcp=tcp))
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(cluster.dsn("postgres", "postgres", "", tcp=tcp))


def test_databases_of_the_fixture_are_apart_and_empty(database: Callable[..., str], pg: Server) -> None:
    one, other = database("one"), database("other")
    assert one != other
    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE t (a int)")
    with psycopg.connect(other) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)
