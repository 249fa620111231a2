"""A till's file: whole, on a disk of its own with room, and in a mode in which nobody waits for anybody.

What the application sets for its own connections (synchronous, recursive_triggers) cannot be seen from another one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw

from orchestrator.checks.finding import Finding
from orchestrator.till.database import rows, value

FREE_BYTES_MIN = 200 * 1024 * 1024
CHECK_BYTES_MAX = 512 * 1024 * 1024
"""Larger files are not read through."""

NETWORKS = ("nfs", "cifs", "smb", "9p", "afs", "fuse.sshfs")
SUBJECT = "file"


def findings(db: apsw.Connection) -> Iterator[Finding]:
    """Of the file, its folder and its disk."""
    path = Path(db.filename)
    journal = str(db.pragma("journal_mode")).lower()
    if journal in ("off", "memory"):
        what = f"{path} has journal_mode {journal}: a power cut destroys it"
        yield Finding(SUBJECT, what, "PRAGMA journal_mode = WAL, once, in the till's application")
    elif journal != "wal":
        what = f"{path} has journal_mode {journal}: readers wait while the agent writes, and it for them"
        yield Finding(SUBJECT, what, "PRAGMA journal_mode = WAL, once, if the application bears it", is_advice=True)
    if not os.access(path.parent, os.W_OK):
        what = f"the folder of {path} cannot be written: SQLite needs its journal beside the file"
        yield Finding(SUBJECT, what, "give the agent's account the right to write there")
    kind = _filesystem(path)
    if kind.startswith(NETWORKS):
        what = f"{path} is on a network drive ({kind}): SQLite's locks do not hold there"
        yield Finding(SUBJECT, what, "keep the file on a disk of the till")
    free = shutil.disk_usage(path.parent).free
    if free < FREE_BYTES_MIN:
        yield Finding(SUBJECT, f"the disk of {path} has {free // 1024 // 1024} MB left", "make room")
    if path.stat().st_size <= CHECK_BYTES_MAX:
        said = value(db, "PRAGMA main.quick_check(1)")
        if said != "ok":
            yield Finding(SUBJECT, f"{path} is damaged: {said}", "restore it from a backup, then `tillsync reload`")
    if str(value(db, "PRAGMA main.encoding")) != "UTF-8":
        what = f"{path} is stored as UTF-16"
        yield Finding(SUBJECT, what, "nothing: it works, texts are converted", is_advice=True)
    for (name,) in rows(db, "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND sql LIKE '%RAISE%'"):
        what = f"the application's trigger {name} can refuse rows: what it refuses of head office's waits"
        yield Finding(SUBJECT, what, "see that it lets pass what head office may send", is_advice=True)


def _filesystem(path: Path) -> str:
    """The type of the mount that a file is on; empty where the system does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    above = [m for m in mounts if path.absolute().is_relative_to(m[1].replace("\\040", " "))]
    return max(above, key=lambda m: len(m[1]))[2] if above else ""
