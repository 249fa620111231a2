"""What a person decides: conflicts and parked changes, by command."""

from __future__ import annotations

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import Place

TILL = ("-c", "T1/till.toml")


def test_conflicts_and_parked_changes_are_listed_shown_and_settled(place: Place, command: Command) -> None:
    place.install("T1")
    for _ in range(2):
        place.does("sync", "central")
        place.does("sync", "till", *TILL)
    place.on_till("T1", "UPDATE item SET price = 9 WHERE id = 1; INSERT INTO sale VALUES (1, 'a lot'), (2, '5')")
    place.does("sync", "till", *TILL)
    place.does("sync", "central")
    [conflict] = place.does("conflicts", "list", "--json").json["conflicts"]
    assert (conflict["node"], conflict["policy"], conflict["columns"]) == ("T1", "down", ["price"])
    number = str(conflict["id"])
    assert "item 1" in place.does("conflicts", "list", "--branch", "T1", "--table", "item").out
    assert place.does("conflicts", "list", "--open", "--json").json == {"conflicts": []}
    shown = place.does("conflicts", "show", number).out
    assert "* price" in shown
    command("conflicts", "show", "4711").said(2, "TS-741")
    assert "price = 9" in place.does("conflicts", "restore", number, "--dry-run").out
    place.does("conflicts", "restore", number)
    assert place.on_central("SELECT price FROM item WHERE id = 1") == [(9,)]
    assert place.does("conflicts", "close", number, "--json").json["closed"] == []

    [parked] = place.does("parked", "list", "--json").json["parked"]
    assert (parked["tab"], parked["op"], parked["key"]["id"]) == ("public.sale", "I", "1")
    assert "sale" in place.does("parked", "list", "--branch", "T1").out
    command("parked", "retry").said(2, "TS-700", "--all")
    assert "1 would be tried" in place.does("parked", "retry", "--all", "--dry-run").out
    assert place.does("parked", "retry", str(parked["id"]), "--json").json["released"] == 0
    assert place.does("parked", "drop", str(parked["id"]), "--dry-run", "--json").json["dropped"] == [parked["id"]]
    assert place.does("parked", "drop", str(parked["id"]), "--json").json["dropped"] == [parked["id"]]
    assert place.does("parked", "list", "--json").json == {"parked": []}
    assert [p["state"] for p in place.does("parked", "list", "--all", "--json").json["parked"]] == ["dropped"]
