"""The chain of the model on real parts: PostgreSQL databases, SQLite files, and the agents themselves.

The machine of `machine` drives it by the same names, so what must hold is said once. A backup of head office or the
relay is a copy of the database, a till's a copy of its file; an agent dies at one of its own named points.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.central import branches
from orchestrator.central.purge import Purger
from orchestrator.core import wire
from orchestrator.core.changes import decode_upload
from orchestrator.core.world import World
from orchestrator.demo.databases import Server
from orchestrator.postgres import connect
from orchestrator.settings import RetentionSettings
from tests.integration.cases.shop import Died, Shop, Till, dying_at
from tests.integration.cases.test_restored_together import Machine
from tests.integration.cases.test_restores import copy_of, put_back
from tests.model import papers
from tests.model.chain import COLUMNS, STATES, TABLES, Row

STORES = {"T1": "A", "T2": "A", "T3": "B"}
BOTH = [letter for letter in TABLES if letter != "s"]
_CENTRAL = "CREATE TABLE {0} (pk text PRIMARY KEY, store text, note text, qty numeric, status text);"
_SALES = "CREATE TABLE s (till text, pk text, store text, note text, qty numeric, status text, PRIMARY KEY (till, pk));"
_TILL = "CREATE TABLE {0} (pk TEXT PRIMARY KEY, store TEXT, note TEXT, qty NUMERIC, status TEXT);"
_OWN = {"qty": "additive", "status": {"policy": "state_machine", "states": list(STATES)}}
_CHANNELS: list[dict[str, Any]] = [
    {
        "name": "rows",
        "direction": "both",
        "table": [
            {"name": letter, "filter": "store = :branch_id", "policy": TABLES[letter], "column_policy": _OWN}
            for letter in BOTH
        ],
    },
    {"name": "sales", "direction": "up", "table": [{"name": "s", "policy": "append_only", "set": {"till": ":node"}}]},
    dict(papers.CHANNEL),
]
_TILL_DIES = (
    *("push.sealed", "push.part", "push.sent", "push.stored", "pull.fetched", "pull.staged"),
    *("apply.begun", "apply.rows", "apply.committed", "restored.fetched", "restored.put"),
)
_OFFICE_DIES = (
    *("collect.fetched", "collect.merged", "collect.committed", "collect.marked"),
    *("publish.routed", "publish.intent", "publish.relay"),
)

TICK_SECONDS = 0.002
"""Changes are stamped in milliseconds: two that the oracle tells apart are not of the same one."""

Position = tuple[str, int, int]
Edit = tuple[str, Row | None, Row | None]


@dataclass
class RealTill:
    """A till as the machine sees it. Its store is what head office says."""

    node: str
    real: Till
    shop: Shop

    @property
    def store(self) -> str:
        ((store,),) = self.shop.sql("SELECT params ->> 'branch_id' FROM tillsync.node WHERE node = %s", self.node)
        return str(store)

    @property
    def rows(self) -> dict[str, Row]:
        return {row[0]: _row(row[1:]) for letter in TABLES for row in self.real.sql(f"SELECT * FROM {letter}")}

    def positions(self) -> set[Position]:
        found = self.real.sql("SELECT seq, nonce FROM tillsync_changelog WHERE op <> 'M'")
        return {(self.node, seq, nonce) for seq, nonce in found}

    def changes(self) -> dict[Position, Edit]:
        """What its changelog tells of rows."""
        found: dict[Position, Edit] = {}
        for shape, listed in self.real.sql("SELECT id, till_columns FROM tillsync_shape"):
            names = json.loads(listed)
            if names[1:] == list(COLUMNS):
                images = ", ".join(f"{image}{i}" for image in "on" for i in range(1, 6))
                query = f"SELECT seq, nonce, {images} FROM tillsync_changelog WHERE tab = ? AND op <> 'M'"
                for seq, nonce, *values in self.real.sql(query, shape):
                    old, new = values[:5], values[5:]
                    pk = str(old[0] if new[0] is None else new[0])
                    found[self.node, seq, nonce] = (pk, _image(old), _image(new))
        return found


class RealCentral:
    """Head office as the machine sees it. edits: its own, which come and go with its backups."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.edits: list[Edit] = []

    @property
    def rows(self) -> dict[str, Row]:
        both = " UNION ALL ".join(f"SELECT pk, store, note, qty::text, status FROM {letter}" for letter in TABLES)
        return {row[0]: _row(row[1:]) for row in self.shop.sql(both)}

    def inbound(self) -> set[Position]:
        merged = "SELECT node, u.seq, u.nonce FROM tillsync.inbound i, unnest(i.seqs, i.nonces) u (seq, nonce)"
        return {(node, seq, nonce) for node, seq, nonce in self.shop.sql(merged)}

    def contested(self, where: str) -> set[str]:
        return {pk for (pk,) in self.shop.sql(f"SELECT key ->> 'pk' FROM tillsync.conflict WHERE {where}")}


class RealChain:
    """Head office, relay and three tills; begun anew by `begin` for each schedule.

    central, till, channels: tables of either end, and channels of theirs, beside those that every schedule has.
    drifted: something was written that nobody captured, so that not all of what happened can be told.
    """

    def __init__(
        self,
        database: Callable[..., str],
        server: Server,
        world: World,
        directory: Path,
        *,
        central: str = "",
        till: str = "",
        channels: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        both = "".join(map(_CENTRAL.format, BOTH)) + _SALES + papers.CENTRAL + central
        tables = "".join(map(_TILL.format, TABLES)) + papers.TILL + till
        told = [*_CHANNELS, *map(dict, channels)]
        self.shop = Shop(database, world, directory, central=both, till=tables, channels=told)
        self.world, self.directory, self._machine = world, directory, Machine(self.shop, server)
        for node, store in STORES.items():
            self.shop.till(node, store)
        self._settings, self._prepared = self.shop.settings, self.shop.prepared
        self.shop.settle()
        self.back_up("office", "relay", suffix="new")
        self._new = {node: copy_of(till, directory / f"{node}.new") for node, till in self.shop.tills.items()}
        self.begin()

    def begin(self, part_rows_max: int = 5_000) -> None:
        """A chain with nothing in it, whose uploads and ticks are cut into parts of so many rows."""
        cut = {"part_rows_max": part_rows_max}
        self.shop.settings, self.shop.prepared = self._settings.model_copy(update=cut), self._prepared
        for till in self.shop.tills.values():
            till.settings = till.settings.model_copy(update=cut)
        self.put_back("office", "relay", suffix="new")
        for node, file in self._new.items():
            put_back(self.shop.tills[node], file)
        self.central = RealCentral(self.shop)
        self.tills = {node: RealTill(node, self.shop.tills[node], self.shop) for node in STORES}
        self.images: dict[Position, Edit] = {}
        self.clock, self.calm, self._papers, self.moved = 1, True, 0, False
        self.forgot = self.drifted = False
        self.sales: dict[str, set[Row]] = {}
        self.dead: set[str] = set()
        self.notes: dict[str, list[tuple[tuple[int, str], str]]] = {}

    # The applications ------------------------------------------------------------------------------------------------

    def office_write(self, pk: str, new: Row | None) -> None:
        old = self.central.rows.get(pk)
        if _written(self.shop.sql, "%s", pk, old, new):
            self.central.edits.append((pk, old, new))

    def till_write(self, till: RealTill, pk: str, new: Row | None) -> None:
        old = till.rows.get(pk)
        known = till.positions()
        _written(till.real.sql, "?", pk, old, new)
        for position in till.positions() - known:
            self.images[position] = (pk, old, new)

    def papers(self, till: RealTill | None, rng: Random) -> None:
        """Somebody writes documents, or values that others have, too."""
        self._papers += 1
        numbers = itertools.count()
        fresh = lambda: f"{till.node if till else 'HO'}-{self._papers}-{next(numbers)}"  # noqa: E731
        if till is None:
            papers.write(self.shop.sql, "%s", rng, rng.choice("AB"), fresh)
        else:
            papers.write(till.real.sql, "?", rng, till.store, fresh)

    def move(self, till: RealTill) -> None:
        """The till is another store's from now on. What it has written of the old store's and not sent is parked."""
        store = "B" if till.store == "A" else "A"
        branches.put(self.shop.conn, self.shop.prepared, till.node, {"branch_id": store})
        self.moved = True

    # The agents ------------------------------------------------------------------------------------------------------

    def till_round(self, till: RealTill, rng: Random) -> None:
        """A till that was restored may enter what it had sent in part as if it had just been written."""
        self._round(till.real, rng, _TILL_DIES)
        self.images = till.changes() | self.images

    def office_round(self, rng: Random) -> None:
        self._round(self.shop, rng, _OFFICE_DIES)

    def _round(self, side: Shop | Till, rng: Random, points: tuple[str, ...]) -> None:
        dies = rng.random() < 0.4
        if dies:
            side.restart(dying_at(self.world, rng.choice(points)))
        try:
            side.agent.round()
        except Died:
            pass
        finally:
            if dies:
                side.restart()

    def drain(self) -> None:
        """Until nothing moves, also when time has gone by: a till that missed it is asked again to close a gap."""
        moved = self.shop.settle(rounds=25)
        while moved:
            self.shop.sql("UPDATE tillsync.gap SET at = at - interval '1 minute'")
            moved = self.shop.settle(rounds=25)
        for till in self.tills.values():
            self.images = till.changes() | self.images

    # The faults ------------------------------------------------------------------------------------------------------

    def back_up(self, *which: str, suffix: str = "backup") -> None:
        names = [self._machine.named[one] for one in which]
        self._machine.copy({name: f"{name}_{suffix}" for name in names})

    def put_back(self, *which: str, suffix: str = "backup") -> None:
        names = [self._machine.named[one] for one in which]
        self._machine.copy({f"{name}_{suffix}": name for name in names})

    def forget(self) -> None:
        """All that has been delivered goes, at the end of a round of head office's, as if it were older than is kept.

        With it goes what a till sent in part and never the rest: a file that came back from a backup tells of it no more.
        """
        self.shop.agent.round()
        in_part = {
            self.images[p][0]
            for p in self.images.keys()
            & self._sent("NOT last AND uid NOT IN (SELECT uid FROM relay.upload WHERE last)")
        }
        at_once = RetentionSettings(ticks_days=1e-9, snapshots_days=1e-9, uploads_days=1e-9)
        Purger(self.shop.conn, self.shop.relay, self.world, self.shop.prepared, at_once).run(at_once=True)
        self.dead |= (in_part & self.sales.keys()) - self.alive()
        self.forgot = True

    def alive(self) -> set[str]:
        """Sales that are still told of where somebody works."""
        told = self._sent("true").union(*(till.positions() for till in self.tills.values()))
        return {self.images[p][0] for p in told if p in self.images and self.images[p][2]} | set(self.central.rows)

    def _sent(self, where: str) -> set[Position]:
        """Positions that the relay has in uploads."""
        with connect(self.shop.relay_dsn, "auditor") as auditor:
            parts = auditor.execute(f"SELECT node, frame FROM relay.upload WHERE {where}".encode()).fetchall()
        changes = ((node, change) for node, frame in parts for change in decode_upload(wire.unpack(frame)).changes)
        return {(node, change[0], change[1]) for node, change in changes}

    def close(self) -> None:
        self.shop.close()


def _image(values: list[Any]) -> Row | None:
    return None if values[0] is None else _row(tuple(values[1:]))


def _row(values: tuple[Any, ...]) -> Row:
    store, note, qty, status = map(str, values)
    return (store, note, qty, status)


def _written(sql: Callable[..., Any], mark: str, pk: str, old: Row | None, new: Row | None) -> bool:
    """One statement of an application's, that says only what it changes."""
    if old == new:
        return False
    time.sleep(TICK_SECONDS)
    if new is None:
        sql(f"DELETE FROM {pk[0]} WHERE pk = {mark}", pk)
    elif old is None:
        sql(f"INSERT INTO {pk[0]} (pk, {', '.join(COLUMNS)}) VALUES ({', '.join([mark] * 5)})", pk, *_typed(new))
    else:
        at = [i for i in range(len(COLUMNS)) if old[i] != new[i]]
        sets = ", ".join(f"{COLUMNS[i]} = {mark}" for i in at)
        sql(f"UPDATE {pk[0]} SET {sets} WHERE pk = {mark}", *(_typed(new)[i] for i in at), pk)
    return True


def _typed(row: Row) -> tuple[str, str, int, str]:
    return (row[0], row[1], int(row[2]), row[3])
