"""The demo's end: `tillsync reconcile` over the whole chain, as one of its proofs, and its page."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from orchestrator.core.reconciliation import Report
from orchestrator.core.trend import totals
from orchestrator.demo.proofs import FAILURES_SHOWN_MAX, Proof

CLAIM = "`tillsync reconcile` finds every till equal to head office, and its books in order"
NAME = "tillsync-demo.html"


def proof(report: Report) -> Proof:
    """What the comparison of both ends came to. Every till has to have been compared."""
    sums = totals(report)
    failures = tuple(islice(_failures(report), FAILURES_SHOWN_MAX))
    return Proof("reconciliation", CLAIM, sums.rows + sums.books, failures)


def lay_down(page: Path, wanted: Path | None) -> Path:
    """Copies the page out of a directory that will be gone. In the temporary one it takes the place of the last demo's,
    unless that is somebody else's."""
    if wanted is not None:
        shutil.copyfile(page, wanted)
        return wanted
    common = Path(tempfile.gettempdir()) / NAME
    with suppress(OSError):
        if not common.is_symlink():
            shutil.copyfile(page, common)
            return common
    handle, name = tempfile.mkstemp(prefix="tillsync-demo-", suffix=".html")
    os.close(handle)
    shutil.copyfile(page, name)
    return Path(name)


def _failures(report: Report) -> Iterator[str]:
    for branch in report.branches:
        if branch.state != "compared":
            yield f"{branch.branch} was not compared: {branch.state}"
        for table in (t for t in branch.tables if not t.equal):
            yield (
                f"{branch.branch} {table.table}: {table.missing} missing, {table.extra} extra,"
                f" {table.different} different {table.note}"
            )
        for book in (b for b in branch.books if not b.ok or b.state != "compared"):
            yield f"{branch.branch} {book.book}: {book.state}, {len(book.differences)} differences {book.note}"
