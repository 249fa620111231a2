"""The report of a comparison: as a page, at a terminal, as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import msgspec
import pytest

from orchestrator.core import reconciliation
from orchestrator.core.reconciliation import Report
from orchestrator.core.trend import Kept, totals
from orchestrator.report import reconcile
from orchestrator.report.html import CHARS_MAX, element, seen, value
from orchestrator.report.reconcile_page import page
from tests.tidy.files import ROOT
from tests.unit.reports import HOSTILE, MADE_AT, differing_report, equal_report

BEFORE = [Kept(1, MADE_AT - timedelta(days=1), True, totals(equal_report("T1")))]


def of_books_alone() -> Report:
    """Every row agrees, and a check does not hold."""
    (branch,) = equal_report("T1").branches
    return Report(MADE_AT, False, (replace(branch, books=(replace(branch.books[0], ok=False),)),))


def of_too_many() -> Report:
    """More rows differ than were followed."""
    (branch,) = equal_report("T1").branches
    table = replace(branch.tables[0], missing=3, truncated=True)
    return Report(MADE_AT, False, (replace(branch, tables=(table,)),))


class Seen(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_b87_a_value_that_is_markup_is_text_on_the_page() -> None:
    body = page(differing_report(), BEFORE)
    shown = Seen(body)
    assert HOSTILE in shown.text
    assert "script" not in {tag for tag, _ in shown.elements}
    assert not [a for _, attributes in shown.elements for a in attributes if a.startswith("on")]
    assert "\\u202e" in shown.text, "a character that turns the reading around is shown by its number"
    assert "\u202e" not in shown.text


def test_the_page_needs_nothing_but_itself() -> None:
    body = page(differing_report(), BEFORE).decode()
    shown = Seen(body.encode())
    links = [v for _, attributes in shown.elements for k, v in attributes.items() if k in ("src", "href")]
    assert links
    assert all(link and link.startswith("#") for link in links)
    assert not re.search(r"https?://|//[a-z]|url\(|@import", body)
    assert {"link", "img", "iframe", "object"}.isdisjoint({tag for tag, _ in shown.elements})


def test_the_page_is_made_for_phones_for_paper_and_for_the_dark() -> None:
    body = page(differing_report(), BEFORE).decode()
    assert "width=device-width" in body
    for media in ("max-width: 40rem", "prefers-color-scheme: dark", "@media print"):
        assert media in body
    cells = [attributes for tag, attributes in Seen(body.encode()).elements if tag == "td"]
    assert cells
    assert all("data-label" in attributes for attributes in cells)


def test_the_page_says_both_values_and_the_column() -> None:
    body = page(differing_report()).decode()
    row = body.split("id 19: different")[1].split("id 20")[0]
    cells = re.findall(r'<td data-label="(.+?)">(.+?)</td>', row)
    assert cells == [
        ("column", "name"),
        ("head office", "<code>caf<mark>é</mark></code>"),
        ("till", "<code>caf<mark>e\u0301</mark></code>"),
        ("column", "price"),
        ("head office", "<code>1234.50</code>"),
        ("till", "<code>1234.5<mark>\\u202e</mark>0</code>"),
    ]
    assert ">NULL</i>" in body
    assert ">empty text</i>" in body
    assert "day 2026-03-13, item_id 42, contact_id NULL" in body
    assert "item: without purchase_price: the till has no such column" in body


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (differing_report(), "4 rows at 1 till differ; 2 checks of the books fail; 2 tills did not answer"),
        (equal_report("T1", "T2"), "Everything agrees at 2 tills"),
        (Report(MADE_AT, True, (*equal_report("T1").branches, *differing_report().branches[3:])), "1 till did not"),
        (Report(MADE_AT, True, ()), "No till was asked"),
        (of_books_alone(), "1 check of the books fails"),
        (of_too_many(), "More than 3 rows at 1 till differ"),
    ],
)
def test_every_form_of_it_says_the_verdict(report: Report, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in Seen(page(report, BEFORE)).text
    reconcile.show(report, BEFORE)
    printed = capsys.readouterr().out
    assert said in printed
    assert "0 rows" not in printed


def test_the_terminal_shows_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    reconcile.show(differing_report(), BEFORE)
    said = capsys.readouterr().out
    for line in (
        "item: without purchase_price: the till has no such column",
        "item id 17: missing at the till",
        "item id 18: only at the till",
        "name: head office café, till cafe\u0301",
        "note: head office NULL, till ''",
        "day 2026-03-13, item_id 42, contact_id NULL: amount: head office 100, till 70",
        "receipts could not be checked: receipts add up (TS-823 no such table: receipt)",
        "before: 2026-03-13 02:00 UTC agreed",
    ):
        assert line in said
    assert "\u202e" not in said


def test_values_are_told_apart_and_cut() -> None:
    assert seen("a\x00b\x1b[31m") == "a\\u0000b\\u001b[31m"
    assert seen("x" * 9_999).endswith("… (9,999 characters)")
    assert len(seen("x" * 9_999)) < CHARS_MAX + 30
    assert value("aa", "aaa").find("mark") is None, "what only the other has is marked there"
    assert (value("aaa", "aa").find("mark")) is not None
    assert element("p", "a", element("b", "c"), "d", None).tail is None


def test_the_json_of_a_report_is_what_its_schema_says() -> None:
    stored = json.loads((ROOT / "docs" / "reconcile.schema.json").read_text(encoding="utf-8"))
    assert json.loads(msgspec.json.encode(msgspec.json.schema(Report))) == stored, (
        "a change of the report's form: count up VERSION, write the schema anew"
    )
    assert reconciliation.decode(reconciliation.encode(differing_report())) == differing_report()
    described = (ROOT / "docs" / "reconcile.md").read_text(encoding="utf-8")
    fields = {f for part in stored["$defs"].values() for f in part["properties"]}
    assert [f for f in sorted(fields) if f"`{f}`" not in described] == []
