"""When the certificates end that a connection rests on: the server's, and the login's own where it has one.

libpq does not tell the end of a certificate, so the server is asked for it once more, on a connection of its own that
ends after the handshake. Nothing secret is sent; whether the certificate is to be trusted is libpq's business.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

TIMEOUT_SECONDS = 5.0
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
PORT = 5432
UTC_TIME, CONTEXT_0 = 0x17, 0xA0


def first_end(dsn: str) -> datetime | None:
    """The first end of the certificates of a DSN's connection; None where it has none, or nobody answers."""
    given = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    ends = [end for end in (_of_server(given), _of_file(given.get("sslcert"))) if end is not None]
    return min(ends, default=None)


def _of_server(given: dict[str, str]) -> datetime | None:
    host = given.get("hostaddr") or given.get("host") or "localhost"
    if given.get("sslmode") == "disable" or host.startswith(("/", "@")):
        return None
    try:
        port = int(given.get("port") or PORT)
        with socket.create_connection((host.split(",")[0], port), TIMEOUT_SECONDS) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                return None
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=given.get("host") or None) as made:
                der = made.getpeercert(binary_form=True)
        return None if der is None else not_after(der)
    except (OSError, ValueError):
        return None


def _of_file(name: str | None) -> datetime | None:
    if not name:
        return None
    try:
        return not_after(ssl.PEM_cert_to_DER_cert(Path(name).read_text(encoding="ascii")))
    except (OSError, ValueError):
        return None


def not_after(der: bytes) -> datetime:
    """The end of a certificate's validity (RFC 5280, 4.1). Raises ValueError for what is no certificate."""
    (_, certificate), *_ = _items(der)
    (_, signed), *_ = _items(certificate)
    fields = [content for tag, content in _items(signed) if tag != CONTEXT_0]  # serial, algorithm, issuer, validity
    if len(fields) < 4:
        raise ValueError("no certificate")
    times = list(_items(fields[3]))
    if len(times) != 2:
        raise ValueError("no certificate")
    tag, text = times[1]
    # A year of two digits is of 1950 to 2049; strptime cuts at 1969.
    century = b"" if tag != UTC_TIME else b"20" if text[:2] < b"50" else b"19"
    return datetime.strptime((century + text).decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of a sequence in DER: (tag, content)."""
    at = 0
    while at < len(der):
        if at + 2 > len(der):
            raise ValueError("cut off")
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            width = length & 0x7F
            length, at = int.from_bytes(der[at : at + width], "big"), at + width
        if at + length > len(der):
            raise ValueError("cut off")
        yield tag, der[at : at + length]
        at += length
