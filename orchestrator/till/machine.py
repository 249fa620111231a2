"""Which machine a till's file lives on.

A file that was copied to another till has all that makes it the first one's: its node, its account, its history. What
it does not have is the machine, and by that a copy is told before it sends anything.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from pathlib import Path

from orchestrator.errors import PersonMustDecide
from orchestrator.relay.messages import Hello
from orchestrator.settings import TillSettings
from orchestrator.till.relay import Relay

MULTICAST = 1 << 40
"""Set in what Python makes up where it finds no network card: another number in each process."""


def identity(settings: TillSettings) -> str:
    """A digest of the operating system's number, the network card and the file's place, or what the settings say."""
    if settings.till.machine is not None:
        return settings.till.machine
    card = uuid.getnode()
    known = [_number(), "" if card & MULTICAST else str(card), str(settings.till.database.resolve())]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]


def check(relay: Relay, hello: Hello, mine: str) -> None:
    """Claims the branch for this machine where nobody has. Raises PersonMustDecide TS-525 where another one has."""
    if hello.machine != mine:
        relay.claim(mine)  # where another one has, it is noted that this one came
    if hello.machine not in (None, mine):
        raise PersonMustDecide(
            "TS-525",
            f"{hello.node} is another machine: this file is a copy of its file, or came here from it",
            hint=f"register this till as itself with `tillsync branch add`, or, where it takes {hello.node}'s place,"
            f" run `tillsync branch rejoin {hello.node}` at head office; nothing is sent until then",
        )


def _number() -> str:
    """What the operating system calls this installation, empty where it has no such thing."""
    if sys.platform == "win32":
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    for place in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        if place.is_file():
            return place.read_text(encoding="ascii", errors="replace").strip()
    return ""
