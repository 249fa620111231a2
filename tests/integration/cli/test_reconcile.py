"""`tillsync reconcile` and `repair` as a DBA calls them: exit codes, what is printed, and without a running service."""

from __future__ import annotations

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import Place
from tests.integration.cli.test_service import running


def test_reconcile_proves_that_both_ends_agree_or_names_what_does_not(place: Place, command: Command) -> None:
    place.install("T1", "T2")
    place.on_till("T1", "INSERT INTO sale VALUES (1, '1.50'), (2, '2')")
    command("sync", "till", "-c", "T1/till.toml")
    command("sync", "central")
    with running(place, "run", "till", "-c", "T1/till.toml"):
        equal = command("reconcile", "--branch", "T1", "--json")
        assert (equal.code, equal.json["equal"]) == (0, True), equal
        assert [(t["table"], t["central_rows"], t["till_rows"]) for t in equal.json["branches"][0]["tables"]] == [
            ("public.item", 2, 2),
            ("public.sale", 2, 2),
        ]
        place.on_till("T1", "UPDATE tillsync_state SET applying = 1; UPDATE item SET name = 'unseen' WHERE id = 1")
        place.on_till("T1", "UPDATE tillsync_state SET applying = 0")
        differs = command("reconcile", "--branch", "T1", "--table", "item", "--html", "report.html")
        assert differs.code == 3
        assert "unseen" in differs.out
        assert "apple" in differs.out
        assert "unseen" in (place.directory / "report.html").read_text(encoding="utf-8")
        planned = command("repair", "--table", "item", "--json").json
        assert [(s["branch"], s["way"], s["rows"]) for s in planned["steps"]] == [("T1", "down", 1)]
        assert not planned["done"]
        assert "--apply" in command("repair").out
        assert "carry it" in command("repair", "--key", "1", "--table", "item", "--apply").out
        assert command("reconcile", "--branch", "T1", "--json").json["equal"]
        assert "nothing is known to differ" in command("repair", "--apply").out
        place.on_till("T1", "UPDATE tillsync_state SET applying = 1; UPDATE item SET name = 'unseen' WHERE id = 1")
        place.on_till("T1", "UPDATE tillsync_state SET applying = 0")
        assert command("reconcile", "--branch", "T1").code == 3
    command("repair", "--key", "1").said(2, "TS-802", "--table")
    everybody = command("reconcile", "--last", "--json")
    assert everybody.code == 3
    assert [b["state"] for b in everybody.json["branches"]] == ["compared", "offline"]
    silent = command("reconcile", "--branch", "T2", "--timeout", "1", "--json")
    assert (silent.code, silent.json["branches"][0]["state"]) == (4, "offline")
    command("reconcile", "--branch", "T9").said(2, "TS-143", "T9")
    command("reconcile", "--table", "nothing").said(2, "TS-147", "public.nothing")
