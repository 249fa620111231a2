"""The README's "DBA's first hour", followed literally: its own commands, on its own small schema."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from orchestrator.demo import binaries
from tests.tidy.files import ROOT

pytestmark = pytest.mark.timeout(120)


def _steps() -> str:
    hour = (ROOT / "README.md").read_text(encoding="utf-8").split("## The DBA's first hour")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", hour, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6, "the hour has lost its commands"
    return "set -euo pipefail\n" + "\n".join(blocks)


def _tools(place: Path) -> str:
    """A search path with tillsync, and with psql and sqlite3 from the libraries where the machine has none."""
    place.mkdir()
    if shutil.which("sqlite3") is None:
        shim = place / "sqlite3"
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m apsw "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
    return os.pathsep.join(
        [str(place), str(Path(sys.executable).parent), os.environ["PATH"], str(binaries.directory())]
    )


def test_the_first_hour_ends_with_both_ends_in_step(database: Callable[[str], str], tmp_path: Path) -> None:
    relay_admin = database("readme_relay")
    login = {"user": "readme_hq", "password": "of head office"}
    given = {
        "ERP": database("readme_erp"),
        "RELAY_ADMIN": relay_admin,
        "RELAY": make_conninfo(relay_admin, **login),
        "PATH": _tools(tmp_path / "bin"),
    }
    work = tmp_path / "hour"
    work.mkdir()
    ended = subprocess.run(
        ["bash", "-c", _steps()], cwd=work, env=os.environ | given, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = ended.stdout
    assert "1|Bread|1.2\n2|Rolls|0.3\n" in said
    assert "Cake" not in said
    assert re.search(r"T1 +\| +1 \| +2 \| +10\.000", said), "head office has not got the sale"
    assert "\n1.3\n" in said, "the till has not got the new price"
