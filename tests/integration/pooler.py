"""PgBouncer in transaction mode in front of a relay, as docs/deployment.md sets it up."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator import assets
from orchestrator.demo.binaries import account, environment, open_place

LOGIN = "tillsync_pooler"
PASSWORD = secrets.token_hex(16)
START_SECONDS = 10
SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {place}/users
auth_user = {login}
auth_query = SELECT login, verifier FROM relay_pooler.verifier($1)
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 200
server_login_retry = 0
admin_users = {login}
{more}
"""


def program() -> str:
    """PgBouncer's program; without one the test is left out, and says so."""
    found = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if found is None:
        pytest.skip("NO PGBOUNCER HERE: install it (Debian: apt-get install pgbouncer) to run this test")
    return found


class Pooler:
    """One PgBouncer in front of the database that a superuser's DSN leads to, whose relay is installed."""

    def __init__(self, relay_admin_dsn: str, *, more: str = "", pool: int = 2) -> None:
        self._program = program()
        self._admin = conninfo_to_dict(relay_admin_dsn)
        _prepare(relay_admin_dsn)
        self._place = Path(tempfile.mkdtemp(prefix="tillsync-pooler-", dir=open_place()))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        server = {"host": self._admin.get("host") or "127.0.0.1", "port": self._admin.get("port") or 5432}
        ours = {"listen": self.port, "place": self._place, "login": LOGIN, "pool": pool, "more": more}
        (self._place / "settings").write_text(SETTINGS.format(**server, **ours))
        (self._place / "users").write_text(f'"{LOGIN}" "{PASSWORD}"\n')
        for path in (self._place, *self._place.iterdir()):
            account().give(path)

    def start(self) -> Pooler:
        with (self._place / "log").open("ab") as log:
            command = [self._program, str(self._place / "settings")]
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=dict(environment()), **account().run_as()
            )
        until = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)

    def kill(self) -> None:
        """As a power cut would."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def remove(self) -> None:
        self.signal(signal.SIGCONT)
        self.kill()
        shutil.rmtree(self._place)

    def log(self) -> str:
        return (self._place / "log").read_text()

    def dsn(self, **login: str) -> str:
        """The way to the relay through the pooler."""
        way = {"host": "127.0.0.1", "port": str(self.port), "dbname": str(self._admin["dbname"])}
        return make_conninfo("", **{**way, **login})

    def servers(self) -> int:
        """How many server connections the pooler has open for the relay's database."""
        with psycopg.connect(
            self.dsn(user=LOGIN, password=PASSWORD, dbname="pgbouncer"), autocommit=True, prepare_threshold=None
        ) as console:
            found = psycopg.ClientCursor(console).execute("SHOW SERVERS").fetchall()
        return sum(1 for row in found if self._admin["dbname"] in row)


def _prepare(relay_admin_dsn: str) -> None:
    with psycopg.connect(relay_admin_dsn, autocommit=True) as admin:
        admin.execute(assets.text("sql/relay/pooler.sql"))
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(LOGIN), sql.Literal(PASSWORD)))
