"""Preflight, verification and repair: each finding is made once, and found with its remedy."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import Ended, Place


def found(ended: Ended) -> dict[str, list[str]]:
    """What was found, by subject; everything has a remedy, and the exit code fits."""
    told = ended.json
    assert all(f["remedy"] for f in told["findings"])
    wrong = [f for f in told["findings"] if not f["is_advice"]]
    assert ended.code == (3 if wrong else 0), ended
    assert told["ok"] is not bool(wrong)
    by_subject: dict[str, list[str]] = {}
    for f in wrong:
        by_subject.setdefault(f["subject"], []).append(f["what"])
    return by_subject


def rebuilt(columns: str) -> str:
    """An upgrade of the till's application that makes the table anew."""
    return (
        f"CREATE TABLE upgraded (id INTEGER PRIMARY KEY, {columns});"
        " INSERT INTO upgraded (id, name, store_id) SELECT id, name, store_id FROM item;"
        " DROP TABLE item; ALTER TABLE upgraded RENAME TO item"
    )


@pytest.fixture
def ready(place: Place) -> Place:
    """An installed chain in which nothing but the test server's speed is wrong."""
    place.install("T1")
    place.does("sync", "central")
    place.does("sync", "till", "-c", "T1/till.toml")
    return place


def test_a_chain_in_order_has_no_findings(ready: Place, command: Command) -> None:
    central = found(command("check", "--json"))
    assert set(central) <= {"server"}, central
    assert all("fsync" in w or "full_page" in w or "synchronous" in w for w in central.get("server", ()))
    assert set(found(command("check", "relay", "--json"))) <= {"server"}
    assert found(command("check", "till", "-c", "T1/till.toml", "--json")) == {}
    assert "as it should be" in command("verify").out
    assert "as it should be" in command("verify", "-c", "T1/till.toml").out
    assert "nothing to put right" in command("repair-triggers").out
    assert "nothing to put right" in command("repair-triggers", "till", "-c", "T1/till.toml").out


def test_what_is_not_installed_is_said_with_what_else_is_wrong(place: Place, command: Command) -> None:
    assert "not installed" in found(command("check", "central", "--json"))["plan"][0]
    place.on_central("CREATE TABLE keyless (a int, b int UNIQUE)")
    place.write_settings(('name = "sale"', 'name = "keyless"'), ('set = { till = ":node" }', ""))
    (what,) = found(command("check", "--json"))["plan"]
    assert what.startswith("TS-135")
    assert "keyless" in what


@pytest.mark.parametrize(
    ("harm", "subject", "words"),
    [
        ("ALTER TABLE item DISABLE TRIGGER tillsync_insert_item", "capture", ["tillsync_insert_item", "disabled"]),
        ("ALTER TABLE item ENABLE TRIGGER tillsync_insert_item", "capture", ["tillsync_insert_item", "always"]),
        ("DROP TRIGGER tillsync_update_item ON item", "capture", ["tillsync_update_item", "missing"]),
        (
            "CREATE OR REPLACE FUNCTION tillsync.tillsync_delete_item() RETURNS trigger LANGUAGE plpgsql"
            " SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'",
            "capture",
            ["tillsync_delete_item", "altered"],
        ),
        (
            "ALTER FUNCTION tillsync.tillsync_update_item() SECURITY INVOKER",
            "capture",
            ["tillsync_update_item", "altered"],
        ),
        (
            "DROP TRIGGER tillsync_delete_item ON item; CREATE TRIGGER tillsync_delete_item AFTER DELETE ON item"
            " FOR EACH ROW EXECUTE FUNCTION tillsync.tillsync_delete_item();"
            " ALTER TABLE item ENABLE ALWAYS TRIGGER tillsync_delete_item",
            "capture",
            ["tillsync_delete_item", "altered"],
        ),
        (
            "ALTER TABLE item ENABLE ALWAYS TRIGGER tillsync_replica_item",
            "capture",
            ["tillsync_replica_item", "replicated alone"],
        ),
        (
            "CREATE TRIGGER stray AFTER INSERT ON sale FOR EACH STATEMENT"
            " EXECUTE FUNCTION tillsync.tillsync_truncate_item()",
            "capture",
            ["stray", "not of the plan"],
        ),
        ("DROP TABLE tillsync.log_item", "capture", ["log_item", "missing"]),
        ("ALTER TABLE item SET UNLOGGED", "rights", ["item", "UNLOGGED"]),
        ('ALTER TABLE item ADD COLUMN "NAME" text', "names", ["name", "item"]),
    ],
)
def test_harm_at_central_is_found_and_repaired(
    ready: Place, command: Command, harm: str, subject: str, words: list[str]
) -> None:
    ready.on_central(harm)
    whats = found(command("check", "central", "--json"))[subject]
    assert any(all(word in what for word in words) for what in whats), whats
    if subject == "capture":
        verified = command("verify", "--json")
        assert found(verified)["capture"] == whats
        command("verify").said(3, "TS-740")
        assert "put right" in command("repair-triggers", "--dry-run").out
        assert command("verify", "--json").code == 3, "a rehearsal repairs nothing"
        assert command("repair-triggers", "--json").json["repaired"]
        assert found(command("verify", "--json")) == {}


def test_a_sequence_that_does_not_know_what_came_up(place: Place, command: Command) -> None:
    place.on_central("DROP TABLE sale")
    place.on_central(
        "CREATE TABLE sale (till text, id int GENERATED BY DEFAULT AS IDENTITY, total numeric, PRIMARY KEY (till, id))"
    )
    place.on_central("INSERT INTO sale VALUES ('T1', 1, 1), ('T1', 7, 1)")
    (what,) = found(command("check", "--json"))["sequences"]
    assert "sale_id_seq will give 1" in what
    place.on_central("SELECT setval('sale_id_seq', 7)")
    assert "sequences" not in found(command("check", "--json"))


def rights(place: Place) -> None:
    for statement in (
        "CREATE ROLE checked LOGIN PASSWORD 'c'",
        "GRANT USAGE ON SCHEMA tillsync TO checked",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tillsync TO checked",
        "GRANT SELECT ON sale TO checked",
    ):
        place.on_central(statement)


def test_missing_rights_are_found_with_their_grants(ready: Place, command: Command) -> None:
    rights(ready)
    info = psycopg.conninfo.conninfo_to_dict(ready.central_dsn)
    ready.write_settings(central=psycopg.conninfo.make_conninfo("", **{**info, "user": "checked", "password": "c"}))
    told = [f for f in command("check", "--json").json["findings"] if f["subject"] in ("rights", "plan")]
    remedies = " ".join(f["remedy"] for f in told)
    assert 'GRANT INSERT, UPDATE, DELETE ON public.sale TO "checked"' in remedies
    assert "item" in " ".join(f["what"] for f in told)


@pytest.mark.parametrize(
    ("harm", "subject", "words"),
    [
        ("DROP TRIGGER tillsync_sale_after_insert", "capture", ["tillsync_sale_after_insert"]),
        (rebuilt("name TEXT NOT NULL, store_id INTEGER"), "plan", ["TS-511", "price"]),
        ("DROP TABLE item", "plan", ["TS-510", "item"]),
        ("CREATE UNIQUE INDEX name_once ON item (name)", "unique rules", ["item (name)", "not at head office"]),
        (
            rebuilt("name NUMERIC, price TEXT, store_id INTEGER"),
            "values",
            ["item.name", "007"],
        ),
        (
            rebuilt("name TEXT NOT NULL, price STRING, store_id INTEGER"),
            "values",
            ["item.price", "STRING", "15 digits"],
        ),
    ],
)
def test_harm_at_a_till_is_found(ready: Place, command: Command, harm: str, subject: str, words: list[str]) -> None:
    ready.on_central("ALTER TABLE item ALTER COLUMN price TYPE numeric(30,4)")
    ready.does("sync", "central")
    ready.does("sync", "till", "-c", "T1/till.toml")
    ready.on_till("T1", harm)
    whats = found(command("check", "till", "-c", "T1/till.toml", "--json"))[subject]
    assert any(all(word in what for word in words) for what in whats), whats
    if subject == "capture":
        assert found(command("verify", "till", "-c", "T1/till.toml", "--json"))["capture"] == whats
        ready.on_till("T1", "INSERT INTO sale VALUES (1, '5')")
        repaired = command("repair-triggers", "till", "-c", "T1/till.toml", "--json").json["repaired"]
        assert "1 rows of sale that were not captured" in repaired
        assert found(command("verify", "till", "-c", "T1/till.toml", "--json")) == {}


def test_a_till_without_a_network_is_checked_all_the_same(ready: Place, command: Command) -> None:
    file = ready.directory / "T1" / "till.toml"
    file.write_text(
        file.read_text().replace("host=", "connect_timeout=2 port=1 host=").replace("@/", "@nowhere.invalid/")
    )
    ready.on_till("T1", "DROP TRIGGER tillsync_sale_after_insert")
    whats = found(command("check", "till", "-c", str(file), "--json"))
    assert "capture" in whats


def test_head_office_sees_what_its_tills_lack(ready: Place, command: Command) -> None:
    ready.on_till("T1", rebuilt("name TEXT NOT NULL, store_id INTEGER"))
    ready.does("sync", "till", "-c", "T1/till.toml")
    (what,) = found(command("check", "--json"))["branches"]
    assert "T1" in what
    assert "price" in what


def test_settings_that_are_not_installed_are_told(ready: Place, command: Command) -> None:
    ready.write_settings(('exclude = ["purchase_price"]', 'exclude = ["purchase_price", "name"]'))
    assert "another plan" in found(command("check", "--json"))["plan"][0]


def test_an_old_till_joins_with_what_it_has(place: Place, command: Command) -> None:
    place.install()
    till = place.till("T1")
    place.does("branch", "add", "T1", "--set", "store_id=1", "--out", str(till / "till.toml"))
    place.on_till("T1", "ALTER TABLE item DROP COLUMN price")
    command("install", "till", "-c", "T1/till.toml").said(2, "TS-511", "--partial")
    told: Any = place.does("install", "till", "-c", "T1/till.toml", "--partial", "--json").json
    assert "price" in told["lacks"][0]
    for _ in range(2):
        place.does("sync", "till", "-c", "T1/till.toml")
        place.does("sync", "central")
    place.does("sync", "till", "-c", "T1/till.toml")
    assert place.on_till("T1", "SELECT id, name FROM item ORDER BY id") == [(1, "apple"), (3, "plum")]
