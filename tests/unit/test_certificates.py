"""The end of the relay's certificate, asked of a server that speaks TLS as PostgreSQL does: after a request for it."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.relay.certificates import SSL_REQUEST, first_end

DAYS = {"server": 30, "client": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates of 30 and of 3 days, and their keys."""
    if shutil.which("openssl") is None:
        pytest.skip("NO OPENSSL HERE: it makes the certificates of this test")
    made = tmp_path_factory.mktemp("tls")
    for name, days in DAYS.items():
        command = f"openssl req -x509 -newkey ed25519 -nodes -days {days} -subj /CN={name}"
        asked = [*command.split(), "-keyout", str(made / f"{name}.key"), "-out", str(made / f"{name}.pem")]
        subprocess.run(asked, check=True, capture_output=True)
    return made


@pytest.fixture
def port(place: Path) -> Iterator[int]:
    """A server that answers requests for TLS until the test ends."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(place / "server.pem", place / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    if line.recv(8) != SSL_REQUEST:
                        continue
                    line.sendall(b"S")
                    with tls.wrap_socket(line, server_side=True) as made:
                        made.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def days_left(dsn: str) -> float:
    end = first_end(dsn)
    assert end is not None
    return (end - datetime.now(UTC)) / timedelta(days=1)


def test_the_servers_certificate_and_the_logins_own(place: Path, port: int) -> None:
    dsn = f"host=127.0.0.1 port={port} user=till dbname=relay sslmode=require"
    assert days_left(dsn) == pytest.approx(30, abs=0.1)
    assert days_left(f"postgresql://till@127.0.0.1:{port}/relay") == pytest.approx(30, abs=0.1)
    assert days_left(f"{dsn} sslcert={place}/client.pem sslkey={place}/client.key") == pytest.approx(3, abs=0.1)
    assert first_end(f"{dsn.replace('require', 'disable')}") is None
