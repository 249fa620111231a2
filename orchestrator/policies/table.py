"""What every policy makes of every meeting of two changes: docs/policies.md, made by asking the policies.

`python -m orchestrator.policies.table` prints the page.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

from orchestrator import policies
from orchestrator.core.plan import PolicySpec
from orchestrator.policies.contest import Answer, Rules
from orchestrator.policies.merging import Difference, Image, meet, merge

FUNCTION = "public.resolve"


class Column(NamedTuple):
    name: str
    place: int


class Meeting(NamedTuple):
    """A change at the till, one at head office, and the images (key, a, b) that they come to."""

    till: str
    office: str
    base: Image | None
    theirs: Image | None
    ours: Image | None


class Asked(NamedTuple):
    """A column of the table: a policy, and which change was made later."""

    title: str
    spec: PolicySpec
    newer: bool = False


COLUMNS = (Column("a", 1), Column("b", 2))
_WAS: Image = ("1", "10", "x")
MEETINGS = (
    Meeting("made", "nothing", None, ("1", "7", "x"), None),
    Meeting("made", "made alike", None, ("1", "7", "x"), ("1", "7", "x")),
    Meeting("made", "made otherwise", None, ("1", "7", "x"), ("1", "15", "x")),
    Meeting("changed", "nothing", _WAS, ("1", "7", "x"), _WAS),
    Meeting("changed", "changed another column", _WAS, ("1", "7", "x"), ("1", "10", "y")),
    Meeting("changed", "changed alike", _WAS, ("1", "7", "x"), ("1", "7", "x")),
    Meeting("changed", "changed otherwise", _WAS, ("1", "7", "x"), ("1", "15", "x")),
    Meeting("changed", "deleted", _WAS, ("1", "7", "x"), None),
    Meeting("changed and back", "changed", _WAS, _WAS, ("1", "15", "x")),
    Meeting("deleted", "nothing", _WAS, None, _WAS),
    Meeting("deleted", "changed", _WAS, None, ("1", "15", "x")),
    Meeting("deleted", "deleted", _WAS, None, None),
)
ASKED = (
    Asked("central_wins", PolicySpec("central_wins")),
    Asked("branch_wins", PolicySpec("branch_wins")),
    Asked("newest_wins, till later", PolicySpec("newest_wins"), newer=True),
    Asked("newest_wins, till earlier", PolicySpec("newest_wins")),
    Asked("column_merge", PolicySpec("column_merge")),
    Asked("additive", PolicySpec("additive")),
    Asked("state_machine, till further", PolicySpec("state_machine", ("10", "15", "7"))),
    Asked("state_machine, till behind", PolicySpec("state_machine", ("7", "10", "15"))),
    Asked("append_only", PolicySpec("append_only")),
    Asked("manual", PolicySpec("manual")),
    Asked("function", PolicySpec("function", function=FUNCTION)),
)
ANSWERS: Mapping[str, Answer | None] = {FUNCTION: {"a": "8"}}


def cell(meeting: Meeting, asked: Asked) -> str:
    """What becomes of the row, in a word or two; `!` where it is recorded as a conflict."""
    is_other = Difference(lambda _place, one, other: one != other)
    met = meet(meeting.base, meeting.theirs, meeting.ours, 3, is_other)
    met = met._replace(newer=asked.newer, answers=ANSWERS)
    row, judged = merge(met, COLUMNS, Rules(policies.get(asked.spec), {}))
    is_conflict = judged is not None and judged.decision.conflict
    return said(meeting, row) + (" !" if is_conflict else "")


def said(meeting: Meeting, row: Image | None) -> str:
    """What a row is, seen from a meeting."""
    if row is None:
        return "no row"
    is_tills, is_offices = list(row) == _list(meeting.theirs), list(row) == _list(meeting.ours)
    if is_tills and is_offices:
        return "as both have it"
    if is_tills:
        return "the till's"
    if is_offices:
        return "head office's"
    if row[1] == "8":
        return "the answer"
    if row[1] in ("12", "22", "4", "14"):
        return "the sum"
    return "both columns"


def _list(image: Image | None) -> list[str | None] | None:
    return None if image is None else list(image)


def page() -> str:
    """The whole of docs/policies.md."""
    titles = [asked.title for asked in ASKED]
    head = ["| at the till | at head office | " + " | ".join(titles) + " |", "|---" * (len(titles) + 2) + "|"]
    lines = [f"| {m.till} | {m.office} | " + " | ".join(cell(m, asked) for asked in ASKED) + " |" for m in MEETINGS]
    pages = (inspect.getdoc(import_module(f"orchestrator.policies.{name}")) or "" for name in policies.NAMES)
    return "\n".join([_INTRODUCTION, *head, *lines, _NOTES, *(_section(text) for text in pages)])


def _section(text: str) -> str:
    name, _, rest = text.partition(": ")
    return f"## {name}\n\n{rest[0].upper()}{rest[1:]}\n"


_INTRODUCTION = """# Policies: what becomes of two changes of one row

This page is made of the code (`python -m orchestrator.policies.table`), and a test holds each cell against what head
office does. A till and head office changed the same row without knowing of each other; columns that only one of them
changed are kept apart. `!` is recorded as a conflict with all images, and the till's operator is told once where his
change did not stand. In every case both ends have the same row in the end.
"""
_NOTES = """
A changed key is a row that was deleted and another that was made. What comes to nothing before it is sent is no change.
A number under `additive` is summed: 10 that became 7 and 15 is 12. `function` is shown with an answer that is a row. A
table's policy says whether a row exists; `column_policy` gives single columns another one.
"""

if __name__ == "__main__":
    sys.stdout.write(page())
