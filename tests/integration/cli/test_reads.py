"""What reads: for a person and as JSON, with no secret in either."""

from __future__ import annotations

import json

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import Place
from tests.integration.cli.test_service import running, until


def test_the_plan_before_it_is_installed(place: Place, command: Command) -> None:
    plan = command("config", "check", "--json").json["plan"]
    assert [(c["name"], c["direction"], c["streams_by"]) for c in plan["channels"]] == [
        ("catalogue", "down", ["store_id"]),
        ("sales", "up", []),
    ]
    item = plan["channels"][0]["tables"][0]
    assert (item["name"], item["columns"]) == ("public.item", ["id", "name", "price", "store_id"])
    assert "in order" in command("config", "check").out
    assert command("config", "check", "--offline", "--json").json == {"ok": True}
    assert place.is_bare()


def test_settings_with_their_origin(place: Place, command: Command) -> None:
    shown = command("config", "show", "--origin", "--json").json
    assert shown["poll_ms"]["value"] == "50"
    assert "tillsync.toml" in shown["poll_ms"]["origin"]
    assert shown["log_level"]["origin"] == "default"
    assert "***" in shown["relay.dsn"]["value"]
    assert "relay.dsn" in command("config", "show").out


def test_the_schema_of_a_file(command: Command) -> None:
    assert "channel" in command("config", "schema").json["properties"]
    assert "node" in command("config", "schema", "till").json["properties"]


def test_status(place: Place, command: Command) -> None:
    place.install("T1", "T2")
    place.on_till("T1", "INSERT INTO sale VALUES (1, '1'), (2, '2')")
    till = command("status", "-c", "T1/till.toml", "--json").json
    assert (till["pending"], till["unsent"], till["running"]) == (2, 2, False)
    command("sync", "till", "-c", "T1/till.toml")
    till = command("status", "-c", "T1/till.toml", "--json").json
    assert (till["pending"], till["unsent"], till["running"]) == (2, 0, False)
    assert till["last_round_at"] is not None
    chain = command("status", "--json").json
    first, second = chain["branches"]
    assert (first["node"], first["waiting_uploads"], first["pending"]) == ("T1", 1, 2)
    assert second["report_age_seconds"] is None, "T2 was never there"
    assert chain["central"]["running"] is False
    with running(place, "run", "central"):
        until(lambda: bool(command("status", "--json").json["central"]["running"]))
        until(lambda: command("status", "--json").json["branches"][0]["waiting_uploads"] == 0)
    shown = command("status").out
    assert "T1" in shown
    assert "\x1b" not in shown, "colours in a pipe"
    assert "pending" in command("status", "-c", "T1/till.toml").out


def test_status_without_the_relay(place: Place, command: Command) -> None:
    place.install("T1")
    place.write_settings(relay="postgresql://hq@127.0.0.1:1/relay?connect_timeout=2")
    chain = command("status", "--json").json
    assert "TS-400" in chain["relay"]["error"]
    assert chain["branches"][0]["node"] == "T1"
    assert "TS-400" in command("status").out


def test_status_finds_the_settings_that_are_here(place: Place, command: Command) -> None:
    place.install("T1")
    at_till = Place(place.directory / "T1", place.central_dsn, place.relay_admin_dsn, place.relay_dsn)
    assert at_till.command("status", "--json").json["node"] == "T1"
    assert "branches" in command("status", "--json").json


def test_branches(place: Place, command: Command) -> None:
    place.install("T1")
    assert "T1" in command("branch", "list").out
    listed = command("branch", "list", "--json").json["branches"]
    assert [(b["node"], b["state"], b["params"]) for b in listed] == [("T1", "active", {"store_id": 1})]
    command("branch", "set", "T1", "--set", "store_id=7", "--dry-run")
    assert command("branch", "list", "--json").json["branches"][0]["params"] == {"store_id": 1}
    assert "store_id=7" in command("branch", "set", "T1", "--set", "store_id=7").out
    assert command("branch", "list", "--json").json["branches"][0]["params"] == {"store_id": 7}
    for verb in ("rotate", "retire"):
        assert "nothing done" in command("branch", verb, "T1", "--dry-run").out
    assert "nothing done" in command("branch", "add", "T2", "--set", "store_id=1", "--dry-run").out
    assert len(command("branch", "list", "--json").json["branches"]) == 1


def test_a_tills_settings_on_stdout(place: Place, command: Command) -> None:
    place.install()
    ended = command("branch", "add", "T1", "--set", "store_id=1", "--database", "C:\\pos\\data.db")
    (place.till("T1") / "till.toml").write_text(ended.out)
    shown = command("config", "show", "-c", "T1/till.toml", "--json").json
    assert shown["node"] == "T1"
    assert shown["till.database"].endswith("C:\\pos\\data.db")
    assert command("config", "check", "-c", "T1/till.toml").code == 0


def test_sync_as_json(place: Place, command: Command) -> None:
    place.install("T1")
    ended = command("sync", "central", "--until-idle", "--json")
    assert ended.err == ""
    assert [bool(r["tick"]) for r in json.loads(ended.out)["rounds"]][-2:] == [False, False]
