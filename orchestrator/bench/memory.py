"""`tillsync bench memory`: the most that an agent's process holds while a large change goes down and sales come up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from orchestrator.bench.lab import Lab, lab
from orchestrator.bench.up import lines

KIB = 1024
ALLOWED_MB = 150


def run(rows: int = 100_000, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """`ratio` = what is allowed (150 MB) / the larger of the two agents' peaks. Both run as processes of their own."""
    peaks: dict[str, float] = {}
    with lab() as made:
        made.central.close()
        made.till.close()
        central, till = _write_settings(made)
        made.head.execute("UPDATE price SET amount = amount + 1 WHERE item_id <= %s", [rows])
        with made.pos:
            made.pos.executemany("INSERT INTO receipt_line VALUES (?, ?, ?, ?, ?, ?)", lines(rows, 0))
        for side, file in (("till", till), ("central", central), ("till", till)):
            peaks[side] = max(peaks.get(side, 0), _peak_mb(side, file))
            seen(f"{side}: {peaks[side]:.0f} MB")
    return {"ratio": round(ALLOWED_MB / max(peaks.values()), 2), "rows": rows, "peak_mb": peaks}


def _write_settings(made: Lab) -> tuple[str, str]:
    files = made.directory / "tillsync.toml", made.directory / "till.toml"
    for file, settings in zip(files, (made.settings, made.till_settings), strict=True):
        values = settings.model_dump(mode="json", exclude_none=True, exclude_unset=True)
        file.write_bytes(msgspec.toml.encode(values))
    return str(files[0]), str(files[1])


def _peak_mb(side: str, file: str) -> float:
    command = [sys.executable, "-m", "orchestrator.cli.main", "sync", side, "-c", file]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.returncode == 0, said
    return round(usage.ru_maxrss / KIB, 1)
