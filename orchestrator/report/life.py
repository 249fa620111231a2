"""The life of a row, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.report import render

VALUES = {True: "true", False: "FALSE", None: "null"}


def show(told: Mapping[str, Any]) -> None:
    """What `explain` found, at head office or at a till."""
    out = render.console()
    out.print("row: " + (_pairs(told["row"]) if told["row"] is not None else "it is not there"))
    if "branches" in told:
        _central(told)
    else:
        _till(told)


def _central(told: Mapping[str, Any]) -> None:
    out = render.console()
    for line in told["captured"]:
        tick = "in no tick yet" if line["tick"] is None else f"in tick {line['tick']}"
        what = f"{line['echo_for']} asked for it" if line["echo_for"] else "captured"
        out.print(f"{line['at'].isoformat(timespec='seconds')}: {what} by transaction {line['xid']}, {tick}")
    for line in told["streams"]:
        until = "" if line["left_tick"] is None else f" until tick {line['left_tick']}"
        out.print(f"stream {line['stream']} ({_pairs(line['params'])}): since tick {line['entered_tick']}{until}")
    render.table(["branch", "it is"], [[b["node"], b["says"]] for b in told["branches"]])
    for line in told["parked"]:
        out.print(
            f"{line['state']} change {line['id']} of {line['node']}, {line['at']:%Y-%m-%d %H:%M}: {line['reason']}"
        )
    for line in told["conflicts"]:
        out.print(f"conflict {line['id']} with {line['node']}, {line['at']:%Y-%m-%d %H:%M}: {line['winner']} won")
    if told["terms"]:
        out.print(f"filter for {told['branch']}:")
        for term in told["terms"]:
            out.print(f"  {VALUES[term['value']]:5} {'  ' * term['depth']}{term['term']}")


def _till(told: Mapping[str, Any]) -> None:
    out = render.console()
    out.print(f"till {told['node']}, at tick {told['tick']}")
    for change in told["changes"]:
        out.print(f"change {change['seq']} ({change['op']}): {change['state']}")
    for problem in told["problems"]:
        out.print(f"{problem['kind']} since tick {problem['tick']}: {problem['reason']}")
    for notice in told["notices"]:
        done = f"acknowledged {notice['acked']}" if notice["acked"] else "not acknowledged"
        out.print(f"notice of tick {notice['tick']}: {notice['column']} {notice['old']} -> {notice['new']}, {done}")


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
