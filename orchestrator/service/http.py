"""What a service shows over HTTP: `/live`, `/ready`, `/status`, `/metrics`. Read-only, bounded, and beside the rounds.

On a loopback address only requests that name such a host are answered: a page in a browser of this machine cannot have
another name resolve to it and read along.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.log import logger
from orchestrator.settings_watch import address

REQUESTS_MAX = 16
"""So many are answered at a time; who comes then is told to come again."""

IDLE_SECONDS = 5.0
POLL_SECONDS = 0.1
TEXT, JSON = "text/plain; charset=utf-8", "application/json"
REFUSAL = b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
LOCAL_NAMES = frozenset({"localhost", ""})

log = logger("service.http")


class Page(NamedTuple):
    """An answer."""

    status: int
    kind: str
    body: bytes


Pages = Mapping[str, Callable[[Message], Page]]
"""Path -> what makes its page, given the request's headers. It may raise: that is an answer of 500, and no more."""


def text(status: int, body: str) -> Page:
    return Page(status, TEXT, f"{body}\n".encode())


def as_json(status: int, value: Any) -> Page:
    return Page(status, JSON, json.dumps(value, ensure_ascii=False, default=str).encode() + b"\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2 * REQUESTS_MAX

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages = pages
        self.is_local = host != "" and _is_local(host)
        self._places = threading.BoundedSemaphore(REQUESTS_MAX)
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.sendall(REFUSAL)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Somebody hung up, or sent what is no request: not worth a line."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = IDLE_SECONDS
    server_version, sys_version = "tillsync", ""

    def do_GET(self) -> None:
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET

    def _page(self) -> Page:
        if self.server.is_local and not _is_local(_host(self.headers.get("Host", ""))):
            return text(HTTPStatus.FORBIDDEN, "ask for this machine by its own name")
        make = self.server.pages.get(self.path.partition("?")[0])
        if make is None:
            return text(HTTPStatus.NOT_FOUND, f"there are {' '.join(self.server.pages)}")
        try:
            return make(self.headers)
        except Exception as e:
            log.error("page failed", path=self.path, error=repr(e))
            return text(HTTPStatus.INTERNAL_SERVER_ERROR, "it failed; the log says why")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a scrape every few seconds is no news."""


class Http:
    """A server that listens from now on, in threads of its own, until `close`."""

    def __init__(self, listen: str, pages: Pages) -> None:
        """Raises UsageError TS-860 where it cannot listen there."""
        host, port = address(listen)
        try:
            self._server = _Server(host, port, pages)
        except OSError as e:
            raise UsageError(
                "TS-860", f"cannot listen on {listen}: {e.strerror or e}", hint="set another `[http] listen`"
            ) from e
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Listens no more; requests in hand end by themselves."""
        self._server.shutdown()
        self._server.socket.close()
        self._thread.join(IDLE_SECONDS)


def _host(header: str) -> str:
    """The host of a Host header, without its port."""
    host, bracket, _ = header.rpartition("]")
    return host.lstrip("[") if bracket else header.partition(":")[0]


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOCAL_NAMES
