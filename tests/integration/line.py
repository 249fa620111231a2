"""A line to a server that can be cut, silenced or slowed down: a TCP proxy, each test's own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

State = Literal["open", "cut", "silent"]
"""`cut`: connections end, new ones are refused. `silent`: nothing ends and nothing passes, as behind a broken router."""

CHUNK = 65_536
LOOK_SECONDS = 0.02


class Line:
    """Passes bytes both ways while it is open. `passed`: how many went up; `cut_after`: it is cut when so many did."""

    def __init__(self, dsn: str) -> None:
        self._server = conninfo_to_dict(dsn)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.state: State = "open"
        self.passed = 0
        self.cut_after: int | None = None
        self._open: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def dsn(self, dsn: str) -> str:
        """The same way to the server, over this line."""
        return make_conninfo("", **{**conninfo_to_dict(dsn), "host": "127.0.0.1", "port": str(self.port)})

    def cut(self) -> None:
        """As when a cable is pulled and the router says so."""
        self.state = "cut"
        for one in list(self._open):
            self._end(one)

    def close(self) -> None:
        self._closed = True
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.state == "cut":
                client.close()
                continue
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, target, source is client), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = str(self._server.get("host") or "127.0.0.1"), int(self._server.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, port), timeout=5)
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _carry(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                while self.state == "silent":
                    time.sleep(LOOK_SECONDS)
                    if source not in self._open:
                        return
                if up:
                    self.passed += len(data)
                    if self.cut_after is not None and self.passed > self.cut_after:
                        self.cut_after = None
                        self.cut()
                        return
                target.sendall(data)
        except OSError:
            pass
        finally:
            if self.state != "silent":
                self._end(source)
                self._end(target)

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def line_to(dsn: str) -> Iterator[Line]:
    """A line that ends with the block."""
    made = Line(dsn)
    try:
        yield made
    finally:
        made.close()
