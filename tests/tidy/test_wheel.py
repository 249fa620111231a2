"""The wheel: SQL and triggers are in it, the sample and its licence too, and nothing of the workshop."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.tidy.files import ROOT

FIND = "from orchestrator import assets; print(assets.root()); print(assets.text('sql/retail/central.sql')[:2])"


def test_the_wheel_carries_its_assets_and_finds_them(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assets = {
        f"orchestrator/_assets/{path.relative_to(ROOT).as_posix()}"
        for folder in ("sql", "triggers")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    assert assets <= names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]
    found = subprocess.run(
        [sys.executable, "-c", FIND],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )
    assert found.stdout.split() == [str(tmp_path / "installed" / "orchestrator" / "_assets"), "--"]
