"""Who gets notifications: a real mail server and a real web server on loopback."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


@dataclass
class Mailbox:
    """A mail server with one box. `refuses`: it answers, and takes nothing."""

    mails: list[EmailMessage] = field(default_factory=list)
    refuses: bool = False

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        if self.refuses:
            return "451 come again"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"

    @property
    def titles(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    @property
    def texts(self) -> list[str]:
        return [str(mail.get_content()) for mail in self.mails]


@contextmanager
def mail_server(
    box: Mailbox, port: int, *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> Iterator[None]:
    """The box behind a port, as long as it is open."""

    def authenticate(*given: Any) -> AuthResult:
        said = given[-1]
        return AuthResult(success=(said.login.decode(), said.password.decode()) == login)

    more: dict[str, Any] = {"authenticator": authenticate, "auth_required": True} if login else {}
    server = Controller(box, hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=tls is not None, **more)
    server.start()
    try:
        yield
    finally:
        server.stop()


@dataclass
class Hook:
    """A web server that takes messages; `answers` with this code."""

    port: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)
    answers: int = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=t0ken-of-the-hook"

    @property
    def titles(self) -> list[str]:
        return [str(said["title"]) for said in self.got]


@contextmanager
def web_server(hook: Hook) -> Iterator[None]:
    """The hook at a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.answers < 300:
                hook.got.append(said)
            self.send_response(hook.answers)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
