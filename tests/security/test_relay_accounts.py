"""A branch's account at the relay: eleven functions, its own node, and nothing else at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from orchestrator.central import branches
from orchestrator.core import wire
from orchestrator.core.changes import ORIGIN, Position
from orchestrator.core.world import World
from orchestrator.errors import PersonMustDecide, Unreachable
from orchestrator.postgres import connect
from orchestrator.relay.client import connect_branch
from orchestrator.relay.messages import Part, UploadPart
from tests.integration.central.chain import Chain, build

BRANCH_FUNCTIONS = {
    "claim",
    "get_plan",
    "hello",
    "knows",
    "parts",
    "pull",
    "push",
    "report_status",
    "put_result",
    "snapshots",
    "uploads",
    "want_snapshot",
}


@dataclass
class Accounts:
    chain: Chain
    one_dsn: str
    two_dsn: str


@pytest.fixture
def accounts(database: Callable[..., str], world: World) -> Iterator[Accounts]:
    chain = build(database, world)
    dsns = [
        branches.add(chain.conn, chain.relay, chain.prepared, world, node, {"store_id": store}, chain.relay_dsn)
        for node, store in (("T1", "1"), ("T2", "2"))
    ]
    yield Accounts(chain, *dsns)
    chain.close()


def part(uid: int, number: int = 0, *, last: bool = True) -> UploadPart:
    return UploadPart(uid, number, last, ORIGIN, Position(1, 77), wire.pack(b"sold"))


def test_a_branch_can_execute_its_functions_and_touch_no_table(accounts: Accounts) -> None:
    with connect(accounts.one_dsn, "attacker") as branch:
        allowed = branch.execute(
            "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = 'relay' AND has_function_privilege(p.oid, 'EXECUTE')"
        ).fetchall()
        assert {name for (name,) in allowed} == BRANCH_FUNCTIONS
        tables = branch.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'relay'::regnamespace AND relkind = 'r'"
        )
        for (table,) in tables.fetchall():
            for statement in (f"SELECT * FROM relay.{table}", f"DELETE FROM relay.{table}", f"TRUNCATE relay.{table}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    branch.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (x int)",
        "CREATE TEMP TABLE mine (x int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "DO $$ BEGIN NULL; END $$",
        "SELECT lo_create(0)",
        "SELECT relay.head()",
        "SELECT relay.put_payload(1, 1, 'delta', 0, '')",
        "SELECT relay.put_account('T9', 'mine', 'SCRAM-SHA-256$4096:x')",
        "SELECT relay.caller('central')",
        "SET ROLE tillsync_relay",
        "SET session_replication_role = replica",
        "SELECT rolpassword FROM pg_authid",
    ],
)
def test_what_a_branch_may_not_do(accounts: Accounts, statement: str) -> None:
    with connect(accounts.one_dsn, "attacker") as branch, pytest.raises(psycopg.errors.InsufficientPrivilege):
        branch.execute(statement.encode())


def test_b69_a_branch_sees_its_own_and_nothing_of_another(accounts: Accounts) -> None:
    chain = accounts.chain
    one, two = connect_branch(accounts.one_dsn), connect_branch(accounts.two_dsn)
    try:
        one.push(part(1))
        assert [p.uid for p in one.uploads()] == [1]
        assert list(two.uploads()) == []
        theirs = [s for s, _ in two.hello().streams]
        assert theirs
        one.want_snapshot(theirs)  # of streams that it is not subscribed to: not an error, and not a request
        assert chain.relay.head().wants == ()
        two.want_snapshot(theirs)
        chain.conn.execute("INSERT INTO price_list VALUES (7, 2, 'only for store 2')")
        chain.publisher.publish()
        kinds = {p.kind for _, parts in two.pull(0, theirs, 10) for p in parts}
        assert kinds == {"snapshot"}
        assert [p for _, parts in one.pull(0, theirs, 10) for p in parts] == []
        for n in range(1, chain.relay.head().n + 1):
            for stream in theirs:
                assert one.parts(n, Part(stream, "snapshot", 0, b"")) == []
                assert one.parts(n, Part(stream, "echo", 0, b"")) == []
        assert two.parts(chain.relay.head().n, Part(theirs[0], "snapshot", 0, b""))
    finally:
        one.close()
        two.close()


def test_the_node_is_the_login_whatever_is_claimed(accounts: Accounts) -> None:
    one = connect_branch(accounts.one_dsn)
    try:
        assert one.hello().node == "T1"
        one.push(part(5))
    finally:
        one.close()
    assert {u.node for u in accounts.chain.relay.fetch_uploads()} == {"T1"}


def test_a_part_that_does_not_follow_is_refused_and_one_sent_twice_is_kept_once(accounts: Accounts) -> None:
    one = connect_branch(accounts.one_dsn)
    try:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="does not follow"):
            one.push(part(5, 1))
        for _ in range(3):
            one.push(part(6, 0, last=False))
        assert list(accounts.chain.relay.fetch_uploads()) == []  # the group is not whole yet
        one.push(part(6, 1))
        assert [u.part.part for u in accounts.chain.relay.fetch_uploads()] == [0, 1]
    finally:
        one.close()


def test_a_retired_branch_is_refused_and_the_others_go_on(accounts: Accounts) -> None:
    chain = accounts.chain
    branches.retire(chain.conn, chain.relay, chain.prepared, "T1")
    with pytest.raises((PersonMustDecide, Unreachable)):
        connect_branch(accounts.one_dsn).hello()
    two = connect_branch(accounts.two_dsn)
    assert two.hello().node == "T2"
    two.close()


def test_every_function_of_the_relay_is_a_pinned_definer_that_the_public_cannot_call(accounts: Accounts) -> None:
    with connect(accounts.chain.relay_dsn, "lint") as admin:
        loose = admin.execute(
            "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'relay'"
            " AND (NOT p.prosecdef OR p.proconfig IS NULL"
            "      OR NOT 'search_path=pg_catalog, pg_temp' = ANY (p.proconfig)"
            "      OR p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))"
        ).fetchall()
        owner = admin.execute(
            "SELECT DISTINCT r.rolname, r.rolsuper, r.rolcanlogin FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner"
            " WHERE p.pronamespace = 'relay'::regnamespace"
        ).fetchall()
    assert loose == []
    assert owner == [("tillsync_relay", False, False)]
