"""The ways that messages go: a mail server, a webhook, and whatever the package apprise knows. Each is short: it raises
OSError, or Refused, and is asked again later."""

from __future__ import annotations

import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from orchestrator.errors import ConfigError
from orchestrator.settings_watch import AppriseSettings, MailSettings, NotifySettings, WebhookSettings, address

ANSWER_BYTES_MAX = 65_536
UNFOLDED = SMTP.clone(max_line_length=900)
"""A subject that is folded before its first word begins with a space for some readers."""


class Letter(NamedTuple):
    """A message on its way. number: stays the same however often it is tried."""

    number: str
    kind: str
    title: str
    text: str
    body: Mapping[str, Any]
    at: datetime


class Refused(Exception):
    """The other side answered, and does not take it."""


Send = Callable[[Letter], None]


def ways(settings: NotifySettings) -> dict[str, Send]:
    """Way -> how a letter goes it. Raises ConfigError TS-862 where apprise is asked for and not installed."""
    found: dict[str, Send] = {}
    seconds = settings.timeout_seconds
    if (mail := settings.mail) is not None:
        found["mail"] = lambda letter: _mail(mail, letter, seconds)
    if (webhook := settings.webhook) is not None:
        found["webhook"] = lambda letter: _webhook(webhook, letter, settings.name, seconds)
    if settings.apprise is not None:
        found["apprise"] = _apprise(settings.apprise)
    return found


def _mail(settings: MailSettings, letter: Letter, seconds: float) -> None:
    mail = EmailMessage(UNFOLDED)
    mail["From"], mail["To"] = settings.sender, ", ".join(settings.to)
    mail["Subject"], mail["Date"] = letter.title, format_datetime(letter.at)
    # One that is sent twice, since the answer was lost, is one mail to whoever reads it.
    mail["Message-ID"] = f"<{letter.number}@tillsync>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text)
    host, port = address(settings.server)
    trusted = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(host, port, timeout=seconds, context=trusted)
            if settings.security == "tls"
            else smtplib.SMTP(host, port, timeout=seconds)
        ) as server:
            if settings.security == "starttls":
                server.starttls(context=trusted)
            if settings.user is not None and settings.password is not None:
                server.login(settings.user, settings.password)
            server.send_message(mail)
    except smtplib.SMTPException as e:
        raise Refused(f"{type(e).__name__}: {e}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A message goes where the settings say, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _webhook(settings: WebhookSettings, letter: Letter, name: str, seconds: float) -> None:
    said = {
        "id": letter.number,
        "name": name,
        "kind": letter.kind,
        "title": letter.title,
        "text": letter.text,
        "at": letter.at.isoformat(),
        **letter.body,
    }
    asked = urllib.request.Request(
        settings.url,
        json.dumps(said, ensure_ascii=False).encode(),
        {"Content-Type": "application/json", "User-Agent": "tillsync", "Idempotency-Key": letter.number},
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(asked, timeout=seconds) as answer:
            answer.read(ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as e:
        with e:
            raise Refused(f"{urlsplit(settings.url).hostname} answers {e.code}") from None


def _apprise(settings: AppriseSettings) -> Send:
    try:
        from apprise import Apprise
    except ImportError:
        raise ConfigError(
            "TS-862", "`[notify.apprise]` needs the package apprise", hint="pip install 'tillsync[apprise]'"
        ) from None
    service = Apprise()
    for url in settings.urls:
        if not service.add(url):
            raise ConfigError("TS-863", f"apprise knows no {url.partition(':')[0]}:// of that form", hint="correct it")

    def send(letter: Letter) -> None:
        if not service.notify(body=letter.text, title=letter.title):
            raise Refused("a service of apprise's does not take it")

    return send
