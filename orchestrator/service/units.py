"""systemd's units of the services: made from templates, put into place, taken away."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from orchestrator.errors import ConfigError, TillsyncError, UsageError
from orchestrator.settings import TillSettings

SYSTEM = Path("/etc/systemd/system")
TEMPLATES = Path(__file__).resolve().parent.parent / "units"
CENTRAL_MEMORY_MAX, TILL_MEMORY_MAX = "2G", "512M"
COMMAND_SECONDS_MAX = 60
MARK = "Made by `tillsync service install"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit file: its name and its text."""

    name: str
    text: str


def central(config: Path) -> Unit:
    """Head office's; it has no account of its own, and reads its settings as a credential."""
    return Unit(
        "tillsync-central.service", _filled("tillsync-central.service", CENTRAL_MEMORY_MAX, config=_word(config))
    )


def till(config: Path, settings: TillSettings, user: str | None) -> Unit:
    """A till's, under the account that owns the till's file unless another one is named."""
    database = settings.till.database
    given = {
        "config": _word(config),
        "node": settings.node,
        "user": user or _owner(database),
        "writable": _word(database.parent),
    }
    return Unit(f"tillsync-{settings.node}.service", _filled("tillsync-till.service", TILL_MEMORY_MAX, **given))


def install(unit: Unit, directory: Path, *, start: bool) -> list[str]:
    """Puts the unit into place and starts it; what was done, a line each.

    Raises ConfigError TS-844 where another unit of that name is there, TillsyncError TS-845 where systemd refuses.
    """
    path = directory / unit.name
    if path.exists() and MARK not in path.read_text(encoding="utf-8"):
        raise ConfigError("TS-844", f"{path} is there and not ours", hint="move it away, or give --directory")
    try:
        path.write_text(unit.text, encoding="utf-8")
    except OSError as e:
        raise UsageError("TS-843", f"{path} cannot be written: {e.strerror}", hint="run it as root") from None
    done = [f"written {path}"]
    return done + (_systemctl(["daemon-reload"], ["enable", "--now", unit.name]) if start else [])


def uninstall(name: str, directory: Path, *, stop: bool) -> list[str]:
    """Stops a unit and takes it away; nothing where there is none."""
    path = directory / name
    if not path.exists():
        return []
    done = _systemctl(["disable", "--now", name]) if stop else []
    try:
        path.unlink()
    except OSError as e:
        raise UsageError("TS-843", f"{path} cannot be removed: {e.strerror}", hint="run it as root") from None
    return [*done, f"removed {path}", *(_systemctl(["daemon-reload"]) if stop else [])]


def manages(directory: Path) -> bool:
    """Whether this machine's systemd reads that directory: then units are started, else they are only written."""
    return directory == SYSTEM and Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def _systemctl(*commands: Sequence[str]) -> list[str]:
    done = []
    for command in commands:
        ended = subprocess.run(
            ["systemctl", *command], check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX
        )
        said = f"systemctl {' '.join(command)}"
        if ended.returncode:
            why = " ".join(ended.stderr.split()) or f"exit code {ended.returncode}"
            raise TillsyncError("TS-845", f"`{said}`: {why}", hint="look at `systemctl status` and `journalctl -u`")
        done.append(said)
    return done


def _filled(name: str, memory_max: str, **given: str) -> str:
    hardening = Template((TEMPLATES / "hardening.conf").read_text(encoding="utf-8")).substitute(memory_max=memory_max)
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return Template(text).substitute(command=_word(_command()), hardening=hardening, **given)


def _command() -> Path:
    """The `tillsync` of this installation, as a service finds it: by its whole name."""
    beside = Path(sys.executable).with_name("tillsync")
    found = beside if beside.exists() else Path(shutil.which("tillsync") or sys.argv[0])
    return found.absolute()


def _owner(database: Path) -> str:
    try:
        return database.owner()
    except (OSError, KeyError, NotImplementedError):
        return getpass.getuser()


def _word(path: Path) -> str:
    """A path as systemd reads it in a list of words."""
    text = os.fspath(path.absolute()).replace("%", "%%")
    if any(c in text for c in "\"'\\$\n"):
        raise UsageError("TS-846", f"{path} has a character that a unit cannot have", hint="use another directory")
    return f'"{text}"' if " " in text else text
