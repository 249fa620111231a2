"""What the lab's chain says of itself: how far it is, and whether both ends agree."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.errors import TillsyncError
from orchestrator.lab.engine import Lab

SETTINGS = "/etc/tillsync/tillsync.toml"


def status(lab: Lab) -> dict[str, Any]:
    """`tillsync status --json`, asked at head office."""
    return dict(json.loads(_told(lab, "central", "tillsync", "status", "-c", SETTINGS, "--json")))


def on_the_way(told: dict[str, Any]) -> dict[str, int]:
    """Branch -> what is not at its place yet, the branches that have nothing left out."""
    names = ("pending", "waiting_uploads", "lag_ticks")
    found = {b["node"]: sum(b[name] or 0 for name in names) for b in told["branches"]}
    return {node: count for node, count in found.items() if count}


def prove(lab: Lab) -> list[dict[str, Any]]:
    """The demo's proofs over the books and the tills' files: name, claim, checked, failures of each."""
    return list(json.loads(_told(lab, "office", "python3", "-m", "orchestrator.lab.inside", "prove")))


def _told(lab: Lab, service: str, *command: str) -> str:
    code, out, err = lab.execute(service, *command)
    if code not in (0, 3):  # findings are told as well as none
        said = (err or out).strip().splitlines() or ["nothing"]
        raise TillsyncError("TS-902", f"{service}: {said[-1]}", hint="see `tillsync lab status`")
    return out
