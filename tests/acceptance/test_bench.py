"""The figures can be taken: each command measures, on few rows, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        (("down", "--rows", "500", "--rounds", "1"), {"ratio", "rows_per_second", "capture_ratio"}),
        (("up", "--rows", "500", "--rounds", "1"), {"ratio", "rows_per_second"}),
        (("capture", "--rows", "500", "--rounds", "1"), {"ratio", "with_by_without", "till_commit_us"}),
        (("latency", "--updates", "3"), {"ratio", "p50_ms", "max_ms"}),
        (("memory", "--rows", "500"), {"ratio", "peak_mb"}),
        (("locks", "--rows", "2000", "--rounds", "1"), {"ratio", "longest_ms", "refused"}),
        (("reconcile", "--rows", "500", "--rounds", "1"), {"ratio", "equal_bytes", "wrong_bytes"}),
        pytest.param(
            ("chain", "--rows", "500"),
            {"ratio", "100 tills", "10000 tills"},
            marks=[pytest.mark.long, pytest.mark.timeout(900)],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_figure_is_measured(words: tuple[str, ...], figures: set[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.cli.main", "bench", *words, "--json"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    measured = json.loads(ended.stdout)
    assert figures <= measured.keys()
    assert measured["ratio"] > 0
    assert not list(tmp_path.iterdir())
