"""Each planted bug is found: the chain with it breaks a promise within some hundred schedules."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from orchestrator import policies
from orchestrator.core import protocol
from orchestrator.core.changes import ORIGIN, Position
from orchestrator.core.protocol import Marks, Place, Standing
from orchestrator.policies.contest import Cell, Choice, Policy, Rules, Winner
from tests.model.chain import Change, Stamp, Till, Upload, collapsed
from tests.model.machine import CalmMachine, Machine
from tests.model.oracle import Watched
from tests.model.test_chain import another_life, between_two_changes, come_back_together, former_life

SCHEDULES_MAX = int(os.environ.get("TILLSYNC_PLANTED_SCHEDULES", "3000"))
STEPS = 50


class NoEcho(Watched):
    def wants_echo(self, change: Change) -> bool:
        return False


class AckBeforeMerge(Watched):
    """What is taken is marked first, and merged by a transaction of its own, which may never be."""

    def merge(self, upload: Upload, follows: bool) -> None:
        if upload.uid % 5:
            super().merge(upload, follows)


class PendingOverwritten(Watched):
    def skipped(self, till: Till) -> set[str]:
        return set()


class NoDedup(Watched):
    def follows(self, standing: Standing) -> bool:
        return True


class GapIgnored(Watched):
    """An upload that does not follow is merged, though what comes before it has not arrived."""

    def place(self, standing: Standing) -> Place:
        return Place.NEXT if standing.place is Place.GAP else standing.place


class TickTokenIgnored(Watched):
    def is_same_tick(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return one[0] == other[0]


class OfficeTokenIgnored(Watched):
    """Head office takes any newest tick of the relay for its own."""

    @staticmethod
    def base_of(top: int, epochs: tuple[int, int], *, is_intended: bool, newest: int, published: bool) -> Any:
        return protocol.base_of(top, epochs, is_intended=True, newest=newest, published=published)


class NonceIgnored(Watched):
    def is_own(self, till: Till, pos: Position) -> bool:
        return pos == ORIGIN or pos.seq <= len(till.log)


class AnsweredInALostTick(Watched):
    """What was answered stays answered, though head office and the relay came back from backups of one moment."""

    @staticmethod
    def answered(now: Marks, epoch: int, ack: Position, *, is_own: bool, gap: bool, is_anew: bool = False) -> Marks:
        return protocol.answered(now, epoch, ack, is_own=is_own, gap=gap)


class AnsweredToAnotherLife(Watched):
    """The same, where what they remember of the till is none of its own history."""

    @staticmethod
    def answered(now: Marks, epoch: int, ack: Position, *, is_own: bool, gap: bool, is_anew: bool = False) -> Marks:
        return protocol.answered(now, epoch, ack, is_own=is_own, gap=gap, is_anew=is_anew and is_own)


class FormerLifeWaits(Watched):
    """What nothing leads to stays in the relay until that comes, which it never will."""

    @staticmethod
    def overtaken(seen: Any) -> frozenset[tuple[str, int]]:
        return frozenset()


class NotSentAgainAfterNewEpoch(Watched):
    """Head office came back from a backup, and nobody sends again what it lost."""

    @staticmethod
    def answered(now: Marks, epoch: int, ack: Position, *, is_own: bool, gap: bool, is_anew: bool = False) -> Marks:
        right = protocol.answered(now, epoch, ack, is_own=is_own, gap=gap, is_anew=is_anew)
        return replace(right, resend=now.resend)


class CollapsedTheWrongWay(Watched):
    """Of several changes of a row the last one's base is taken."""

    def merge(self, upload: Upload, follows: bool) -> None:
        new = [c for c in upload.changes if follows or (upload.node, c.pos) not in self.central.inbound]
        last = {c.pk: c for c in new}
        for change in collapsed(new, self.rules):
            self.merge_one(upload.node, replace(change, old=last[change.pk].old))
        for change in new:
            self.central.inbound[upload.node, change.pos] = change


class AllChangesOfARowTogether(Watched):
    """What a till took from head office between two of its changes is counted as its own."""

    def merge(self, upload: Upload, follows: bool) -> None:
        new = [c for c in upload.changes if follows or (upload.node, c.pos) not in self.central.inbound]
        firsts = {c.pk: c for c in reversed(new)}
        for change in {c.pk: c for c in new}.values():
            self.merge_one(upload.node, replace(change, old=firsts[change.pk].old))
        for change in new:
            self.central.inbound[upload.node, change.pos] = change


class EqualStampsByArrival(Watched):
    def is_newer(self, stamp: Stamp, ours: Stamp) -> bool:
        return stamp[0] >= ours[0]


class EqualStampsByTheOtherNode(Watched):
    def is_newer(self, stamp: Stamp, ours: Stamp) -> bool:
        return stamp[0] > ours[0] or (stamp[0] == ours[0] and stamp[1] < ours[1])


class OlderWins(Watched):
    def is_newer(self, stamp: Stamp, ours: Stamp) -> bool:
        return stamp < ours


def with_policy(letter: str, change: Callable[[Rules], Rules]) -> type[Watched]:
    class Swapped(Watched):
        def __init__(self) -> None:
            super().__init__()
            self.rules[letter] = change(self.rules[letter])

    return Swapped


def swapped_cell(name: str) -> Callable[[Rules], Rules]:
    return lambda rules: replace(rules, table=replace(rules.table, cell=_policy(name).cell))


def swapped_row(name: str) -> Callable[[Rules], Rules]:
    return lambda rules: replace(rules, table=replace(rules.table, row=_policy(name).row))


def column(name: str, cell: Callable[[Cell], Choice]) -> Callable[[Rules], Rules]:
    def change(rules: Rules) -> Rules:
        return replace(rules, columns={**rules.columns, name: replace(rules.columns[name], cell=cell)})

    return change


def _policy(name: str) -> Policy:
    return policies._MAKERS[name](None, policies._FALLBACKS["central_wins"])  # type: ignore[arg-type]


def _theirs(c: Cell) -> Choice:
    return Choice(c.theirs, Winner.TILL, conflict=False)


def _overwrites(rules: Rules) -> Rules:
    return replace(rules, table=replace(rules.table, cell=_theirs))


BUGS: dict[str, type[Watched]] = {
    "central_wins: its cell is branch_wins'": with_policy("c", swapped_cell("branch_wins")),
    "branch_wins: its cell is central_wins'": with_policy("b", swapped_cell("central_wins")),
    "column_merge: an edit loses to a delete": with_policy("m", swapped_row("central_wins")),
    "central_wins: a deleted row comes back": with_policy("c", swapped_row("branch_wins")),
    "additive takes the absolute": with_policy("c", column("qty", _theirs)),
    "state_machine goes back": with_policy("m", column("status", _theirs)),
    "append_only overwrites": with_policy("s", _overwrites),
    "the echo is left out": NoEcho,
    "acked before it is merged": AckBeforeMerge,
    "pending rows are not skipped": PendingOverwritten,
    "dedup by position is left out": NoDedup,
    "a gap is ignored": GapIgnored,
    "a till ignores the tick's token": TickTokenIgnored,
    "head office ignores the tick's token": OfficeTokenIgnored,
    "the nonce is ignored": NonceIgnored,
    "nothing is sent again after a new epoch": NotSentAgainAfterNewEpoch,
    "changes of a row are collapsed from the last base": CollapsedTheWrongWay,
    "equal stamps are decided by arrival": EqualStampsByArrival,
    "equal stamps are decided by the other node": EqualStampsByTheOtherNode,
    "the older wins": OlderWins,
}


RARE = {
    "column_merge: an edit loses to a delete",
    "state_machine goes back",
    "a gap is ignored",
    "nothing is sent again after a new epoch",
    "equal stamps are decided by arrival",
}
"""Those that take more than half a second to be found."""


def found_after(bug: type[Watched], schedules: int) -> int | None:
    """How many random schedules it takes."""

    class Broken(Machine):
        chain = bug

    class CalmlyBroken(CalmMachine):
        chain = bug

    for seed in range(schedules):
        try:
            play((Broken, CalmlyBroken)[seed % 2], seed)
        except AssertionError:
            return seed + 1
    return None


def play(machine: type[Machine], seed: int) -> None:
    """One schedule without hypothesis, which is some ten times as fast."""
    rng, played = Random(seed), machine()
    rules = [rule for name in RULES if (rule := getattr(played, name))]
    for _ in range(STEPS):
        rng.choice(rules)(seed=rng.getrandbits(20))
    played.teardown()


RULES = sorted(name for name, rule in vars(Machine).items() if hasattr(rule, "hypothesis_stateful_rule"))


def test_an_answer_in_a_tick_that_was_lost_does_not_count() -> None:
    with pytest.raises(AssertionError):
        come_back_together(AnsweredInALostTick())


def test_an_answer_to_another_life_does_not_count() -> None:
    with pytest.raises(AssertionError):
        another_life(AnsweredToAnotherLife())


def test_an_upload_of_a_former_life_does_not_wait_for_ever() -> None:
    with pytest.raises(AssertionError):
        former_life(FormerLifeWaits())


def test_what_others_did_between_two_changes_is_not_the_tills() -> None:
    with pytest.raises(AssertionError):
        between_two_changes(AllChangesOfARowTogether())


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n in RARE else []) for n in BUGS])
def test_a_planted_bug_is_found(name: str) -> None:
    assert found_after(BUGS[name], SCHEDULES_MAX) is not None
