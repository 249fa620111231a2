"""The agents of the demo as real processes: started, stopped in order, killed, and seen when they end by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import TillsyncError
from orchestrator.settings import mask

STOP_SECONDS_MAX = 30
COMMAND_SECONDS_MAX = 300
LOG_LINES_SHOWN = 3
_TILLSYNC = (sys.executable, "-m", "orchestrator.cli.main")


@dataclass
class Agent:
    """One agent, `central` or a till's node; its output goes to `log`."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    kills: int = 0
    _log_begun: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def at_work(self) -> bool:
        """Has it come up? Then it has said so in its log."""
        return self.log.stat().st_size > self._log_begun

    def start(self) -> None:
        """Starts it where it is not running."""
        with self._lock:
            if self._process is None:
                with self.log.open("ab") as log:
                    self._log_begun = log.tell()
                    self._process = subprocess.Popen(
                        [*_TILLSYNC, *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
                self._note.write_text(f"{self._process.pid}\n")  # the guard reads all notes at once

    def stop(self) -> None:
        """SIGTERM, as a service manager does; the agent ends its round. Raises TS-712 if it does not."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()
                try:
                    code = self._process.wait(STOP_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    raise self._fault(f"did not stop within {STOP_SECONDS_MAX} s") from None
                self._forget()
                if code not in (0, -signal.SIGTERM):
                    raise self._fault(f"ended with exit code {code}")

    def kill(self) -> None:
        """SIGKILL: no handler, no flush, in the middle of whatever it was doing."""
        with self._lock:
            if self._process is not None:
                self._check()
                self._process.kill()
                self._process.wait()
                self._forget()
                self.kills += 1

    def check(self) -> None:
        """Raises TS-712 if it ended by itself."""
        with self._lock:
            self._check()

    def _check(self) -> None:
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            self._forget()
            raise self._fault(f"ended by itself with exit code {code}")

    def _forget(self) -> None:
        self._process = None
        self._note.unlink(missing_ok=True)

    def _fault(self, what: str) -> TillsyncError:
        return TillsyncError("TS-712", f"the agent of {self.name} {what}: {_tail(self.log)}", hint=f"see {self.log}")

    @property
    def _note(self) -> Path:
        return self.log.with_suffix(".pid")


def guard(directory: Path) -> subprocess.Popen[bytes] | None:
    """A process that ends the agents noted in `directory` when this one is gone, however that ended."""
    if os.name != "posix":
        return None
    watch = 'while kill -0 "$1"; do sleep 1; done; cat "$2"/*.pid | xargs kill -9'
    return subprocess.Popen(
        ["/bin/sh", "-c", watch, "tillsync-guard", str(os.getpid()), str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the demo, which stops the agents in order
    )


def command(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, *, codes: Collection[int] = (0,)
) -> str:
    """Runs one `tillsync` command to its end and returns what it printed. Raises TS-711 if it ends with another exit
    code than these."""
    shown = f"`tillsync {' '.join(map(mask, arguments))}`"
    try:
        ended = subprocess.run(
            [*_TILLSYNC, *arguments],
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            timeout=COMMAND_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired:
        raise TillsyncError("TS-711", f"{shown} did not end within {COMMAND_SECONDS_MAX} s") from None
    if ended.returncode not in codes:
        said = (ended.stderr or ended.stdout).strip().splitlines()[-LOG_LINES_SHOWN:]
        raise TillsyncError("TS-711", f"{shown} ended with exit code {ended.returncode}: {' / '.join(said)}")
    return ended.stdout


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return " / ".join(lines[-LOG_LINES_SHOWN:]) or "it said nothing"
