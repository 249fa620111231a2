"""A small demo from end to end: the real commands and agents as processes, over real databases."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

TILLSYNC = (sys.executable, "-m", "orchestrator.cli.main")
SECONDS_MAX = 1_500


def demo(*arguments: str, code: int = 0, server: str | None = None) -> dict[str, Any]:
    """Runs `tillsync demo --json`, on a given server if one is named, and returns what it printed."""
    ended = subprocess.run(
        [*TILLSYNC, "demo", "--json", *arguments],
        check=False,
        env={**os.environ, **({"TILLSYNC_TEST_DSN": server} if server else {})},
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
    place, page = tmp_path / "chain", tmp_path / "report.html"
    size = ("--tills", "2", "--stores", "2", "--days", "4", "--day-seconds", "0.5")
    outcome = demo(*size, "--dir", str(place), "--html", str(page))
    assert outcome["ok"]
    assert outcome["proofs"][0]["name"] == "reconciliation"
    assert outcome["page"] == str(page)
    assert "Everything agrees at 2 tills" in page.read_text(encoding="utf-8")
    assert all(proof["holds"] and proof["checked"] > 0 for proof in outcome["proofs"])
    assert [till["closures"] for till in outcome["tills"]] == [4, 4]
    assert all(till["down"] > 1_000 and till["up"] > 100 for till in outcome["tills"])
    assert outcome["central_kills"] == 1
    assert not place.exists()
    assert not processes_of(place)


@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    place = tmp_path / "chain"
    running = subprocess.Popen(
        [*TILLSYNC, "demo", "--tills", "1", "--stores", "1", "--dir", str(place)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: (place / "logs" / "T1.pid").exists())
    running.send_signal(number)
    running.wait(60)
    until(lambda: not processes_of(place))
    assert place.exists() == (number == signal.SIGKILL)
    # The server's account cannot always enter the test's directory; then the data lie elsewhere, behind a link.
    shutil.rmtree((place / "postgresql" / "data").resolve(), ignore_errors=True)


def processes_of(place: Path) -> list[list[str]]:
    """What still runs there."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(word.startswith(str(place)) for word in line)]


def until(done: Callable[[], bool]) -> None:
    """Waits for it, for a minute and a half at most."""
    end = time.monotonic() + 90
    while not done():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "arguments", [("--tills", "1", "--stores", "2"), ("--days", "32"), ("--days", "0"), ("--tills", "x")]
)
def test_an_impossible_demo_is_refused_in_a_line(arguments: tuple[str, ...]) -> None:
    demo(*arguments, code=2)


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    demo("--dir", str(tmp_path), code=2)
    assert os.listdir(tmp_path) == ["mine"]
