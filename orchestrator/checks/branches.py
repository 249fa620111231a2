"""What the tills last said of themselves: versions, what they lack of the plan, how long they are silent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestrator import __version__
from orchestrator.checks.finding import Finding

SILENT_SECONDS_MAX = 24 * 3600
SUBJECT = "branches"


def findings(reports: Sequence[Mapping[str, Any]], active: set[str], now: datetime) -> Iterator[Finding]:
    """Of the branches that are active, by the relay's newest report of each."""
    for report in (r for r in reports if r["node"] in active):
        node, body, at = report["node"], report["body"] or {}, report["at"]
        if at is None:
            yield Finding(SUBJECT, f"{node} has never reported", f"start its agent: `tillsync run till` at {node}")
            continue
        if (now - at).total_seconds() > SILENT_SECONDS_MAX:
            yield Finding(SUBJECT, f"{node} is silent since {at.isoformat(timespec='minutes')}", "look after its agent")
        if body.get("version") != __version__:
            what = f"{node} runs Tillsync {body.get('version')}, head office {__version__}"
            yield Finding(SUBJECT, what, "upgrade the older one", is_advice=True)
        for lack in body.get("lacks", []):
            yield Finding(
                SUBJECT, f"{node}: {lack}", "upgrade the till's application; what it lacks comes by itself then"
            )
        for error in body.get("errors", []):
            yield Finding(SUBJECT, f"{node}: {error}", "the line says it")
