"""The oracle of routing: random filters over random worlds, asked of PostgreSQL before and after a random transaction.

Held for every filter: its predicate says what PostgreSQL says to the author's own text; and wherever that answer
differs between the two worlds for a row that is as it was, `reach` found the pair.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from orchestrator.core import filter_joins, routing
from orchestrator.core.filters import Filter, TableInfo, parse_filter
from tests.integration import filter_grammar as grammar
from tests.integration.filter_grammar import PARAMETERS, RandomTable

EXAMPLES = int(os.environ.get("TILLSYNC_ORACLE_EXAMPLES", "300"))
SCHEMAS = 12
FILTERS = 2
STREAMS = 3
QUIET: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

RESULTS = """
CREATE UNLOGGED TABLE before (filter int, key text, stream int, yes boolean);
CREATE UNLOGGED TABLE said (LIKE before);
CREATE UNLOGGED TABLE after (LIKE before);
CREATE UNLOGGED TABLE changed (filter int, key text, stream int);
CREATE UNLOGGED TABLE reached (LIKE changed);
CREATE UNLOGGED TABLE streams (id int, p_i integer, p_t text, p_l integer[], p_f boolean);
"""

VIOLATIONS = """
SELECT 'other than PostgreSQL', filter, key, stream FROM (TABLE said EXCEPT TABLE before) more
UNION ALL
SELECT 'other than PostgreSQL', filter, key, stream FROM (TABLE before EXCEPT TABLE said) less
UNION ALL
SELECT 'not reached', filter, key, stream FROM (TABLE changed EXCEPT TABLE reached) missed
"""

FIGURES = """
SELECT 'true', count(*) FROM before WHERE yes
UNION ALL SELECT 'changed', count(*) FROM changed
UNION ALL SELECT 'reached', count(*) FROM reached
UNION ALL SELECT 'pairs', count(*) FROM after
"""


class Oracle:
    """A database with random schemas, in which examples run and are rolled back."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection
        self.schemas = [grammar.tables(Random(n), f"shop{n}") for n in range(SCHEMAS)]
        self.seen: Counter[str] = Counter()
        for made in self.schemas:
            connection.execute(f"CREATE SCHEMA {made[0].schema}; {''.join(t.ddl() for t in made)}".encode())
        connection.execute(RESULTS.encode())

    def check(self, seed: int) -> None:
        """One example. AssertionError names the seed, the filter and the pair that is wrong."""
        rng = Random(seed)
        made = self.schemas[seed % SCHEMAS]
        catalog = {t.full: TableInfo(t.full, t.columns, t.key, t.not_null) for t in made}
        texts = [grammar.Grammar(rng, made).filter() for _ in range(FILTERS)]
        filters = [parse_filter(text, made[0].full, catalog, PARAMETERS) for text in texts]
        streams = [{p: grammar.value(rng, t, null=True) for p, t in PARAMETERS.items()} for _ in range(STREAMS)]
        script = "\n".join(_script(rng, made, filters, streams))
        try:
            self.connection.execute(script.encode())
            wrong = self.connection.execute(VIOLATIONS.encode()).fetchall()
            self.seen.update(dict(self.connection.execute(FIGURES.encode()).fetchall()))
        finally:
            self.connection.execute("ROLLBACK")
        for kind, number, key, stream in wrong:
            raise AssertionError(f"{kind}: row {key}, stream {stream}, seed {seed}, filter {texts[number]}")


def _script(
    rng: Random, made: list[RandomTable], filters: list[Filter], streams: list[dict[str, str]]
) -> Iterator[str]:
    """Both worlds in one transaction that is rolled back."""
    yield f"BEGIN; SET LOCAL search_path = {made[0].schema}, public;"
    for table in made:
        yield grammar.fill(rng, table)
        yield f"INSERT INTO old_{table.name} TABLE {table.full};"
    rows = [f"({at}, {', '.join(values[p] for p in PARAMETERS)})" for at, values in enumerate(streams)]
    yield f"INSERT INTO streams VALUES {', '.join(rows)};"
    yield _asked("before", filters)
    said = [_said(n, compiled, at, stream) for n, compiled in enumerate(filters) for at, stream in enumerate(streams)]
    yield f"INSERT INTO said {' UNION ALL '.join(said)};"
    yield grammar.transaction(rng, made)
    for table in made:
        old, new = f"TABLE old_{table.name}", f"TABLE {table.full}"
        yield f"INSERT INTO delta_{table.name} ({old} EXCEPT {new}) UNION ALL ({new} EXCEPT {old});"
    yield _asked("after", filters)
    yield _changed(made[0])
    yield from _reached(filters)


def _asked(name: str, filters: list[Filter]) -> str:
    asked = [
        f"SELECT {n}, (r.id, r.n)::text, s.id, {f.predicate('r', 's')} IS TRUE FROM {f.table} r, streams s"
        for n, f in enumerate(filters)
    ]
    return f"INSERT INTO {name} {' UNION ALL '.join(asked)};"


def _said(number: int, compiled: Filter, at: int, stream: dict[str, str]) -> str:
    """The author's own text with the stream's values in it."""
    text = compiled.text
    for name, pg_type in PARAMETERS.items():
        text = text.replace(f":{name}", f"CAST({stream[name]} AS {pg_type})")
    return f"SELECT {number}, (id, n)::text, {at}, ({text}) IS TRUE FROM a"


def _changed(table: RandomTable) -> str:
    """Pairs whose answer differs between the worlds, of rows that are in both as they were."""
    return (
        "INSERT INTO changed SELECT b.filter, b.key, b.stream FROM before b JOIN after a"
        " ON (a.filter, a.key, a.stream) = (b.filter, b.key, b.stream) AND a.yes <> b.yes"
        f" JOIN (TABLE old_{table.name} INTERSECT TABLE {table.full}) same ON (same.id, same.n)::text = b.key;"
    )


def _reached(filters: list[Filter]) -> Iterator[str]:
    for number, compiled in enumerate(filters):
        for reach in compiled.reach("r", "s", lambda table, columns: table.replace(".", ".delta_")):
            yield (
                f"INSERT INTO reached SELECT DISTINCT {number}, (r.id, r.n)::text, s.id"
                f" FROM streams s, {compiled.table} r, {reach.sql_from} WHERE {reach.sql_where};"
            )


@pytest.fixture
def oracle(database: Callable[..., str]) -> Iterator[Oracle]:
    with psycopg.connect(database("oracle"), autocommit=True) as connection:
        # Planning is nearly all that these statements cost.
        connection.execute("SET jit = off; SET join_collapse_limit = 4; SET from_collapse_limit = 4")
        yield Oracle(connection)


def test_reach_holds_every_pair_that_changed(oracle: Oracle) -> None:
    @settings(max_examples=EXAMPLES, phases=[Phase.generate, Phase.shrink], **QUIET)
    @given(seed=st.integers(0, 2**48))
    def examples(seed: int) -> None:
        oracle.check(seed)

    examples()
    # Not vacuous: filters do say yes, pairs do change without their row, and reach is not simply everything.
    assert oracle.seen["true"] > EXAMPLES
    assert oracle.seen["changed"] > EXAMPLES / 2
    assert oracle.seen["reached"] < oracle.seen["pairs"] * 0.75


def _without_old_world(monkeypatch: pytest.MonkeyPatch) -> None:
    right = routing._item

    def wrong(table: exp.Table, sources: Any, deltas: Any, columns: Any, aliases: Any, *, only_changed: bool) -> str:
        known = deltas if only_changed else dict.fromkeys(deltas)
        return right(table, sources, known, columns, aliases, only_changed=only_changed)

    monkeypatch.setattr(routing, "_item", wrong)


def _without_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "only_truth_counts", lambda node: True)


def _through_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "CONNECTORS", (exp.And, exp.Or, exp.Paren, exp.Not))
    monkeypatch.setattr(routing, "only_truth_counts", lambda node: False)


def _not_in_as_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_joins, "only_truth_counts", lambda node: True)


# Each with what the oracle says of it and the first seed that shows it today; when the grammar changes, the search takes a
# little longer.
DAMAGES = [
    pytest.param(_without_old_world, "not reached", 233, id="union"),
    pytest.param(_without_nulls, "not reached", 18, id="nulls"),
    pytest.param(_through_not, "not reached", 137, id="not"),
    pytest.param(_not_in_as_exists, "other than PostgreSQL", 18, id="joins"),
]


@pytest.mark.parametrize(("damage", "said", "seed"), DAMAGES)
def test_the_oracle_sees_broken_routing(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, damage: Callable[[pytest.MonkeyPatch], None], said: str, seed: int
) -> None:
    damage(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        _check_until_wrong(oracle, seed)


def _check_until_wrong(oracle: Oracle, seed: int) -> None:
    for at in range(seed, seed + 5_000):
        oracle.check(at)
