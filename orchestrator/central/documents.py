"""Documents are merged whole or not at all: of a header and its lines nothing is seen before all of it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from orchestrator.central.images import row_of
from orchestrator.central.merge import Failure, Merged, Sender, merge
from orchestrator.central.stage import Stage, Unread
from orchestrator.central.unit import Unit

WITH_IT = "waits with its document"
Take = Callable[[Unit, Sequence[str], Sequence[Failure]], int]
"""Takes documents out of a unit's stage, with what failed of them; how many changes that were."""


class _Undo(Exception):
    """What was merged is taken back."""


@dataclass
class _Torn:
    """Documents of which something failed, with whether anything else of them is staged."""

    documents: set[str] = field(default_factory=set)
    is_staged: bool = False
    failures: Sequence[Failure] = ()


def merge_whole(conn: psycopg.Connection, stage: Stage, rank: Mapping[str, int], sender: Sender, take: Take) -> Merged:
    """All that is staged is merged, but for the documents of which a row cannot be: `take` takes those away.

    The failures that are returned are of rows that are documents by themselves, or all that is staged of theirs.
    """
    take_out(stage, _of_unread(stage.unread), (), take)
    while True:
        with suppress(_Undo), conn.transaction():
            merged = merge(conn, stage, rank, sender)
            torn = _torn(conn, stage, merged.failures)
            if not torn.is_staged:
                return merged
            raise _Undo
        take_out(stage, torn.documents, torn.failures, take)


def take_out(stage: Stage, documents: Iterable[str], failures: Sequence[Failure], take: Take) -> None:
    """Take documents out of the stage, whatever their tables."""
    listed = sorted(documents)
    if not listed:
        return
    for unit in stage.units.values():
        if unit.direction != "down":
            own = [f for f in failures if f.unit is unit]
            stage.staged[unit.table.name] -= take(unit, listed, own)


def _torn(conn: psycopg.Connection, stage: Stage, failures: Sequence[Failure]) -> _Torn:
    torn = _Torn(failures=failures)
    by_unit: dict[str, list[Failure]] = {}
    for f in failures:
        by_unit.setdefault(f.unit.table.name, []).append(f)
    for own in by_unit.values():
        given = {"ats": [f.at for f in own]}
        torn.documents.update(d for (d,) in conn.execute(own[0].unit.sql("documents_of"), given).fetchall())
    if torn.documents:
        listed = {"documents": sorted(torn.documents)}
        units = [u for u in stage.units.values() if u.direction != "down"]
        counts = (conn.execute(u.sql("of_documents"), listed).fetchone() or (0,) for u in units)
        torn.is_staged = sum(n for (n,) in counts) > len(failures) or any(f.is_written for f in failures)
    return torn


def _of_unread(unread: Iterable[Unread]) -> set[str]:
    """Documents of changes that could not even be staged."""
    found = set()
    for u in unread:
        if u.unit is not None:
            document = u.unit.document_of(row_of(u))
            if document is not None:
                found.add(document)
    return found
