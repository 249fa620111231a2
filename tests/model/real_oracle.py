"""What must hold of the chain on real parts when it has come to rest, said naively."""

from __future__ import annotations

from orchestrator.central import parked, reconcile_report
from tests.model import papers
from tests.model.chain import STATES, TABLES, Row
from tests.model.real import BOTH, Edit, RealChain

COMPARING_ROUNDS_MAX = 30


def check(chain: RealChain) -> None:
    """The chain has come to rest."""
    rows, inbound = chain.central.rows, chain.central.inbound()
    given_up = parked_of(chain, *TABLES)
    if chain.calm and not (chain.moved or chain.forgot or chain.drifted):
        assert not given_up, f"{given_up}: what was given away is a conflict, and strange only to who has forgotten it"
    for till in chain.tills.values():
        wanted = {pk: row for pk, row in rows.items() if pk[0] != "s" and row[0] == till.store}
        has = {pk: row for pk, row in till.rows.items() if pk[0] != "s"}
        differ = {pk for pk in wanted.keys() | has.keys() if wanted.get(pk) != has.get(pk)} - given_up
        assert not differ, f"{till.node} differs from head office in {differ}"
        assert till.positions() <= inbound, f"not merged: {till.positions() - inbound}"
    known = rows.keys() | given_up | chain.central.contested("true") | chain.dead
    for pk, images in chain.sales.items():
        assert pk in known, f"the sale {pk} was lost"
        assert pk not in rows or rows[pk] in images, "append_only: a sale is as nobody made it"
    if not chain.drifted:
        _sums(
            chain,
            {pk: row for pk, row in rows.items() if pk not in given_up},
            [chain.images[p] for p in inbound if p in chain.images],
        )
    if chain.calm and not (chain.moved or chain.drifted):
        for pk, notes in chain.notes.items():
            if pk in rows and not pk.endswith("x"):
                assert rows[pk][1] == max(notes)[1], "newest_wins: the newest"
    _papers_are_right(chain)


def parked_of(chain: RealChain, *tables: str) -> set[str]:
    listed = "SELECT key ->> 'pk' FROM tillsync.parked WHERE state = 'parked' AND tab = ANY (%s)"
    return {pk for (pk,) in chain.shop.sql(listed, [f"public.{name}" for name in tables])}


def _papers_are_right(chain: RealChain) -> None:
    """What differs is parked, or waits for what is; and when a person has given that up, nothing differs."""
    given_up = parked_of(chain, *papers.LETTERS)
    for till in chain.tills.values():
        waits = {k for (k,) in till.real.sql("SELECT json_extract(key, '$[0]') FROM tillsync_problem")}
        differ = papers.differing(chain.shop.sql, till.real.sql, till.store)
        left = {at for at in differ if at[1] not in given_up | waits}
        assert not left, f"{till.node} differs from head office in {left}, and nothing is parked of that"
    for _ in range(3):
        ids = [n for (n,) in chain.shop.sql("SELECT id FROM tillsync.parked WHERE state = 'parked'")]
        if not ids:
            break
        parked.drop(chain.shop.conn, chain.shop.prepared.plan, ids)
        chain.drain()
    for till in chain.tills.values():
        left = papers.differing(chain.shop.sql, till.real.sql, till.store)
        told = till.real.sql("SELECT central, key, kind, reason FROM tillsync_problem")
        assert not left, f"{till.node} differs from head office in {left} to the end: {told}"
    _agrees(chain)


def _agrees(chain: RealChain) -> None:
    """Tillsync's own comparison says so, too. Of sales it may not: tills change them, and what is dead is missed."""
    tables, office = [f"public.{name}" for name in (*BOTH, *papers.LETTERS)], chain.shop.conn
    number = reconcile_report.start(office, chain.world, list(chain.tills), tables)
    for _ in range(COMPARING_ROUNDS_MAX):
        chain.shop.sync()
        if not reconcile_report.open_nodes(office, number):
            break
    said = reconcile_report.report(office, chain.shop.prepared, chain.world.now(), {}, tables=tables)
    differ = [(b.branch, b.state, t.table, t.differences) for b in said.branches for t in b.tables if t.differences]
    assert said.equal, f"a comparison does not end equal: {differ}"


def _sums(chain: RealChain, rows: dict[str, Row], merged: list[Edit]) -> None:
    met_nothing = chain.central.contested("ours IS NULL")  # or another branch's row
    for pk, row in rows.items():
        if pk[0] == "s" or pk.endswith("x") or pk in met_nothing:
            continue
        images = [(old, new) for key, old, new in [*chain.central.edits, *merged] if key == pk]
        total = sum(int(new[2]) - int(old[2] if old else "0") for old, new in images if new)
        assert int(row[2]) == total, f"additive: the sum of all movements of {pk}"
        furthest = max(STATES.index(new[3]) for old, new in images if new and not (old and old[3] == new[3]))
        assert STATES.index(row[3]) == furthest, "state_machine: the furthest state"
