"""The till's operator at the command line: notices, through the whole chain."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
import pytest
import zxingcpp

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import Place

TILL = ("-c", "T1/till.toml")
WATCHED = ('name = "item"\n', 'name = "item"\nnotice = { kind = "label", columns = ["name", "price"] }\n')


@pytest.fixture
def till(place: Place, command: Command) -> Place:
    """A till that has its items, with labels for all of them."""
    place.write_settings(WATCHED)
    place.install("T1")
    sync(place)
    return place


def sync(place: Place) -> None:
    place.does("sync", "central")
    place.does("sync", "till", *TILL)
    place.does("sync", "central")
    place.does("sync", "till", *TILL)


def test_notices_are_listed_and_acknowledged(till: Place, command: Command) -> None:
    assert command("notices", "list", *TILL, "--json").json == {"notices": []}, "a first load is no news"
    till.on_central("UPDATE item SET price = 1.70 WHERE id = 1; UPDATE item SET price = 4 WHERE id = 3")
    sync(till)
    till.on_central("UPDATE item SET price = 3.5 WHERE id = 3; UPDATE item SET name = 'red apple' WHERE id = 1")
    sync(till)
    found = command("notices", "list", *TILL, "--json").json["notices"]
    assert [(n["table"], n["key"], n["column"], n["old"], n["new"]) for n in found] == [
        ("public.item", [1], "price", "1.5000", "1.7000"),
        ("public.item", [1], "name", "apple", "red apple"),
    ], "a price that went and came back is none"
    assert command("status", *TILL, "--json").json["notice_kinds"]["label"]["due"] == 2
    assert {n["name"] for n in found} == {"red apple"}
    shown = command("notices", "list", *TILL).out
    assert "1.7000" in shown
    assert "red apple" in shown
    price, name = (str(n["id"]) for n in found)
    assert "nothing done" in command("notices", "ack", price, *TILL, "--dry-run").out
    assert command("notices", "ack", price, "--by", "Anna", *TILL, "--json").json["by"] == "Anna"
    assert [n["id"] for n in command("notices", "list", *TILL, "--json").json["notices"]] == [int(name)]
    (past,) = command("notices", "list", "--acked", *TILL, "--json").json["notices"]
    assert (past["id"], past["acked_by"]) == (int(price), "Anna")
    assert "Anna" in command("notices", "list", "--acked", *TILL).out
    command("notices", "ack", "999", *TILL).said(2, "TS-881", "999")
    command("notices", "ack", *TILL).said(2, "TS-700", "--all")
    assert "1 notices acknowledged" in command("notices", "ack", "--all", "--kind", "label", *TILL).out
    assert command("notices", "list", *TILL, "--json").json == {"notices": []}
    the_till_application_does_so_in_its_own_file(till, command)


def the_till_application_does_so_in_its_own_file(till: Place, command: Command) -> None:
    till.on_central("UPDATE item SET price = price + 1")
    sync(till)
    due = till.on_till("T1", "SELECT id, key, old, new FROM tillsync_notice_due ORDER BY id")
    assert [row[1:] for row in due] == [("[1]", "1.7000", "2.7000"), ("[3]", "3.5000", "4.5000")]
    till.on_till("T1", acknowledge(due[0][0], "the till"))
    (left,) = command("notices", "list", *TILL, "--json").json["notices"]
    assert left["key"] == [3]
    past = command("notices", "list", "--acked", *TILL, "--json").json["notices"][0]
    assert (past["key"], past["acked_by"]) == ([1], "the till")


QUERY = """
[labels.query]
item = "SELECT name, price, '8590' || printf('%08d', id) || check_of AS code, valid AS valid_from FROM item, extra WHERE id = :id"
"""


def test_labels_are_printed_scanned_and_told_head_office(till: Place, command: Command) -> None:
    till.on_central("UPDATE item SET price = 1.70, name = 'čučoriedky ^XZ' WHERE id = 1; DELETE FROM item WHERE id = 3")
    sync(till)
    branch = command("status", "--json").json["branches"][0]
    assert branch["labels_late"] == 1
    assert branch["labels_since"] is not None
    assert "nothing done; 1 labels" in command("labels", "--format", "pdf", *TILL, "--dry-run").err
    assert not (till.directory / "labels.pdf").exists()
    ended = command("labels", "--format", "pdf", "--out", "labels.pdf", "--skip", "1", *TILL, "--json")
    (label,) = ended.json["labels"]
    assert (label["name"], label["price"], label["code"]) == ("čučoriedky ^XZ", "1,70\N{NO-BREAK SPACE}€", "1")
    assert {n["key"][0] for n in ended.json["gone"]} == {3}
    assert scanned(till.directory / "labels.pdf") == ["1"]
    table = command("labels", "--format", "csv", "--out", "labels.csv", "--delimiter", ",", *TILL)
    assert "take their labels down" in table.err
    assert "čučoriedky" in (till.directory / "labels.csv").read_text(encoding="utf-8")

    settings = till.directory / "T1" / "till.toml"
    plain = settings.read_text(encoding="utf-8")
    settings.write_text(plain + QUERY, encoding="utf-8")
    till.on_till("T1", "CREATE TABLE extra (check_of, valid); INSERT INTO extra VALUES ('5', '2999-01-01')")
    assert command("labels", "--format", "zpl", "--out", "x.zpl", *TILL, "--ack", "--by", "Anna").code == 0
    zpl = (till.directory / "x.zpl").read_text(encoding="utf-8")
    assert ("^BEN" in zpl, "^FD859000000001^FS" in zpl) == (True, True)
    left = command("notices", "list", *TILL, "--json").json["notices"]
    assert {n["key"][0] for n in left} == {3}, "what was printed is acknowledged, what is gone is not"
    till.on_central("UPDATE item SET price = 1.80 WHERE id = 1")
    sync(till)
    assert command("status", "--json").json["branches"][0]["labels_late"] == 0, "it is valid in a far year only"
    for strange in ('"x"', '{"late": [], "since": 5}', "null"):
        till.on_relay(f"""UPDATE relay.report SET body = jsonb_set(body, '{{labels}}', '{strange}')""")
        assert command("status", "--json").json["branches"][0]["labels_late"] is None
    command("labels", "--format", "zpl", "--sheet", "a4-3x8", *TILL).said(2, "TS-885", "roll")
    command("labels", "--format", "pdf", "--sheet", "a5", *TILL).said(2, "TS-884", "a4-3x8")
    assert "^XA" in till.run("labels", "--format", "zpl", *TILL).out, "standard output is for a printer"
    command("labels", "--format", "csv", "--delimiter", "ab", *TILL).said(2, "TS-700")
    for wrong, word in (("SELECT 1 AS one", "one"), ("SELEC", "syntax"), ("DELETE FROM item", "readonly")):
        settings.write_text(f'{plain}\n[labels.query]\nitem = "{wrong}"\n', encoding="utf-8")
        command("labels", "--format", "csv", "--out", "y.csv", *TILL).said(2, "TS-882", word)
        assert command("notices", "list", *TILL).code == 0, "the list needs no query"
    assert till.on_till("T1", "SELECT count(*) FROM item") == [(1,)]


def scanned(file: Path) -> list[str]:
    document = pypdfium2.PdfDocument(file)
    try:
        return [b.text for page in document for b in zxingcpp.read_barcodes(page.render(scale=4).to_pil())]
    finally:
        document.close()


def acknowledge(number: int, who: str) -> str:
    """The statement of docs/labels.md."""
    from tests.tidy.files import ROOT

    text = (ROOT / "docs" / "labels.md").read_text(encoding="utf-8")
    statement = "    UPDATE" + text.split("    UPDATE")[1].split(";")[0]
    return statement.replace(":who", f"'{who}'").replace(":id", str(number))
