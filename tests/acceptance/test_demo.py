"""A small demo from end to end: the real commands and agents as processes, over real databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

TILLSYNC = (sys.executable, "-m", "orchestrator.cli.main")
SECONDS_MAX = 1_500


def demo(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Runs `tillsync demo --json` and returns what it printed."""
    ended = subprocess.run(
        [*TILLSYNC, "demo", "--json", *arguments],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=SECONDS_MAX,
    )
    assert ended.returncode == code, ended.stderr[-2_000:] + ended.stdout[-2_000:]
    printed: dict[str, Any] = json.loads(ended.stdout) if ended.stdout else {}
    return printed


@pytest.mark.xdist_group("demo")
def test_a_small_demo_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "chain"
    outcome = demo("--tills", "2", "--stores", "2", "--days", "4", "--day-seconds", "0.5", "--dir", str(place))
    assert outcome["ok"]
    assert all(proof["holds"] and proof["checked"] > 0 for proof in outcome["proofs"])
    assert [till["closures"] for till in outcome["tills"]] == [4, 4]
    assert all(till["down"] > 1_000 and till["up"] > 100 for till in outcome["tills"])
    assert outcome["central_kills"] == 1
    assert not place.exists()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(place) in " ".join(p.info["cmdline"] or ())]


@pytest.mark.parametrize(
    "arguments", [("--tills", "1", "--stores", "2"), ("--days", "32"), ("--days", "0"), ("--tills", "x")]
)
def test_an_impossible_demo_is_refused_in_a_line(arguments: tuple[str, ...]) -> None:
    demo(*arguments, code=2)


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    demo("--dir", str(tmp_path), code=2)
    assert os.listdir(tmp_path) == ["mine"]
