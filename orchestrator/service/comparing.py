"""Comparing head office with its tills from beginning to end, as a command or a schedule asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from orchestrator.central import reconcile_report
from orchestrator.central.agent import CentralAgent
from orchestrator.core.reconciliation import Report
from orchestrator.errors import Busy, ConfigError, Unreachable
from orchestrator.service.lease import CentralLease, central_is_held
from orchestrator.service.office import Office, listing

POLL_SECONDS = 0.3


def chosen(office: Office, branch: str | None) -> list[str]:
    """The active branches, or the one that is meant. Raises ConfigError TS-143 where there is no such branch."""
    nodes = [str(row["node"]) for row in listing(office) if row["state"] == "active" and branch in (None, row["node"])]
    if branch is not None and not nodes:
        raise ConfigError("TS-143", f"there is no branch {branch}", hint="`tillsync branch list` shows them")
    return nodes


def compare(
    office: Office,
    nodes: Sequence[str],
    tables: Sequence[str] = (),
    *,
    timeout_seconds: float,
    seen: Callable[[str], None] = lambda line: None,
) -> Report:
    """Asks the branches, and waits until those that are alive have answered. `tables`: full names, none for all.

    Where head office's service does not run, its rounds are made here meanwhile. Raises Unreachable TS-400.
    """
    (since,) = office.conn.execute("SELECT clock_timestamp()").fetchone() or (None,)
    number = reconcile_report.start(office.conn, office.world, nodes, tables)
    wait(office, number, timeout_seconds=timeout_seconds, seen=seen)
    return known(office, nodes, tables, since=since)


def known(office: Office, nodes: Sequence[str], tables: Sequence[str] = (), *, since: datetime | None = None) -> Report:
    """What the last comparisons of these branches came to."""
    now, heard = office.world.now(), heard_of(office)
    return reconcile_report.report(office.conn, office.prepared, now, heard, nodes=nodes, tables=tables, since=since)


def wait(office: Office, number: int, *, timeout_seconds: float, seen: Callable[[str], None]) -> None:
    """Until every branch that is alive has answered everything, or the time is over."""
    until = office.world.monotonic() + timeout_seconds
    agent, lease = CentralAgent(office.settings, office.world), CentralLease(office.settings, office.world)
    left: frozenset[str] = frozenset()
    is_ours = False
    try:
        while office.world.monotonic() < until:
            heard, now = heard_of(office), office.world.now()
            still = reconcile_report.open_nodes(office.conn, number)
            if not any(reconcile_report.is_alive(heard.get(node), now) for node in still):
                return
            if still != left:
                left = still
                seen(f"waiting for {len(still)}: {', '.join(sorted(still)[:8])}{' ...' if len(still) > 8 else ''}")
            if is_ours or not central_is_held(office.conn):
                with suppress(Busy):
                    lease.hold()
                    is_ours = True
                    agent.round()
            office.world.sleep(POLL_SECONDS)
    finally:
        agent.close()
        lease.release()


def heard_of(office: Office) -> dict[str, datetime]:
    """When each branch last said that it is alive; nothing where the relay does not answer."""
    try:
        return {row["node"]: row["at"] for row in office.relay.reports() if row["at"] is not None}
    except Unreachable:
        return {}
