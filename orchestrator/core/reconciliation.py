"""What a comparison of head office with its tills comes to: the report that is shown, kept and rendered. Pure.

Counts count rows. `missing`: head office has it and the till should, but does not. `extra`: the till alone has it.
`different`: both have it, with other values. Rows that are on their way (`in_flight`) or that wait for a decision
(`parked`) are counted apart: they are no differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

VERSION = 1
"""The version of the report's JSON."""

DIFFERENCES_MAX = 200
"""So many differing rows of a table are listed for one till; all of them are counted where `truncated` is not set."""

State = Literal["compared", "waiting", "offline"]
"""`waiting`: asked, and not answered yet. `offline`: not heard of in time; what it said last stands."""

Kind = Literal["missing", "extra", "different"]


@dataclass(frozen=True)
class ColumnDifference:
    """One column of a differing row, as canonical text; None is NULL."""

    column: str
    central: str | None
    till: str | None


@dataclass(frozen=True)
class RowDifference:
    """One row. `note`: what a reader should know, such as that two texts look the same."""

    key: dict[str, str | None]
    kind: Kind
    note: str = ""
    columns: tuple[ColumnDifference, ...] = ()


@dataclass(frozen=True)
class TableComparison:
    """One table at one till. `truncated`: there are more differences than are counted or listed. `note`: what was not
    compared, and why."""

    table: str
    channel: str
    direction: str
    central_rows: int
    till_rows: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    in_flight: int = 0
    parked: int = 0
    conflicts: int = 0
    truncated: bool = False
    differences: tuple[RowDifference, ...] = ()
    note: str = ""

    @property
    def equal(self) -> bool:
        return self.missing == self.extra == self.different == 0 and not self.truncated


@dataclass(frozen=True)
class BookDifference:
    """A value of a group (a day, an item) that is not the same at both ends; None where an end has none."""

    group: dict[str, str | None]
    value: str
    central: str | None
    till: str | None


BookState = Literal["compared", "in_flight", "failed"]
"""`in_flight`: rows that the check reads were on their way each time. `failed`: an end could not say; see `note`."""


@dataclass(frozen=True)
class BookComparison:
    """A declared check of the books at one till. `ok`: nothing speaks against it; never where it could not be made."""

    book: str
    message: str
    ok: bool
    state: BookState = "compared"
    groups: int = 0
    note: str = ""
    truncated: bool = False
    differences: tuple[BookDifference, ...] = ()


@dataclass(frozen=True)
class BranchComparison:
    """One till, as of a tick. `tick` and what follows are None where the till never answered."""

    branch: str
    state: State
    tick: int | None = None
    tick_at: datetime | None = None
    age_seconds: float | None = None
    tables: tuple[TableComparison, ...] = ()
    books: tuple[BookComparison, ...] = ()

    @property
    def equal(self) -> bool:
        return all(t.equal for t in self.tables) and all(b.ok for b in self.books)


@dataclass(frozen=True)
class Report:
    """All tills that were asked about. `equal`: of all that was compared, nothing differs."""

    made_at: datetime
    equal: bool
    branches: tuple[BranchComparison, ...]
    version: int = VERSION


def encode(report: Report) -> bytes:
    """The report as JSON."""
    return msgspec.json.encode(report)


def decode(body: bytes | str) -> Report:
    """Reads a report that was kept. Raises msgspec.MsgspecError for another version's."""
    return msgspec.json.decode(body, type=Report)
