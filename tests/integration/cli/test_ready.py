"""`status --ready-for`: who holds what is valid on a day, with an exit code that a script can ask."""

from __future__ import annotations

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import Place

TILL = ("-c", "T1/till.toml")


def test_a_script_can_ask_who_is_ready_for_a_day(place: Place, command: Command) -> None:
    place.on_central("ALTER TABLE item ADD begins date, ADD ends date")
    command("status", "--ready-for", "1.3.2026").said(2, "TS-896", "2026-03-01")
    dated = 'exclude = ["purchase_price"]'
    place.write_settings((dated, 'exclude = ["purchase_price", "begins", "ends"]'))
    place.install("T1")
    command("status", "--ready-for", "2026-03-01").said(2, "TS-895", "validity")
    place.write_settings((dated, 'exclude = ["purchase_price", "begins", "ends"]\nvalidity = ["begins", "end"]'))
    command("status", "--ready-for", "2026-03-01").said(2, "TS-132", "end")
    place.write_settings((dated, 'exclude = ["purchase_price", "begins", "ends"]\nvalidity = ["begins", "ends"]'))
    command("status", "--ready-for", "2026-03-01", "--json").said(3, "TS-894", "T1")
    place.does("sync", "central")
    place.does("sync", "till", *TILL)
    place.does("sync", "central")
    place.does("sync", "till", *TILL)
    told = place.does("status", "--ready-for", "2026-03-01", "--json").json
    assert [(b["node"], b["ready"]) for b in told["branches"]] == [("T1", True)]
    place.on_central("INSERT INTO item VALUES (9, 'fig', 5, 1, 1, '2026-03-01')")
    command("status", "--ready-for", "2026-03-01").said(3, "TS-894", "not published 1")
    assert command("status", "--ready-for", "2026-02-28").code == 0
    place.does("sync", "central", "--until-idle")
    shown = command("status", "--ready-for", "2026-03-01")
    shown.said(3, "TS-894", "1 of 1", "T1")
    assert "1 rows are not there" in shown.out
    place.does("sync", "till", *TILL)
    assert "yes" in place.does("status", "--ready-for", "2026-03-01").out
