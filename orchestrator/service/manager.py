"""What a service manager is told: systemd's sd_notify protocol, which is one datagram a word.

Without systemd (`NOTIFY_SOCKET` is not set) nothing is done. See sd_notify(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manager:
    """Where to send it, and how often the watchdog wants to hear at least: 0 for never."""

    address: str = ""
    watchdog_seconds: float = 0.0

    def tell(self, *words: str) -> None:
        """Send words such as `READY=1`. A manager that does not listen is no fault of ours."""
        if not self.address or not hasattr(socket, "AF_UNIX"):
            return
        # An address that begins with @ is in the abstract namespace.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.settimeout(1.0)
            own.sendto("\n".join(words).encode(), address)

    def ready(self, status: str) -> None:
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The time belongs to it: `Type=notify-reload` compares it with the time of its own signal."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) if hasattr(time, "clock_gettime_ns") else 0
        self.tell("RELOADING=1", f"MONOTONIC_USEC={now // 1000}")

    def stopping(self) -> None:
        self.tell("STOPPING=1")

    def alive(self) -> None:
        """To be called more often than `watchdog_seconds`."""
        if self.watchdog_seconds:
            self.tell("WATCHDOG=1")


def of_environment(environment: Mapping[str, str] = os.environ) -> Manager:
    """The manager that started this process. Another process' watchdog (`WATCHDOG_PID`) is not ours."""
    watchdog = 0.0
    if environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
        with suppress(ValueError):
            watchdog = int(environment.get("WATCHDOG_USEC", "0")) / 1_000_000
    return Manager(environment.get("NOTIFY_SOCKET", ""), watchdog)
