"""What must hold of the chain, said naively: nothing here knows how it is done."""

from __future__ import annotations

from collections import Counter

from tests.model.chain import STATES, TABLES, Chain, Change, Row

# Whether the row is there after one side changed it and it is gone on the other: (gone here, gone at the till).
STAYS = {"c": (False, True), "b": (True, False), "m": (True, True)}


class Watched(Chain):
    """A chain whose every merge is held against the tables in the policies' pages, and whose end is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.calm = True
        self.sales: dict[str, set[Row]] = {}
        self.dead: set[str] = set()
        self.notes: dict[str, list[tuple[tuple[int, str], str]]] = {}

    def promised(self, change: Change, ours: Row | None, outcome: Row | None, newer: bool) -> None:
        letter = change.pk[0]
        if letter == "s":
            assert outcome == (ours if ours or change.old else change.new), (
                "append_only: a row that was written changed"
            )
        elif change.old is None or change.new is None or ours is None:
            self._promised_row(letter, change, ours, outcome, newer)
        else:
            assert outcome is not None, "a row that both have vanished"
            self._promised_columns(letter, (change.old, change.new, ours), outcome, newer)

    @staticmethod
    def _promised_row(letter: str, change: Change, ours: Row | None, outcome: Row | None, newer: bool) -> None:
        base, theirs = change.old, change.new
        if base is None or (theirs is None and ours is None):
            return
        if theirs is not None and ours is None:
            stays = STAYS[letter][0] if letter in STAYS else newer
        elif theirs is None and ours != base:
            stays = STAYS[letter][1] if letter in STAYS else not newer
        else:
            stays = False
        assert (outcome is not None) == stays, f"{TABLES[letter]}: whether the row is there"

    @staticmethod
    def _promised_columns(letter: str, images: tuple[Row, Row, Row], outcome: Row, newer: bool) -> None:
        for place in (0, 1):
            base, theirs, ours = (image[place] for image in images)
            if theirs == base:
                right = ours
            elif ours in (base, theirs):
                right = theirs
            else:
                right = theirs if letter == "b" or (letter == "n" and newer) else ours
            assert outcome[place] == right, f"{TABLES[letter]}: a column that was changed on both sides"
        old, added, here = (int(image[2]) for image in images)
        assert int(outcome[2]) == here + added - old, "additive: a sum"
        assert STATES.index(outcome[3]) >= STATES.index(images[2][3]), "state_machine: a state went back"

    def check(self) -> None:
        """The chain has come to rest."""
        self._converged()
        self._once()
        self._sums()
        if self.calm:
            self._newest()

    def _converged(self) -> None:
        for till in self.tills.values():
            has = {pk: row for pk, row in till.rows.items() if pk[0] != "s"}
            assert has == self.content(till.store), f"{till.node} differs from head office"

    def _once(self) -> None:
        """Every sale that any copy still tells of is at head office, as its till has had it."""
        there = {pk: row for pk, row in self.central.rows.items() if pk[0] == "s"}
        for pk, images in self.sales.items():
            assert pk in there or pk in self.central.conflicts or pk in self.dead, "a sale was lost"
            assert pk not in there or there[pk] in images, "append_only: a sale is as nobody made it"
        for till in self.tills.values():
            for change in till.log:
                assert (till.node, change.pos) in self.central.inbound, "a change was not merged"

    def _sums(self) -> None:
        """additive: the first value, and what head office and the tills added. state_machine: the furthest."""
        for pk, row in self.central.rows.items():
            if pk[0] == "s" or pk.endswith("x") or pk in self.central.met_nothing:
                continue
            images = [(old, new) for key, old, new in self.central.edits if key == pk]
            images += [(c.old, c.new) for c in self.central.inbound.values() if c.pk == pk]
            total = sum(int(new[2]) - int(old[2] if old else "0") for old, new in images if new)
            assert int(row[2]) == total, "additive: the sum of all movements"
            furthest = max(STATES.index(new[3]) for old, new in images if new and not (old and old[3] == new[3]))
            assert STATES.index(row[3]) == furthest, "state_machine: the furthest state"

    def _newest(self) -> None:
        for pk, notes in self.notes.items():
            if pk in self.central.rows and not pk.endswith("x"):
                assert self.central.rows[pk][1] == max(notes)[1], "newest_wins: the newest"

    def alive(self) -> set[str]:
        """Sales that are still told of where somebody works; that one was deleted does not tell of it."""
        told = Counter(c.pk for till in self.tills.values() for c in till.log if c.new)
        told.update(c.pk for u in self.relay.uploads for c in u.changes if c.new)
        return set(told) | set(self.central.rows)
