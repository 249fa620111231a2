"""Hypothesis drives a chain: what applications write, what agents do, where they die, what is restored from a backup."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.model.chain import COLUMNS, STATES, Central, Relay, Row, Till
from tests.model.oracle import Watched

NODES = ("T1", "T2", "T3")
SEED = st.integers(0, 2**20)


class Machine(RuleBasedStateMachine):
    """The chain of `chain`, its applications, and the faults that it must survive."""

    chain: type[Watched] = Watched

    def __init__(self) -> None:
        super().__init__()
        self.world = self.chain()
        self.wrote: set[str] = set()
        self.made = 0
        self.backups: dict[str, Till] = {}
        self.central_backup: Central | None = None
        self.relay_backup: Relay | None = None

    # The applications ------------------------------------------------------------------------------------------------

    @rule(seed=SEED)
    def office_writes(self, seed: int) -> None:
        rng = Random(seed)
        self._time_for("")
        pk, new = self._written(rng, self.world.central.rows, rng.choice("AB"), moves=True)
        self.world.office_write(pk, new)
        self._noted(pk, "", new)

    @rule(seed=SEED)
    def till_writes(self, seed: int) -> None:
        rng = Random(seed)
        till = self.world.tills[rng.choice(NODES)]
        self._time_for(till.node)
        pk, new = self._written(rng, till.rows, till.store, moves=False)
        self.world.till_write(till, pk, new)
        self._noted(pk, till.node, new)

    @rule(seed=SEED)
    def till_sells(self, seed: int) -> None:
        rng, till = self._later(seed)
        self._sell(rng, till)

    @rule(seed=SEED)
    def all_write_at_once(self, seed: int) -> None:
        """The same row, in the same moment."""
        rng, till = self._later(seed)
        pk = _chosen(rng, till.rows, "nnbcm", 1)
        if pk is None or pk[-1] == "x":
            return
        for other in self.world.tills.values():
            if pk in other.rows:
                new = self._edited(rng, pk, other.rows[pk], moves=False)
                self.world.till_write(other, pk, new)
                self._noted(pk, other.node, new)
        self.wrote = set(NODES)

    @rule(seed=SEED)
    def till_changes_a_sale(self, seed: int) -> None:
        """It must not, and some do: head office keeps what was written first."""
        rng, till = self._later(seed)
        pk = _chosen(rng, till.rows, "s", 1)
        if pk is not None:
            self._time_for(till.node)
            row = till.rows[pk]
            changed = (row[0], row[1], row[2] + "0", row[3])
            self.world.till_write(till, pk, changed if rng.random() < 0.7 else None)
            self.world.sales[pk].add(changed)

    # The agents ------------------------------------------------------------------------------------------------------

    @rule(seed=SEED)
    def push(self, seed: int) -> None:
        rng, till = self._later(seed)
        self.world.push(till, dies=rng.random() < 0.2)

    @rule(seed=SEED)
    def collect(self, seed: int) -> None:
        rng, _ = self._later(seed)
        self.world.collect(dies_after=rng.choice((None, None, 0, 1, 2)))

    @rule(seed=SEED)
    def tick(self, seed: int) -> None:
        rng, _ = self._later(seed)
        self.world.tick(dies_at=rng.choice(("", "", "", "intent", "relay")))

    @rule(seed=SEED)
    def pull(self, seed: int) -> None:
        rng, till = self._later(seed)
        self.world.pull(till, ticks_max=rng.choice((99, 99, 0, 1)))

    # The faults ------------------------------------------------------------------------------------------------------

    @rule(seed=SEED)
    def a_till_is_backed_up_or_restored(self, seed: int) -> None:
        rng, till = self._later(seed)
        if till.node in self.backups and rng.random() < 0.6:
            self.world.tills[till.node] = self.backups[till.node].copy()
            self._lost()
        else:
            self.backups[till.node] = till.copy()

    @rule(seed=SEED)
    def head_office_or_the_relay_is_backed_up_or_restored(self, seed: int) -> None:
        """One of them, or both at once."""
        rng, _ = self._later(seed)
        restores, which = rng.random() < 0.5, rng.choice(("office", "relay", "both", "both"))
        if which != "relay":
            if restores and self.central_backup is not None:
                self.world.central = self.central_backup.copy()
            self.central_backup = self.world.central.copy()
        if which != "office":
            if restores and self.relay_backup is not None:
                self.world.relay = self.relay_backup.copy()
            self.relay_backup = self.world.relay.copy()
        if restores:
            self._lost()

    @rule(seed=SEED)
    def the_relay_forgets_what_was_taken(self, seed: int) -> None:
        rng, _ = self._later(seed)
        if rng.random() < 0.3:
            relay, taken = self.world.relay, self.world.central.taken
            relay.uploads = [u for u in relay.uploads if u.uid not in taken]

    def teardown(self) -> None:
        self.world.drain()
        self.world.check()

    # The rest --------------------------------------------------------------------------------------------------------

    def _written(self, rng: Random, rows: dict[str, Row], store: str, *, moves: bool) -> tuple[str, Row | None]:
        """A row that an application makes, changes or deletes. moves: it may give it to another store."""
        pk = _chosen(rng, rows, "cbnm", 0.75)
        if pk is None:
            return self._new_key(rng, "cbnm"), (store, "0", "0", STATES[0])
        if pk[-1] == "x" and rng.random() < 0.4:
            return pk, None
        return pk, self._edited(rng, pk, rows[pk], moves=moves)

    def _edited(self, rng: Random, pk: str, row: Row, *, moves: bool) -> Row:
        """Of `newest_wins` the note alone is written, so that it is known whose is the newest. A till may take a state
        back, which it must not, where the furthest is not asked for."""
        values = list(row)
        columns = [1] if pk[0] == "n" else rng.choice(((1,), (2,), (3,), (1, 2), (2, 3)))
        if moves and pk[0] != "n" and rng.random() < 0.2:
            columns = (0,)
        for place in columns:
            values[place] = {
                "store": rng.choice("AB"),
                "note": str(self._made()) if pk[0] == "n" else rng.choice("pqr"),
                "qty": str(int(row[2]) + rng.choice((-3, -1, 1, 2))),
                "status": rng.choice(STATES if pk[-1] == "x" and not moves else STATES[STATES.index(row[3]) :]),
            }[COLUMNS[place]]
        return (values[0], values[1], values[2], values[3])

    def _sell(self, rng: Random, till: Any) -> None:
        pk, new = self._new_key(rng, "s"), (till.store, "0", str(rng.randint(1, 9)), STATES[0])
        self.world.sales[pk] = {new}
        self.world.till_write(till, pk, new)

    def _new_key(self, rng: Random, letters: str) -> str:
        return f"{rng.choice(letters)}{self._made()}{rng.choice(('', '', 'x'))}"

    def _made(self) -> int:
        self.made += 1
        return self.made

    def _noted(self, pk: str, node: str, new: Row | None) -> None:
        if pk[0] == "n" and new is not None:
            self.world.notes.setdefault(pk, []).append(((self.world.clock, node), new[1]))

    def _time_for(self, node: str) -> None:
        """Two write in the same moment, one does not."""
        if node in self.wrote:
            self._later()
        self.wrote.add(node)

    def _later(self, seed: int = 0) -> tuple[Random, Till]:
        """The next moment; and a till that is drawn by lot."""
        self.world.clock += 1
        self.wrote.clear()
        rng = Random(seed)
        return rng, self.world.tills[rng.choice(NODES)]

    def _lost(self) -> None:
        self.world.calm = False
        self.world.dead |= set(self.world.sales) - self.world.alive()


class CalmMachine(Machine):
    """Nothing is restored, so nothing may be missing at all."""

    a_till_is_backed_up_or_restored: Any = None
    head_office_or_the_relay_is_backed_up_or_restored: Any = None


def _chosen(rng: Random, rows: dict[str, Row], letters: str, share: float) -> str | None:
    found: Sequence[str] = [pk for pk in rows if pk[0] in letters]
    return rng.choice(found) if found and rng.random() < share else None
