"""A Docker engine for the test of the lab, and images to build on, from what a machine without an image registry has.

An engine that answers is used; else root starts one of its own, in a directory of its own. The base image is the one that
BASE_IMAGE names, else a Debian made with debootstrap. Wheels are brought from outside, since a container may reach no index.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tidy.files import ROOT

BASE = "localhost/tillsync-test-base"
SUITE = "bookworm"
START_SECONDS = 30
BUILT_OF = ("orchestrator", "sql", "triggers", "compose", "monitoring")
BUILT_OF_FILES = ("pyproject.toml", "requirements.lock", "README.md", "LICENSE", "CHANGELOG.md", ".dockerignore")


EMPTY_TABLES = {
    b"filter": b"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
    b"nat": b"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n",
}


def skip(why: str) -> None:
    pytest.skip(f"NO LAB HERE: {why}")


@contextmanager
def engine() -> Iterator[dict[str, str]]:
    """The environment in which the lab's commands find an engine and its base images."""
    if answers(os.environ):
        yield {**os.environ, **base_images(dict(os.environ))}
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        skip("no Docker engine answers, and none can be started (dockerd, as root)")
    place = Path(tempfile.mkdtemp(prefix="tillsync-engine-"))
    rules = firewall()
    environment = {**os.environ, "DOCKER_HOST": f"unix://{place}/docker.sock"}
    command = ["dockerd", "--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "-p", f"{place}/pid"]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen([*command, "-H", environment["DOCKER_HOST"]], stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while not answers(environment):
            if process.poll() is not None or time.monotonic() > until:
                skip(f"dockerd does not start: {(place / 'log').read_text(errors='replace')[-300:]}")
            time.sleep(0.3)
        yield {**environment, **base_images(environment)}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        if rules is not None:
            subprocess.run(["iptables-restore"], check=False, input=rules)
            subprocess.run(["ip", "link", "delete", "docker0"], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


def firewall() -> bytes | None:
    """The machine's packet filter as it is: an engine adds rules of its own and leaves them. None where that cannot be asked."""
    if shutil.which("iptables-save") is None:
        return None
    found = subprocess.run(["iptables-save"], check=False, capture_output=True).stdout
    # A table that nobody used yet is not said, and would be left as the engine has it.
    return found + b"".join(empty for name, empty in EMPTY_TABLES.items() if b"*" + name not in found.splitlines())


def answers(environment: os._Environ[str] | dict[str, str]) -> bool:
    """Is there an engine?"""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], check=False, capture_output=True, env=dict(environment)).returncode == 0


def base_images(environment: dict[str, str]) -> dict[str, str]:
    """BASE_IMAGE and SERVER_IMAGE, as given or made here."""
    if "BASE_IMAGE" in environment:
        return {"SERVER_IMAGE": environment["BASE_IMAGE"], **environment}
    if shutil.which("debootstrap") is None:
        skip("BASE_IMAGE names no image, and there is no debootstrap to make one with")
    with tempfile.TemporaryDirectory(prefix="tillsync-base-") as made:
        root = Path(made) / "root"
        include = "--include=python3,python3-venv,ca-certificates"
        run(["debootstrap", "--variant=minbase", include, SUITE, str(root)], environment)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(["docker", "import", "-", BASE], check=True, stdin=tar.stdout, env=environment)
        shutil.rmtree(root)
    return {"BASE_IMAGE": BASE, "SERVER_IMAGE": BASE}


def checkout(place: Path) -> Path:
    """A copy of what the images are built of, with wheels for the base image's Python beside it, if it is this one's."""
    for folder in BUILT_OF:
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in BUILT_OF_FILES:
        shutil.copy(ROOT / file, place / file)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9._-]+==[^ ;\\]+)", lock, re.MULTILINE)
    (place / "constraints.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    wheels = ["download", "-q", "-d", str(place / "compose" / "wheels"), "-c", str(place / "constraints.txt")]
    run([sys.executable, "-m", "pip", *wheels, "hatchling", str(place)], dict(os.environ))
    return place


def run(command: list[str], environment: dict[str, str], cwd: Path | None = None) -> str:
    """Runs it to its end; its words only where it fails."""
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=cwd)
    assert ended.returncode == 0, f"{command}: {ended.stdout[-2000:]} {ended.stderr[-4000:]}"
    return ended.stdout
