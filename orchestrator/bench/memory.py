"""`tillsync bench memory`: the most that an agent's process holds while a large change goes down and sales come up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.bench.lab import CENTRAL_FILE, TILL_FILE, lab
from orchestrator.bench.up import lines

KIB = 1024
ALLOWED_MB = 150

# A process inherits its parent's peak until it is replaced, so it is started by one that is small.
_MEASURE = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def run(rows: int = 100_000, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """`ratio` = what is allowed (150 MB) / the larger of the two agents' peaks. Both run as processes of their own."""
    peaks: dict[str, float] = {}
    with lab() as made:
        made.central.close()
        made.till.close()
        made.head.execute("UPDATE price SET amount = amount + 1 WHERE item_id <= %s", [rows])
        with made.pos:
            made.pos.executemany("INSERT INTO receipt_line VALUES (?, ?, ?, ?, ?, ?)", lines(rows, 0))
        for side, file in (("till", TILL_FILE), ("central", CENTRAL_FILE), ("till", TILL_FILE)):
            peaks[side] = max(peaks.get(side, 0), _peak_mb(side, made.directory / file))
            seen(f"{side}: {peaks[side]:.0f} MB")
    return {"ratio": round(ALLOWED_MB / max(peaks.values()), 2), "rows": rows, "peak_mb": peaks}


def _peak_mb(side: str, file: Path) -> float:
    agent = [sys.executable, "-m", "orchestrator.cli.main", "sync", side, "-c", str(file)]
    ended = subprocess.run([sys.executable, "-c", _MEASURE, *agent], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return round(int(ended.stdout.splitlines()[-1]) / KIB, 1)
