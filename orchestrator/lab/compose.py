"""The lab's file, and the compose program that starts and removes what it describes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from orchestrator import assets
from orchestrator.errors import TillsyncError

PROJECT = "tillsync-lab"


def file() -> Path:
    """The lab's compose file. It builds images of the source, so only a checkout has it. Raises TS-901 without one."""
    found = assets.root() / "compose" / "lab.yaml"
    if not found.is_file():
        raise TillsyncError("TS-901", "the lab is built from a checkout, and this is none", hint="clone the repository")
    return found


def program() -> list[str]:
    """`docker compose` where the client has it, else `docker-compose`. Raises TS-900 where there is neither."""
    if shutil.which("docker") and _works(["docker", "compose", "version"]):
        return ["docker", "compose"]
    if shutil.which("docker-compose") and _works(["docker-compose", "version"]):
        return ["docker-compose"]
    raise TillsyncError("TS-900", "there is no `docker compose` here", hint="install Docker with its compose plugin")


def run(*arguments: str, settings: Mapping[str, str] | None = None) -> None:
    """Runs compose on the lab's file, its words on this process's stderr. Raises TS-902 where it fails."""
    command = [*program(), "-p", PROJECT, "-f", str(file()), *arguments]
    # The classic builder takes any base image that the engine has; the other one asks a registry first.
    given = {"DOCKER_BUILDKIT": "0", **os.environ, **(settings or {})}
    ended = subprocess.run(command, check=False, env=given, stdout=2)
    if ended.returncode:
        raise TillsyncError(
            "TS-902", f"`{' '.join(command)}` ended with exit code {ended.returncode}", hint="its words are above"
        )


def _works(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
