"""Random differences of every kind, in values of every type, at either end, while both ends are written to.

All of them are found and nothing else; they are repaired through the normal stream, and then both ends are equal. An
example is what is wrong at one till at one time: several tills share a round, so that an example costs little.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg import sql

from orchestrator.central import reconcile_repair, reconcile_report, reconcile_side
from orchestrator.core.reconciliation import BranchComparison
from orchestrator.core.world import World
from orchestrator.postgres import connect
from tests.integration.cases.shop import Shop, Till
from tests.integration.test_value_round_trips import KINDS, NAMES, SETTINGS, TYPES, text

EXAMPLES = int(os.environ.get("TILLSYNC_RECONCILE_EXAMPLES", "100"))
SEEDS = 5
"""So many shops, with EXAMPLES each."""

TILLS, ROWS, WRITTEN = 5, 60, 4
SOME = ["big", "price", "exact", "x", "f", "yes", "words", "at", "instant", "u", "photo"]
"""The columns of tables that go up: merging many columns costs the tests more than it tells of comparing."""

COLUMNS = {"d": NAMES, "b": SOME, "u": SOME}


def declared(table: str, *, at_till: bool) -> str:
    kinds = ((n, KINDS[n].till if at_till else KINDS[n].central) for n in COLUMNS[table])
    return ", ".join(f"{name} {kind}" for name, kind in kinds)


CENTRAL = f"""{TYPES}
CREATE TABLE d (id text PRIMARY KEY, {declared("d", at_till=False)});
CREATE TABLE b (id text PRIMARY KEY, {declared("b", at_till=False)});
CREATE TABLE u (till text, id text, {declared("u", at_till=False)}, PRIMARY KEY (till, id));
"""
TILL = "".join(f"CREATE TABLE {t} (id TEXT PRIMARY KEY, {declared(t, at_till=True)});" for t in "dbu")
CHANNELS = [
    {"name": "down", "direction": "down", "table": [{"name": "d"}]},
    {"name": "both", "direction": "both", "table": [{"name": "b", "policy": "column_merge"}]},
    {"name": "up", "direction": "up", "table": [{"name": "u", "set": {"till": ":node"}}]},
]

Expected = dict[str, set[tuple[str, ...]]]


@pytest.fixture
def shop(database: Callable[..., str], world: World, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(database, world, tmp_path, central=CENTRAL, till=TILL, channels=CHANNELS)
    name = made.sql("SELECT current_database()")[0][0]
    for setting in SETTINGS:
        made.conn.execute(sql.SQL("ALTER DATABASE {} SET {}").format(sql.Identifier(name), sql.SQL(setting)))
        made.sql(f"SET {setting}")
    for number in range(1, TILLS + 1):
        made.till(f"T{number}", "B1")
    yield made
    made.close()


@pytest.fixture
def own(shop: Shop) -> Iterator[psycopg.Connection]:
    """A connection as our commands have it; the shop's is somebody else's session."""
    with connect(shop.settings.central.dsn, "tillsync reconcile") as made:
        yield made


class Wrong:
    """Puts differences into both ends, and knows what a comparison has to say of them."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.r = shop, Random(seed)
        self.expected: Expected = {node: set() for node in shop.tills}
        self.free: dict[tuple[str, str], list[str]] = {}
        self.made = 0

    def fill(self) -> None:
        """Rows of every table, with keys of any script, which both ends have."""
        for table in "db":
            columns = sql.SQL(", ").join(map(sql.Identifier, ["id", *COLUMNS[table]]))
            with self.shop.conn.cursor().copy(
                sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
            ) as copy:
                for number in range(ROWS):
                    copy.write_row([self.key(number), *self.values(table)])
        self.shop.settle()
        for till in self.shop.tills.values():
            till.sql("INSERT INTO u SELECT * FROM b")
        self.shop.settle()

    def key(self, number: int) -> str:
        return f"{text(self.r)}{number}"

    def values(self, table: str) -> list[str | bytes | None]:
        return [None if self.r.random() < 0.1 else KINDS[n].draw(self.r) for n in COLUMNS[table]]

    def begin(self) -> None:
        """A new round: nothing is wrong, and every row may become so but for those that are written to."""
        for node, till in self.shop.tills.items():
            self.expected[node] = set()
            for table in "dbu":
                keys = [k for (k,) in till.sql(f"SELECT id FROM {table} ORDER BY rowid")][WRITTEN:]
                settled = {
                    k
                    for (k,) in self.shop.sql(
                        "SELECT key ->> 'id' FROM tillsync.conflict WHERE tab = %s", f"public.{table}"
                    )
                }
                self.free[node, table] = [k for k in keys if k not in settled]
        self._common = {t: set.intersection(*(set(self.free[n, t]) for n in self.shop.tills)) for t in "db"}

    def take(self, node: str, table: str) -> str:
        """A row that nothing else happens to in this round."""
        free = self.free[node, table]
        key = free.pop(self.r.randrange(len(free)))
        for other in self.shop.tills if table != "u" else ():
            if key in self.free[other, table]:
                self.free[other, table].remove(key)
        self._common.get(table, set()).discard(key)
        return key

    def at_till(self, node: str) -> None:
        """Something that its triggers do not see."""
        till, table = self.shop.tills[node], self.r.choice("dbu")
        key, what = self.take(node, table), self.r.choice(("change", "delete", "insert", "move", "empty"))
        found = self.expected[node]
        till.sql("UPDATE tillsync_state SET applying = 1")
        if what == "delete":
            till.sql(f"DELETE FROM {table} WHERE id = ?", key)
            found |= {(table, "missing", key)} if table != "u" else set()
        elif what in ("insert", "move"):
            new = self.key(self.r.getrandbits(40))
            till.sql(f"INSERT INTO {table} SELECT ?, {', '.join(COLUMNS[table])} FROM {table} WHERE id = ?", new, key)
            found.add((table, "extra", new))
            if what == "move":
                till.sql(f"DELETE FROM {table} WHERE id = ?", key)
                found |= {(table, "missing", key)} if table != "u" else set()
        else:
            self._change_at_till(till, table, key, what)
        till.sql("UPDATE tillsync_state SET applying = 0")
        self.made += 1

    def _change_at_till(self, till: Till, table: str, key: str, what: str) -> None:
        if what == "empty":
            ((was,),) = till.sql(f"SELECT words FROM {table} WHERE id = ?", key)
            till.sql(f"UPDATE {table} SET words = ? WHERE id = ?", "" if was is None else None, key)
            self.expected[till.node].add((table, "different", key, "words"))
            return
        column = self.r.choice(COLUMNS[table])
        ((other,),) = till.sql(
            f"SELECT id FROM {table} WHERE {column} IS NOT (SELECT {column} FROM {table} WHERE id = ?1) AND id IN (SELECT id FROM u) ORDER BY random() LIMIT 1",
            key,
        ) or [(None,)]
        if other is not None and self._differs(table, till.node, column, key, other):
            till.sql(
                f"UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE id = ?) WHERE id = ?", other, key
            )
            self.expected[till.node].add((table, "different", key, column))

    def _differs(self, table: str, node: str, column: str, key: str, other: str) -> bool:
        """Whether head office has other values in two rows, told to the last bit; it has none of a row that a till made."""
        own = "AND till = %s" if table == "u" else "AND %s::text IS NOT NULL"
        query = f"SELECT {column}::text FROM {table} WHERE id = %s {own}"
        with self.shop.conn.transaction():
            self.shop.sql("SET LOCAL extra_float_digits = 3")
            pair = [self.shop.sql(query, k, node) for k in (key, other)]
        return bool(pair[0] and pair[1]) and pair[0] != pair[1]

    def at_head_office(self) -> None:
        """Something that left no trace in its log."""
        table, what = self.r.choice("dbu"), self.r.choice(("change", "delete", "insert"))
        node = self.r.choice(list(self.shop.tills))
        if table != "u" and not self._common[table]:
            return
        key = self.r.choice(sorted(self._common[table])) if table != "u" else self.take(node, table)
        if table != "u":
            self.free[node, table] = [k for k in self.free[node, table] if k != key] + [key]
            self.free[node, table].remove(key)
            for other in self.shop.tills:
                if key in self.free[other, table]:
                    self.free[other, table].remove(key)
            self._common[table].discard(key)
        seeing = list(self.shop.tills) if table != "u" else [node]
        with self.shop.conn.transaction():
            self._unseen(table, what, node, key, seeing)
            if table != "u":
                self.shop.sql(f"DELETE FROM tillsync.log_{table} WHERE xid = pg_current_xact_id()")
        self.made += 1

    def _unseen(self, table: str, what: str, node: str, key: str, seeing: list[str]) -> None:
        own = "AND till = %s" if table == "u" else "AND %s::text IS NOT NULL"
        if what == "delete":
            self.shop.sql(f"DELETE FROM {table} WHERE id = %s {own}", key, node)
            said: tuple[str, ...] = (table, "extra", key)
        elif what == "insert" and table != "u":
            new = self.key(self.r.getrandbits(40))
            self.shop.sql(
                f"INSERT INTO {table} SELECT %s, {', '.join(COLUMNS[table])} FROM {table} WHERE id = %s", new, key
            )
            said = (table, "missing", new)
        else:
            self.shop.sql(f"UPDATE {table} SET words = words || '!', photo = NULL WHERE id = %s {own}", key, node)
            (row,) = self.shop.sql(f"SELECT words FROM {table} WHERE id = %s {own}", key, node)
            had_photo = self.shop.tills[node].sql(f"SELECT photo IS NOT NULL FROM {table} WHERE id = ?", key) == [(1,)]
            columns = [*(["words"] if row[0] is not None else []), *(["photo"] if had_photo else [])]
            if not columns:
                return
            said = (table, "different", key, *columns)
        for one in seeing:
            self.expected[one].add(said)

    def write(self) -> None:
        """What goes on meanwhile at some till and at head office, and is captured."""
        till = self.r.choice(list(self.shop.tills.values()))
        ((key,),) = till.sql("SELECT id FROM b ORDER BY rowid LIMIT 1 OFFSET ?", self.r.randrange(WRITTEN))
        till.sql("UPDATE b SET words = ? WHERE id = ?", text(self.r), key)
        till.sql("INSERT INTO u (id, words) VALUES (?, 'sold')", self.key(self.r.getrandbits(60)))
        ((key,),) = till.sql("SELECT id FROM d ORDER BY rowid LIMIT 1 OFFSET ?", self.r.randrange(WRITTEN))
        self.shop.sql("UPDATE d SET small = %s WHERE id = %s", self.r.randrange(99), key)


def compared(shop: Shop, own: psycopg.Connection, meanwhile: Callable[[], None]) -> dict[str, BranchComparison]:
    nodes = list(shop.tills)
    number = reconcile_report.start(own, shop.world, nodes)
    for _ in range(30):
        meanwhile()
        shop.agent.round()
        for till in shop.tills.values():
            till.sync()
        if not reconcile_report.open_nodes(own, number):
            break
    else:
        raise AssertionError("no end")
    now = shop.world.now()
    report = reconcile_report.report(own, shop.prepared, now, dict.fromkeys(nodes, now), nodes=nodes)
    return {b.branch: b for b in report.branches}


def told(branch: BranchComparison) -> set[tuple[str, ...]]:
    return {
        (
            t.table.removeprefix("public."),
            d.kind,
            d.key["id"] or "",
            *sorted(c.column for c in d.columns if d.kind == "different"),
        )
        for t in branch.tables
        for d in t.differences
    }


@pytest.mark.timeout(300 + 12 * EXAMPLES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_difference_is_found_and_repaired_and_nothing_else_is_reported(
    shop: Shop, own: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    wrong = Wrong(shop, seed=EXAMPLES + seed)
    wrong.fill()
    assert all(b.equal for b in compared(shop, own, lambda: None).values())
    for _ in range(0, EXAMPLES, TILLS):
        wrong.begin()
        monkeypatch.setattr(reconcile_side, "MANY_SCOPES", wrong.r.choice((1, 8)))
        for node in shop.tills:
            for _ in range(wrong.r.randrange(1, 8)):
                wrong.at_till(node)
        for _ in range(wrong.r.randrange(4)):
            wrong.at_head_office()
        for node, branch in compared(shop, own, wrong.write).items():
            expected = {(t, kind, key, *sorted(columns)) for t, kind, key, *columns in wrong.expected[node]}
            assert told(branch) == expected
        steps = reconcile_repair.plan(own, shop.prepared, list(shop.tills))
        assert reconcile_repair.apply(own, shop.relay, shop.prepared, shop.world, steps) == []
        shop.settle()
        after = compared(shop, own, wrong.write)
        assert {n: told(b) for n, b in after.items() if not b.equal} == {}
    assert wrong.made >= EXAMPLES
