"""What a person decides at head office: conflicts and parked changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.central import conflicts, parked, scope
from orchestrator.central.conflicts import Restored
from orchestrator.service.office import Office


def full_name(table: str | None) -> str | None:
    return table if table is None or "." in table else f"public.{table}"


def conflicts_of(office: Office, node: str | None, table: str | None, *, only_open: bool) -> list[dict[str, Any]]:
    """Conflicts, the newest first."""
    return conflicts.listed(office.conn, node=node, tab=full_name(table), only_open=only_open)


def conflict(office: Office, number: int) -> dict[str, Any]:
    """One conflict with its images."""
    return conflicts.found(office.conn, number)


def restore(office: Office, number: int, side: str | None, *, force: bool, dry_run: bool) -> Restored:
    """The loser's values are put back; tills hear of it as of any change."""
    return conflicts.restore(office.conn, office.prepared.plan, number, side=side, force=force, dry=dry_run)


def close(office: Office, numbers: Sequence[int], *, dry_run: bool) -> list[int]:
    """Open conflicts are decided as they stand."""
    with office.conn.transaction(force_rollback=dry_run):
        return conflicts.close(office.conn, numbers)


def parked_of(office: Office, node: str | None, *, every: bool) -> list[dict[str, Any]]:
    """Changes that head office could not take."""
    return parked.listed(office.conn, node, every=every)


def retry(office: Office, numbers: Sequence[int], *, dry_run: bool) -> int:
    """Try parked changes again, these with their documents or all. How many are in now; of a rehearsal, how many would
    be tried."""
    plan, ids = office.prepared.plan, list(numbers) or None
    if dry_run:
        return sum(ids is None or p["id"] in ids for p in parked.listed(office.conn))
    scopes = scope.filters(office.conn, plan, office.prepared.catalog, office.prepared.filters)
    return parked.retry(office.conn, plan, ids=ids, force=True, scopes=scopes)


def drop(office: Office, numbers: Sequence[int], *, dry_run: bool) -> list[int]:
    """Give parked changes up, with their documents; the till gets what head office has."""
    with office.conn.transaction(force_rollback=dry_run):
        return parked.drop(office.conn, office.prepared.plan, numbers)
