"""`tillsync status --ready-for DAY`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from orchestrator.cli.options import central_settings, print_json
from orchestrator.errors import Findings, UsageError


def ready_for(config: Path | None, text: str, *, json: bool) -> None:
    """Tells who holds what is valid on a day. Raises Findings TS-894 where somebody does not, or where head office has
    not published all of it; UsageError TS-896 for what is no day."""
    from orchestrator.report import render
    from orchestrator.service import readiness

    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError("TS-896", f"{text!r} is no day", hint="write it as 2026-03-01") from None
    told = readiness.for_day(central_settings(config), day)
    late = [b["node"] for b in told["branches"] if not b["ready"]]
    if json:
        print_json(told)
    else:
        render.table(
            ["table", f"valid on {day}", "not published yet"],
            [[t["table"], t["valid"], t["unpublished"]] for t in told["tables"]],
        )
        render.table(
            ["branch", "ready", "tick", "why not"],
            [[b["node"], "yes" if b["ready"] else "NO", b["tick"], b["why"]] for b in told["branches"]],
        )
    if told["unpublished"]:
        raise Findings(
            "TS-894", f"head office has not published {told['unpublished']} rows", hint="see whether its service runs"
        )
    if late:
        what = f"{len(late)} of {len(told['branches'])} branches are not ready for {day}: {', '.join(late[:10])}"
        raise Findings("TS-894", what, hint="see `tillsync status`; they get it when they are there again")
