"""Which channels a tick takes in: those that are due, the urgent first, each from where it was covered."""

from __future__ import annotations

from orchestrator.central.lanes import ROWS_AT_ONCE, Lanes, Start, sort
from orchestrator.central.span import Span
from orchestrator.central.tick import Changed
from orchestrator.core.plan import Channel

CHANNELS = [
    Channel("items", "down", (), priority=9),
    Channel("orders", "both", (), priority=1),
    Channel("lists", "down", ()),
]
TABLES = {"items": {"item"}, "orders": {"order", "store"}, "lists": {"list", "item"}}
Logs = dict[str, dict[str, float]]


def sorted_by(logs: Logs, due: set[str] | None, held: dict[str, str] | None = None) -> Lanes:
    def changes(span: Span) -> Changed:
        assert span.now == "now"
        return Changed(logs.get(span.since, {}))

    return sort(CHANNELS, TABLES, Start("base", held or {}, "now"), due, changes)


def going(lanes: Lanes) -> dict[str, set[str]]:
    return {lane.span.since: set(lane.channels) for lane in lanes.going}


def test_all_that_changed_goes_where_nothing_is_scheduled() -> None:
    lanes = sorted_by({"base": {"item": 1}}, None)
    assert (going(lanes), lanes.held, lanes.more) == ({"base": {"items", "orders", "lists"}}, {}, False)
    assert lanes.is_news
    assert not sorted_by({}, None).is_news


def test_what_is_not_due_stays_back_and_is_covered_from_there() -> None:
    lanes = sorted_by({"base": {"item": 1, "order": 1}}, {"orders"})
    assert (going(lanes), lanes.held, lanes.more) == ({"base": {"orders"}}, {"items": "base", "lists": "base"}, False)
    logs: Logs = {"base": {"order": 1}, "old": {"item": 5}}
    lanes = sorted_by(logs, {"orders"}, {"items": "old", "lists": "old"})
    assert (going(lanes), lanes.held) == ({"base": {"orders"}}, {"items": "old", "lists": "old"})
    lanes = sorted_by(logs, {"orders", "items"}, {"items": "old", "lists": "old"})
    assert (going(lanes), lanes.held) == ({"base": {"orders"}, "old": {"items"}}, {"lists": "old"})


def test_what_has_not_changed_is_not_held_back() -> None:
    """Else its logs would be kept, and looked through, for nothing."""
    assert sorted_by({"base": {"order": 1}}, set()).held == {"orders": "base"}
    assert sorted_by({"base": {"other": 1}}, set()).held == {}


def test_the_urgent_goes_first_where_much_has_changed() -> None:
    much = {"base": {"item": ROWS_AT_ONCE, "order": 1.0}}
    every = {"items", "orders", "lists"}
    lanes = sorted_by(much, every)
    assert (going(lanes), lanes.held, lanes.more) == ({"base": {"orders"}}, {"items": "base", "lists": "base"}, True)
    assert not sorted_by({"base": {"item": 3, "order": 1}}, every).more
    assert going(sorted_by({"base": {"item": 10 * ROWS_AT_ONCE}}, every)) == {"base": {"lists"}}
    assert not sorted_by(much, {"orders"}).more, "what is not due is not waited for"
    assert not sorted_by(much, None).more
