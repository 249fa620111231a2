"""A till that sends whatever it likes, over the real relay to the real head office: it harms nobody but itself."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.core import wire
from orchestrator.core.changes import ORIGIN, Position, encode_upload
from orchestrator.core.changes import Shape as WireShape
from orchestrator.core.world import real_world
from orchestrator.errors import TillsyncError, Unreachable
from orchestrator.postgres import connect
from orchestrator.relay.client import BranchRelay
from orchestrator.relay.messages import UploadPart
from orchestrator.report import status
from tests.integration.cases.shop import Shop
from tests.security import hostile

HOSTILE = ("H1", "H2", "H3", "H4", "H5", "H6")
MORE = ("H7", "H8", "H9")
# What no till of branch B1 has anything to say about.
OTHERS = """
SELECT md5(string_agg(t, ',' ORDER BY t)) FROM (
    SELECT t::text FROM item t UNION ALL SELECT t::text FROM price_list t UNION ALL SELECT t::text FROM price t
    UNION ALL SELECT t::text FROM branch_item t
    UNION ALL SELECT t::text FROM sales_order t WHERE branch_id IS DISTINCT FROM 'B1'
    UNION ALL SELECT t::text FROM stock t WHERE branch_id IS DISTINCT FROM 'B1'
    UNION ALL SELECT t::text FROM closure t WHERE till NOT LIKE 'H_' AND till <> 'T2'
    UNION ALL SELECT node || params::text || state FROM tillsync.node
    UNION ALL SELECT t::text FROM tillsync.plan t UNION ALL SELECT t::text FROM tillsync.stream t
    UNION ALL SELECT rolname FROM pg_roles
    UNION ALL SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace) x (t)"""


QUIETLY = settings(
    max_examples=hostile.EXAMPLES,
    derandomize="TILLSYNC_HOSTILE_EXAMPLES" not in os.environ,  # a dozen drawn by lot may all be refused
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


class Among:
    """A shop with one honest till and some that are not."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        shop.sql("INSERT INTO item VALUES (1, 'A', 'Milk', 1.5); INSERT INTO branch_item VALUES ('B1', 1), ('B2', 1)")
        shop.sql(
            "INSERT INTO sales_order VALUES ('o2', 'B2', '1', 'paid', NULL, 5); INSERT INTO stock VALUES ('B2', 1, 9)"
        )
        self.honest = shop.till("T2", "B2")
        self.tills = {node: shop.till(node, "B1") for node in (*HOSTILE, *MORE)}
        self.relays: dict[str, BranchRelay] = {node: till.relay() for node, till in self.tills.items()}
        self.admin = connect(shop.relay_dsn, "administrator")
        self.closures = self.merged = self.parked = 0
        shop.settle()

    def close(self) -> None:
        for relay in self.relays.values():
            relay.close()
        self.admin.close()

    def push_all(self, node: str, parts: Iterable[UploadPart]) -> None:
        for part in parts:
            self.relays[node].push(part)

    def send(self, node: str, parts: list[UploadPart]) -> None:
        """The relay may refuse it."""
        with suppress(psycopg.Error, TillsyncError):
            self.push_all(node, parts)

    def round(self) -> dict[str, str]:
        """What is refused, by node. The honest till's closure of this round arrives, and nothing of others' changes."""
        before = self.shop.sql(OTHERS)
        self.closures += 1
        self.honest.sql("INSERT INTO closure VALUES (?, '2024-03-01', 10)", self.closures)
        self.honest.sync()
        done = self.shop.agent.round()
        self.merged, self.parked = self.merged + done.merged - 1, self.parked + done.parked
        honest = self.shop.sql("SELECT count(*), sum(total) FROM closure WHERE till = 'T2'")
        assert honest == [(self.closures, self.closures * 10)]
        assert self.shop.sql(OTHERS) == before
        assert "T2" not in done.refused
        return dict(done.refused)

    def show(self) -> None:
        """The status that an operator asks for has every branch."""
        relay, now = self.shop.relay, self.shop.world.now()
        head = relay.head()
        side = status.RelaySide(head.n, head.epoch, head.plan_version, now, relay.reports())
        chain = status.of_central(self.shop.conn, side, "", status.Office(now, False))
        assert {"T2", *HOSTILE, *MORE} == {b["node"] for b in chain["branches"]}
        status.show_central({**chain, "troubles": []})

    def forget(self) -> None:
        """The administrator drops what waits of them, as he may."""
        self.admin.execute("DELETE FROM relay.upload WHERE node LIKE 'H_'")
        self.shop.sql("DELETE FROM tillsync.parked WHERE id < (SELECT max(id) - 30 FROM tillsync.parked)")


@pytest.fixture(scope="module")
def shared(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Among]:
    place = tmp_path_factory.mktemp("hostile")
    with closing(Shop(module_database, real_world(), place)) as shop, closing(Among(shop)) as among:
        yield among


@pytest.fixture
def among(shared: Among) -> Iterator[Among]:
    yield shared
    shared.forget()


def test_nothing_wrong_is_applied_and_nobody_is_disturbed(among: Among) -> None:
    seen: set[str] = set()

    @QUIETLY
    @given(st.tuples(*[hostile.parts() for _ in HOSTILE]), hostile.ANSWERS)
    def attack(groups: tuple[list[UploadPart], ...], answer: bytes) -> None:
        for node, parts in zip(HOSTILE, groups, strict=True):
            among.send(node, parts)
        with suppress(psycopg.Error, TillsyncError):
            among.relays[HOSTILE[0]].put_result(answer)
        seen.update(said.partition(" ")[0] for said in among.round().values())
        among.forget()

    attack()
    assert {"TS-310", "TS-602"} <= seen
    assert among.parked > 0
    assert among.merged > 0


def upload(*changes: Any, shape: WireShape, prev: Position = ORIGIN, uid: int = 1) -> list[UploadPart]:
    end = Position(*changes[-1][:2])
    return [UploadPart(uid, 0, True, prev, end, wire.pack(encode_upload([shape], changes)))]


def test_an_upload_that_is_sent_again_under_other_numbers_is_taken_once(among: Among) -> None:
    shape = WireShape("public.closure", ("number", "day", "total"), ("number",))
    sold = (1, 77, 0, "I", None, (1, "2024-03-01", "5"))
    for uid in (1, 2, 3):
        among.send("H7", upload(sold, shape=shape, uid=uid))
        among.round()
    assert among.shop.sql("SELECT total FROM turnover WHERE till = 'H7'") == [(5,)]


def test_another_store_s_rows_and_columns_are_not_to_be_had(among: Among) -> None:
    order = WireShape("public.sales_order", hostile.COLUMNS["public.sales_order"], ("id",))
    stolen = ("o2", "B2", "1", "paid", "mine now", "0")
    own = ("o2", "B2", "1", "paid", None, "5")
    among.send("H1", upload((1, 1, 0, "U", own, stolen), (2, 2, 0, "D", own, None), shape=order))
    moved = ("o2", "B1", "1", "paid", None, "5")
    among.send("H2", upload((1, 1, 0, "U", own, moved), shape=order))
    among.send("H3", upload((1, 1, 0, "I", None, ("o9", "B2", "9", "paid", None, "1")), shape=order))
    closure = WireShape("public.closure", ("till", "number", "day", "total"), ("number",))
    among.send("H4", upload((1, 1, 0, "I", None, ("T2", 900, "2024-03-01", "1")), shape=closure))
    price = WireShape("public.item", hostile.COLUMNS["public.item"], ("id",))
    among.send("H5", upload((1, 1, 0, "U", (1, "A", "Milk", "1.5"), (1, "A", "Milk", "0.01")), shape=price))
    among.round()
    theirs = "SELECT id, branch_id, note FROM sales_order WHERE id IN ('o2', 'o9')"
    assert among.shop.sql(theirs) == [("o2", "B2", None)]
    assert among.shop.sql("SELECT DISTINCT price FROM item") == [(1.5,)]


def test_an_upload_that_nests_without_end_is_refused_alone(among: Among) -> None:
    """It is the decoder that gives up, and not the round."""
    among.send("H7", [UploadPart(99, 0, True, ORIGIN, Position(1, 5), wire.pack(hostile.abyss(100_000)))])
    assert among.round()["H7"].startswith("TS-310")
    among.relays["H7"].put_result(wire.pack(b"\x81\xa2zz" + b"\x91" * 100_000))
    among.round()


def test_ten_gigabytes_of_lines_are_not_taken(among: Among) -> None:
    """By what the frames say of themselves: two parts of each claim to be 32 MB."""
    said = wire.pack(b"")[:8] + (wire.BODY_BYTES_MAX).to_bytes(4, "big")
    part = partial(UploadPart, 9, last=False, prev=ORIGIN, end=Position(1, 1), frame=said)
    with pytest.raises(Unreachable, match=r"TS-545 .*too much of H8 waits"):
        among.push_all("H8", (part(part=number) for number in range(600)))
    among.round()


def test_a_small_part_does_not_unfold_into_a_large_one() -> None:
    """Whatever it claims to be: the claims are checked before any room is made."""
    large = hostile.bomb(12)
    tracemalloc.start()
    with pytest.raises(TillsyncError, match="TS-602 a part claims two different sizes"):
        wire.unpack(large)
    assert tracemalloc.get_traced_memory()[1] < hostile.BOMB_BYTES // 2
    tracemalloc.stop()


def test_what_a_till_says_of_itself_does_not_break_status(among: Among) -> None:
    """Its own account is shown, and is anything at all."""

    @QUIETLY
    @given(st.dictionaries(st.sampled_from(hostile.REPORTED), hostile.REPORTS, max_size=6))
    def tell(body: dict[str, Any]) -> None:
        with suppress(psycopg.Error, TillsyncError):
            among.relays["H9"].report(body)
        among.show()

    tell()
    with closing(connect(among.tills["H9"].dsn, "attacker")) as branch:
        branch.execute("SELECT relay.report_status(%s::text::jsonb)", ["[" * 3000 + "]" * 3000])
    among.show()
