"""What becomes of one row that a till changed: pure, and the same that merging at head office does to many at once.

Head office's SQL finds the rows that no policy has to judge and merges them in sets (`classify` in
sql/central/merge/queries.sql says the same as `uncontested`); the others come here. Images are lists of canonical texts
in the order of their fields. Which values differ is given, as digits: whoever has the types says it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from orchestrator.policies.contest import Answer, Cell, Decision, Judges, Kind, Presence, Rules, decide

Image = Sequence[str | None]


class Placed(Protocol):
    """A column that is no key, and its place in images."""

    @property
    def name(self) -> str: ...
    @property
    def place(self) -> int: ...


class Meeting(NamedTuple):
    """A till's change of a row, and head office's row.

    had, has: whether the till had the row before and has it now; there: whether head office has it. An image of what
    is not there is all None. Three say with a 1 for each field where two images differ. newer: the till's change was
    made later. answers: see Cell.
    """

    had: bool
    has: bool
    there: bool
    new: Image
    old: Image
    central: Image
    new_old: str
    central_old: str
    new_central: str
    newer: bool = False
    answers: Mapping[str, Answer | None] = MappingProxyType({})

    @property
    def kind(self) -> Kind:
        if not self.has:
            return Kind.GONE_THERE
        if not self.there:
            return Kind.GONE_HERE
        return Kind.BOTH_CHANGED if self.had else Kind.BOTH_MADE

    def cell(self, column: Placed) -> Cell:
        place = column.place
        moved_here = not self.had or self.central_old[place] == "1"
        images = self.old[place], self.new[place], self.central[place]
        return Cell(*images, moved_here, column.name, self.newer, self.answers)

    def takes(self, place: int) -> bool:
        """Whether a column that needs no policy has the till's value: it changed it, or both have the same."""
        return self.new_old[place] == "1" if self.had else self.new_central[place] == "0"

    def needs(self, place: int, judges: Judges) -> bool:
        """Whether a column of a row that both sides have needs its policy."""
        if judges is not Judges.MOVES and self.new_central[place] == "0":
            return False
        if not self.had:
            return True
        moved_here = self.central_old[place] == "1" or judges is Judges.EVERY_CHANGE
        return self.new_old[place] == "1" and moved_here


class Merged(NamedTuple):
    """What was decided, the columns that were judged, and the row as it is afterwards: None where there is none."""

    decision: Decision
    judged: tuple[str, ...]
    row: Image | None


@dataclass(frozen=True)
class Difference:
    """Whether two values of a column, given by its place, are not the same."""

    differs: Callable[[int, str | None, str | None], bool]

    def digits(self, one: Image, other: Image) -> str:
        return "".join("01"[self.differs(i, a, b)] for i, (a, b) in enumerate(zip(one, other, strict=True)))


def meet(base: Image | None, theirs: Image | None, ours: Image | None, width: int, difference: Difference) -> Meeting:
    """The meeting of three images of `width` fields."""
    nothing: Image = [None] * width
    old, new, central = (nothing if i is None else i for i in (base, theirs, ours))
    digits = difference.digits
    had, has, there = base is not None, theirs is not None, ours is not None
    return Meeting(had, has, there, new, old, central, digits(new, old), digits(central, old), digits(new, central))


def in_turn(
    steps: Iterable[tuple[Image | None, Image | None]], differs: Callable[[Image, Image], bool]
) -> Iterator[list[tuple[Image | None, Image | None]]]:
    """Several changes of one row, as those that may be taken together: each goes on where the one before it ended."""
    run: list[tuple[Image | None, Image | None]] = []
    for old, new in steps:
        before = run[-1][1] if run else None
        if run and old is not None and (before is None or differs(before, old)):
            yield run
            run = []
        run.append((old, new))
    if run:
        yield run


def come_to(steps: Iterable[tuple[Image | None, Image | None]], rules: Rules) -> tuple[Image | None, Image | None]:
    """What changes of one row in one turn come to: the first one's old image and the last one's new image.

    Deletes count for nothing where a till may not delete; nothing at all is no row before and none after.
    """
    counted = [step for step in steps if step[1] is not None or rules.table.deletes]
    return (counted[0][0], counted[-1][1]) if counted else (None, None)


def uncontested(m: Meeting, columns: Sequence[Placed], rules: Rules) -> str | None:
    """What becomes of a row that no policy has to judge, as an action of `Decision`; None where one has to."""
    if not m.has:
        if not m.had or not m.there or not rules.table.deletes:
            return "keep"  # it came and went, it is gone already, or the till tidies up after itself
        return None if any(m.central_old[c.place] == "1" for c in columns) else "delete"
    if not m.there:
        return None if m.had else "make"
    if any(m.needs(c.place, rules.of(c.name).judges) for c in columns):
        return None
    return "put" if m.had else "keep"


def judge(m: Meeting, columns: Sequence[Placed], rules: Rules) -> Merged:
    """Let the policies judge a row."""
    cells = {}
    if m.has and m.there:
        cells = {c.name: m.cell(c) for c in columns if m.needs(c.place, rules.of(c.name).judges)}
    decision = decide(Presence(m.kind, m.newer, m.answers), cells, rules)
    differs = m.new_old if m.has else m.central_old
    judged = tuple(cells) or tuple(c.name for c in columns if differs[c.place] == "1")
    return Merged(decision, judged, _row(m, columns, decision.action, decision.values))


def merge(m: Meeting, columns: Sequence[Placed], rules: Rules) -> tuple[Image | None, Merged | None]:
    """The row as it is afterwards, and what the policies said where they had to."""
    action = uncontested(m, columns, rules)
    if action is None:
        merged = judge(m, columns, rules)
        return merged.row, merged
    return _row(m, columns, action, {}), None


def _row(m: Meeting, columns: Sequence[Placed], action: str, values: Mapping[str, str | None]) -> Image | None:
    if action == "make":
        return m.new
    if action == "delete" or not m.there:
        return None
    row = list(m.central)
    if action == "put":
        for c in columns:
            if c.name in values:
                row[c.place] = values[c.name]
            elif m.takes(c.place):
                row[c.place] = m.new[c.place]
    return row
