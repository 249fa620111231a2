"""Fixtures that hand real databases to the tests.

Every xdist worker has a cluster of its own, since roles are shared by all databases of a cluster: two workers that
register the till `T1` would meet. `TILLSYNC_TEST_DSN` names a server to use instead; then run with one worker.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import structlog
from psycopg import sql

from orchestrator.core.world import World, real_world
from orchestrator.demo.binaries import account, open_place
from orchestrator.demo.databases import GivenServer, Server, create_database, drop_database
from orchestrator.demo.server import Cluster

# Nothing may depend on the server's time zone: a value that is rendered in a session's own would show.
SETTINGS = {"timezone": "'Asia/Kathmandu'", "wal_level": "logical"}

MEMORY, MEMORY_BYTES_MIN = Path("/dev/shm"), 4 << 30


@pytest.fixture(autouse=True)
def _logs_end_with_their_test() -> Iterator[None]:
    """What a command in this process logged to may be closed by now."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def pg() -> Iterator[Server]:
    """A PostgreSQL server that commits without waiting for the disk; the tests of a worker share it."""
    given = os.environ.get("TILLSYNC_TEST_DSN")
    if given:
        yield GivenServer(given)
    else:
        yield from _cluster(durable=False)


@pytest.fixture(scope="session")
def durable_pg() -> Iterator[Server]:
    """A server of its own with fsync on, for tests marked `durable`; it may be stopped and crashed."""
    yield from _cluster(durable=True)


@pytest.fixture(scope="session")
def old_pg() -> Iterator[Server]:
    """The oldest PostgreSQL that this machine has installed, or the one whose programs are in TILLSYNC_OLD_PROGRAMS, for
    tests of what depends on the version."""
    given = os.environ.get("TILLSYNC_OLD_PROGRAMS")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not (given or found):
        pytest.skip("NO OLDER POSTGRESQL HERE: install Debian's postgresql-15, say, to run this test on it as well")
    yield from _cluster(durable=False, programs=Path(given) if given else found[0].parent)


def _cluster(*, durable: bool, programs: Path | None = None) -> Iterator[Cluster]:
    place = Path(tempfile.mkdtemp(prefix="tillsync-test-", dir=open_place() if durable else _quick_place()))
    place.chmod(0o755)
    cluster = Cluster(place, durable=durable, settings=SETTINGS, programs=programs)
    try:
        yield cluster.start()
    finally:
        cluster.remove()


def _quick_place() -> Path:
    """A file system in memory if there is one with room: two new databases a test are a third of the time on a disk."""
    if MEMORY.is_dir() and account().reaches(MEMORY) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        return MEMORY
    return open_place()


@contextmanager
def _databases(pg: Server) -> Iterator[Callable[..., str]]:
    made: list[str] = []
    roles_before = _roles(pg)

    def make(purpose: str = "db") -> str:
        name = f"test_{purpose}_{secrets.token_hex(4)}"
        made.append(name)
        return create_database(pg, name)

    yield make
    for name in made:
        drop_database(pg, name)
    _drop_roles(pg, _roles(pg) - roles_before)


@pytest.fixture
def database(pg: Server) -> Iterator[Callable[..., str]]:
    """A function that makes an empty database and returns its superuser DSN; `database("central")` names the purpose.

    After the test the databases are dropped, and with them the roles that the test made.
    """
    with _databases(pg) as make:
        yield make


@pytest.fixture(scope="module")
def module_database(pg: Server) -> Iterator[Callable[..., str]]:
    """As `database`, for databases that the tests of a module share."""
    with _databases(pg) as make:
        yield make


@pytest.fixture
def central_dsn(database: Callable[..., str]) -> str:
    """An empty database to be head office's."""
    return database("central")


@pytest.fixture
def relay_dsn(database: Callable[..., str]) -> str:
    """An empty database to be the relay's."""
    return database("relay")


@pytest.fixture
def till_file(tmp_path: Path) -> Path:
    """The name of a till's database file, not there yet."""
    return tmp_path / "pos.db"


@pytest.fixture
def world() -> World:
    """The real clock and real randomness."""
    return real_world()


def _roles(server: Server) -> set[str]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        return {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}


def _drop_roles(server: Server, roles: set[str]) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for role in roles:
            # A role that another database still needs stays until that is dropped.
            with suppress(psycopg.errors.DependentObjectsStillExist):
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
