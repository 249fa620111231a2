"""Policies that ask somebody else: a person, or a function of the DBA's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from orchestrator.core.plan import Channel, PolicySpec
from tests.integration.merge.conftest import Office, Till, table

RESOLVE = """
CREATE FUNCTION resolve(base jsonb, theirs jsonb, ours jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF theirs->>'name' = 'Eve' THEN RAISE EXCEPTION 'nobody knows' USING ERRCODE = 'ZA001'; END IF;
    IF theirs->>'city' = 'nowhere' OR ours->>'city' = 'nowhere' THEN RETURN NULL; END IF;
    RETURN jsonb_build_object('city', concat_ws('+', base->>'city', theirs->>'city', ours->>'city'), 'vip', true);
END $$;
"""
CITIES = "SELECT id, city, vip FROM contact ORDER BY 1"


@pytest.fixture
def judged(open_office: Callable[..., Office]) -> Callable[..., Office]:
    def make(policy: PolicySpec, **columns: PolicySpec) -> Office:
        office = open_office(more=RESOLVE)
        channel = Channel("contacts", "both", (table("contact", policy, column_policy=columns),))
        office.plan = replace(office.plan, channels=(channel,))
        return office

    return make


FUNCTION = PolicySpec("function", function="public.resolve")


def meet(office: Office, till: Till, contact: str, theirs: str | None, ours: str | None, name: str = "Ann") -> None:
    """Both sides change a contact that both have: its city, or (None) they delete it."""
    office.run(f"INSERT INTO contact (id, name, city) VALUES ('{contact}', '{name}', 'Rome')")
    row = {"id": contact, "name": name, "city": "Rome"}
    if theirs is None:
        till.delete("contact", **row)
    else:
        till.update("contact", row, city=theirs)
    change = "DELETE FROM contact" if ours is None else f"UPDATE contact SET city = '{ours}'"
    office.run(f"{change} WHERE id = '{contact}'")


def test_a_function_decides_and_a_row_for_which_it_fails_is_parked_alone(
    judged: Callable[..., Office],
) -> None:
    office = judged(FUNCTION)
    till = office.till()
    meet(office, till, "both", "Oslo", "Bari")
    meet(office, till, "fails", "Oslo", "Bari", name="Eve")
    meet(office, till, "none", "nowhere", "Bari")
    meet(office, till, "gone here", "Oslo", None)
    meet(office, till, "gone here, no", "nowhere", None)
    meet(office, till, "gone there", None, "Bari")
    meet(office, till, "gone there, no", None, "nowhere")
    till.insert("contact", id="new", name="Bea", city="Kiel")
    till.push()
    done = office.collect()
    assert (done.parked, done.conflicts) == (1, 6)
    assert office.rows("SELECT key->>'id', reason, sqlstate FROM tillsync.parked") == [
        ("fails", "nobody knows", "ZA001")
    ]
    assert office.rows(CITIES) == [
        ("both", "Rome+Oslo+Bari", None),  # vip was in the answer, and nobody had changed it
        ("fails", "Bari", None),
        ("gone here", "Oslo", None),
        ("gone there", "Bari", None),
        ("new", "Kiel", None),
    ]
    assert office.rows("SELECT key->>'id', winner FROM tillsync.conflict ORDER BY 1") == [
        ("both", "both"),
        ("gone here", "till"),
        ("gone here, no", "central"),
        ("gone there", "central"),
        ("gone there, no", "till"),
        ("none", "both"),
    ]


def test_a_function_for_one_column_leaves_the_others_to_the_table(judged: Callable[..., Office]) -> None:
    office = judged(PolicySpec("branch_wins"), city=FUNCTION)
    till = office.till()
    office.run("INSERT INTO contact (id, name, city) VALUES ('c1', 'Ann', 'Rome')")
    till.update("contact", {"id": "c1", "name": "Ann", "city": "Rome"}, city="Oslo", name="Anna")
    office.run("UPDATE contact SET city = 'Bari', name = 'Anne'")
    till.push()
    office.collect()
    assert office.rows("SELECT name, city FROM contact") == [("Anna", "Rome+Oslo+Bari")]
    assert office.rows("SELECT policy, columns FROM tillsync.conflict") == [("branch_wins, function", ["name", "city"])]


def test_what_a_person_must_decide_stays_open_and_head_offices_stands_meanwhile(judged: Callable[..., Office]) -> None:
    office = judged(PolicySpec("column_merge"), city=PolicySpec("manual"))
    till = office.till()
    meet(office, till, "c1", "Oslo", "Bari")
    office.run("INSERT INTO contact (id, name, city) VALUES ('c2', 'Bea', 'Rome')")
    till.update("contact", {"id": "c2", "name": "Bea", "city": "Rome"}, name="Bess")
    office.run("UPDATE contact SET name = 'Beth' WHERE id = 'c2'")
    till.push()
    office.collect()
    assert office.rows("SELECT id, name, city FROM contact ORDER BY 1") == [
        ("c1", "Ann", "Bari"),
        ("c2", "Beth", "Rome"),
    ]
    assert office.rows("SELECT key->>'id', state, winner FROM tillsync.conflict ORDER BY 1") == [
        ("c1", "open", "central"),
        ("c2", "decided", "central"),
    ]
