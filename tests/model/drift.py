"""What databases go through under Tillsync: rebuilt tables, lost triggers, writes past capture, columns that come and go,
settings that a DBA applies. What was not captured cannot be told in order; in the end both ends must agree all the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from orchestrator.central import schema
from orchestrator.service import office as offices
from orchestrator.settings import CentralSettings
from tests.integration.cases.shop import Shop, Till
from tests.integration.cases.test_drift import rebuild
from tests.integration.cases.test_loading import office
from tests.model import papers, real_oracle
from tests.model.papers import Sql
from tests.model.real import RealTill
from tests.model.test_real_parts import RealMachine

CENTRAL = "CREATE TABLE k (pk text PRIMARY KEY, store text, note text, qty int);"
TILL = "CREATE TABLE k (pk TEXT PRIMARY KEY, store TEXT, note TEXT, qty INTEGER);"
CHANNEL: Mapping[str, Any] = {
    "name": "shapes",
    "direction": "both",
    "table": [{"name": "k", "filter": "store = :branch_id", "policy": "column_merge"}],
}
FILTERS = (
    "store = :branch_id",
    "store = :branch_id AND qty IS NOT NULL",
    "store = :branch_id AND (qty IS NULL OR qty > 40)",
)
COME_AND_GO, DEFAULTS = ("note", "x", "y"), ("", " DEFAULT 'd'")
LETTERS = "cbnmshluk"
TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? AND name LIKE 'tillsync%' ORDER BY rowid"
DEFINITION = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"


class DriftMachine(RealMachine):
    """The machine of the schedules on real parts, and what happens to schemas, triggers and settings."""

    def till_writes_shapes(self, seed: int) -> None:
        rng, till = self._drawn(seed)
        self._write_shapes(till.real.sql, "?", rng, till.store)

    def office_writes_shapes(self, seed: int) -> None:
        rng, _ = self._later(seed)
        self._write_shapes(self.world.shop.sql, "%s", rng, rng.choice("AB"))

    def till_changes_a_sale(self, seed: int) -> None:
        """One that was not captured, and is deleted before anybody looked, is gone: nobody knows that it was."""
        if not self.world.drifted:
            super().till_changes_a_sale(seed)

    def till_loses_triggers(self, seed: int) -> None:
        """To an upgrade that rebuilds a table, or to somebody; the application writes before it is found."""
        rng, till = self._drawn(seed)
        letter, app = rng.choice(LETTERS), till.real.sql
        triggers = app(TRIGGERS, letter)
        how = rng.choice(("rebuilt", "moved away", "one", "all", "all for a while"))
        if how in ("rebuilt", "moved away"):
            _rebuild(till.real, letter, moved=how == "moved away")
        for name, _ in (
            rng.sample(triggers, min(len(triggers), 1) if how == "one" else len(triggers))
            if how in ("one", "all")
            else ()
        ):
            app(f"DROP TRIGGER {name}")
        if how == "all for a while":
            for name, _ in triggers:
                app(f"DROP TRIGGER {name}")
        self._write_past(rng, letter, till)
        for _, statement in triggers if how == "all for a while" else ():
            app(statement)

    def office_writes_past_capture(self, seed: int) -> None:
        rng, _ = self._later(seed)
        self.world.drifted = True
        letter, sql = rng.choice(LETTERS), self.world.shop.sql
        event = rng.choice(("insert", "update", "delete"))
        before, after = rng.choice(
            (
                (f"ALTER TABLE {letter} DISABLE TRIGGER USER", ""),
                (f"ALTER TABLE {letter} DISABLE TRIGGER USER", f"ALTER TABLE {letter} ENABLE TRIGGER USER"),
                (f"DROP TRIGGER IF EXISTS tillsync_{event}_{letter} ON {letter}", ""),
                ("SET session_replication_role = replica", "SET session_replication_role = origin"),
            )
        )
        sql(before)
        self._write_past(rng, letter)
        if after:
            sql(after)

    def office_truncates(self, seed: int) -> None:
        rng, _ = self._later(seed)
        if rng.random() < 0.15:
            self.world.drifted = True
            self.world.shop.sql(f"TRUNCATE {rng.choice(('c', 'n', 'h CASCADE', 'u', 'k'))}")

    def office_changes_columns(self, seed: int) -> None:
        rng, _ = self._later(seed)
        sql, name = self.world.shop.sql, rng.choice(COME_AND_GO)
        if name not in _office_columns(sql):
            sql(f"ALTER TABLE k ADD COLUMN {name} text{rng.choice(DEFAULTS)}")
        elif rng.random() < 0.5:
            sql(f"ALTER TABLE k DROP COLUMN {name}")
        elif rng.random() < 0.5:
            sql(f"ALTER TABLE k ALTER COLUMN {name} TYPE text USING {name} || '.'")
        else:
            sql(f"UPDATE k SET {name} = %s", rng.choice("pqrs"))

    def till_changes_columns(self, seed: int) -> None:
        """SQLite refuses to drop a column that a trigger names, so an upgrade takes the triggers away first."""
        rng, till = self._drawn(seed)
        app, name = till.real.sql, rng.choice(COME_AND_GO)
        if name in _till_columns(app):
            for trigger, _ in app(TRIGGERS, "k"):
                app(f"DROP TRIGGER {trigger}")
            app(f"ALTER TABLE k DROP COLUMN {name}")
        else:
            app(f"ALTER TABLE k ADD COLUMN {name} TEXT{rng.choice(DEFAULTS)}")
        if rng.random() < 0.5:
            self._write_past(rng, "k", till)

    def settings_are_applied(self, seed: int) -> None:
        rng, _ = self._later(seed)
        shop = self.world.shop
        given = shop.settings.model_dump(exclude_unset=True)
        (table,) = next(c["table"] for c in given["channel"] if c["name"] == CHANNEL["name"])
        table["filter"] = rng.choice(FILTERS)
        there = [name for name in COME_AND_GO if name in _office_columns(shop.sql)]
        table["exclude"] = rng.sample(there, min(len(there), rng.randint(0, 2)))
        settings = CentralSettings(**given)
        schema.install(shop.conn, schema.prepare(shop.conn, settings))
        shop.settings = settings
        shop.restart()

    def a_channel_is_loaded_anew(self, seed: int) -> None:
        rng, till = self._drawn(seed)
        if rng.random() < 0.5:
            offices.reload(office(self._prepared()), till.node, rng.choice((None, "rows", "papers", "shapes")))

    def a_till_moves_to_the_other_store(self, seed: int) -> None:
        self._prepared()
        super().a_till_moves_to_the_other_store(seed)

    def the_relay_forgets_what_was_taken(self, seed: int) -> None:
        self.world.shop.agent.round()
        self._prepared()
        super().the_relay_forgets_what_was_taken(seed)

    def teardown(self) -> None:
        self.world.drain()
        self._prepared()
        real_oracle.check(self.world)
        for till in self.world.tills.values():
            self._check_shapes(till)
            for letter in LETTERS:
                assert len(till.real.sql(TRIGGERS, letter)) >= 5, f"{letter} at {till.node} is not captured"

    # The rest --------------------------------------------------------------------------------------------------------

    def _prepared(self) -> Shop:
        """The shop, with the plan that is installed by now."""
        shop: Shop = self.world.shop
        shop.prepared = schema.installed(shop.conn)
        return shop

    def _write_past(self, rng: Random, letter: str, till: RealTill | None = None) -> None:
        """What an application writes to a table while nobody sees it."""
        self.world.drifted = True
        sql, mark = (till.real.sql, "?") if till else (self.world.shop.sql, "%s")
        for _ in range(rng.randint(0, 3)):
            store = till.store if till else rng.choice("AB")
            if letter in papers.LETTERS:
                self.world.papers(till, rng)
            elif letter == "k":
                self._write_shapes(sql, mark, rng, store)
            elif letter == "s":
                if till:
                    self._sell(rng, till)
            else:
                known = till.rows if till else self.world.central.rows
                pk, new = self._written(
                    rng, {at: row for at, row in known.items() if at[0] == letter}, store, moves=not till
                )
                pk = letter + pk[1:]
                if till:
                    self.world.till_write(till, pk, new)
                else:
                    self.world.office_write(pk, new)

    def _write_shapes(self, sql: Sql, mark: str, rng: Random, store: str) -> None:
        columns = [c for c in (_till_columns(sql) if mark == "?" else _office_columns(sql)) if c not in ("pk", "store")]
        for _ in range(rng.randint(1, 3)):
            known = [pk for (pk,) in sql(f"SELECT pk FROM k WHERE store = {mark} ORDER BY 1", store)]
            lot = rng.random()
            if not known or lot < 0.35:
                sql(f"INSERT INTO k (pk, store) VALUES ({mark}, {mark})", f"k{self._made()}", store)
            elif lot < 0.85:
                column = rng.choice(columns)
                value = rng.randint(1, 99) if column == "qty" else rng.choice("pqrs")
                sql(f"UPDATE k SET {column} = {mark} WHERE pk = {mark}", value, rng.choice(known))
            else:
                sql(f"DELETE FROM k WHERE pk = {mark}", rng.choice(known))

    def _check_shapes(self, till: RealTill) -> None:
        """The till has of `k` what the plan says, in the columns that it has."""
        shop = self.world.shop
        ((body,),) = shop.sql("SELECT body FROM tillsync.plan ORDER BY version DESC LIMIT 1")
        (table,) = next(c["tables"] for c in json.loads(body)["channels"] if c["name"] == CHANNEL["name"])
        own = _till_columns(till.real.sql)
        query = f"SELECT {', '.join(c['name'] for c in table['columns'] if c['name'] in own)} FROM k"
        wanted = shop.sql(f"{query} WHERE {table['filter'].replace(':branch_id', '%s')}", till.store)
        given_up = real_oracle.parked_of(self.world, "k")
        left = {row for row in set(wanted) ^ set(till.real.sql(query)) if row[0] not in given_up}
        assert not left, f"{till.node} differs from head office in {left}"


RULES = [name for name in vars(DriftMachine) if not name.startswith("_") and name != "teardown"]


def _rebuild(till: Till, letter: str, *, moved: bool) -> None:
    """As an upgrade does it: the new table beside the old one, or the old one moved out of the way."""
    ((made,),) = till.sql(DEFINITION, letter)
    till.sql("BEGIN")
    if moved:
        till.sql(f"ALTER TABLE {letter} RENAME TO was")
        till.sql(made)
        till.sql(f"INSERT INTO {letter} SELECT * FROM was")
        till.sql("DROP TABLE was")
    else:
        rebuild(till, letter, made[made.index("(") + 1 : made.rindex(")")])
    till.sql("COMMIT")


def _till_columns(sql: Sql) -> list[str]:
    return [name for (name,) in sql("SELECT name FROM pragma_table_info('k')")]


def _office_columns(sql: Sql) -> list[str]:
    listed = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'k'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1"
    return [name for (name,) in sql(listed)]
