"""Random statements after head office's answer: the views show a till's tables exactly as they were at the answer."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.changes import ORIGIN
from orchestrator.till import changelog
from orchestrator.till.books_view import hide
from orchestrator.till.changelog import settled
from tests.unit.till.test_capture_random import KINDS, QUIET, App, Newest, content, database, plan_of, runs

EXAMPLES = int(os.environ.get("TILLSYNC_VIEW_EXAMPLES", "5"))


def run_all(app: App, statements: list[str]) -> None:
    for sql in statements:
        try:
            app.run(sql)
        except app.error:
            continue
    if app.in_transaction:
        app.run("COMMIT")


@pytest.mark.parametrize("name", KINDS)
def test_b87_what_is_on_its_way_is_seen_through(name: str) -> None:
    kind = KINDS[name]

    @settings(**QUIET, max_examples=EXAMPLES)
    @given(runs(kind), runs(kind), st.booleans())
    def compare(before: tuple[bool, list[str]], after: tuple[bool, list[str]], is_settled: bool) -> None:
        pragmas, statements = before
        with database(Newest, name, captured=True, pragmas=pragmas) as app:
            run_all(app, statements)
            assert isinstance(app, Newest)
            with settled(app.db):
                pass
            answered, ack = content(app, kind), changelog.last(app.db)
            run_all(app, after[1])
            if is_settled:
                with settled(app.db):
                    pass
            is_cascading = "REFERENCES" in kind.sql or "TRIGGER" in kind.sql
            if is_cascading and not is_settled:
                return  # its entries come in order when they are settled, which is done first
            with closing(Newest(app.file())) as reader:
                hidden = hide(reader.db, plan_of(kind), ack or ORIGIN)
                assert content(reader, kind) == answered
                pending = changelog.pending_keys(reader.db, ack or ORIGIN)
                assert bool(hidden) >= bool(pending)

    compare()


@pytest.mark.parametrize(
    "work",
    [
        "REPLACE INTO t VALUES (3, 'a', 9, 'Y')",  # two rows go, and only marks tell of them
        "INSERT OR IGNORE INTO t VALUES (3, 'a', 9, 'Y')",  # marks of rows that stay
        "UPDATE t SET id = id + 10; UPDATE t SET id = id - 10; DELETE FROM t WHERE id = 1",
        "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 'c', 1.0, 'x'); UPDATE OR REPLACE t SET u = 'b' WHERE id = 1",
        "INSERT INTO t VALUES (7, 'q', NULL, NULL); UPDATE t SET v = 5; DELETE FROM t WHERE id = 7",
    ],
)
def test_before_anything_is_settled(work: str) -> None:
    kind = KINDS["rowid"]
    with database(Newest, "rowid", captured=True, pragmas=False) as app:
        run_all(app, ["INSERT INTO t VALUES (1, 'a', 1, 'x'), (2, 'b', '1', 'y')"])
        assert isinstance(app, Newest)
        answered, ack = content(app, kind), changelog.last(app.db)
        assert ack is not None
        run_all(app, work.split("; "))
        hide(app.db, plan_of(kind), ack)
        assert content(app, kind) == answered
