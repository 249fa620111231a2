"""Unique rules that only one side has: the other side can make rows that the first cannot take."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.checks.finding import Finding
from orchestrator.core.plan import Channel, Table
from orchestrator.till.catalog import TillTable, UniqueRule
from orchestrator.till.fitness import Fitted

SUBJECT = "unique rules"
LOOSE = ("NOCASE", "RTRIM")


def findings(fitted: Fitted) -> Iterator[Finding]:
    """Rules over columns that travel, of a till's tables against central's."""
    for channel, table, till in fitted.tables:
        here = [_named(rule) for rule in till.unique if rule.columns and not rule.partial]
        there = [_at_till(table, names) for names in (table.key, *table.unique)]
        if channel.goes_down:
            yield from _stricter_here(channel, table, till, there)
        if channel.goes_up:
            for names, rule in zip(table.unique, there[1:], strict=True):
                if not any(own <= rule for own in here):
                    columns = ", ".join(names)
                    what = (
                        f"{table.name} ({columns}) is unique at head office and not at the till: rows are parked there"
                    )
                    yield Finding(SUBJECT, what, f"CREATE UNIQUE INDEX ... ON {till.name} ({', '.join(sorted(rule))})")


def _stricter_here(channel: Channel, table: Table, till: TillTable, there: list[frozenset[str]]) -> Iterator[Finding]:
    travel = {c.till.lower() for c in table.columns}
    for rule in till.unique:
        columns = ", ".join(term.column or term.expression for term in rule.terms)
        names = _named(rule)
        if rule.columns is None or not names <= travel:
            continue
        if not any(theirs <= names for theirs in there):
            what = f"{till.name} ({columns}) is unique at the till and not at head office: rows of head office wait"
            yield Finding(SUBJECT, what, f"make it unique in {table.name}, or drop the till's rule")
        elif loose := sorted({term.collation for term in rule.terms} & set(LOOSE)):
            what = f"{till.name} ({columns}) is unique with {loose[0]} at the till: texts that differ so are one there"
            yield Finding(SUBJECT, what, f"make it unique in {table.name} in that way, too: over lower(..), say")


def _named(rule: UniqueRule) -> frozenset[str]:
    return frozenset(c.lower() for c in rule.columns or ())


def _at_till(table: Table, names: tuple[str, ...]) -> frozenset[str]:
    """A rule of central's by the till's names; columns that come from `set` are the same in all rows of a till."""
    by_name = {c.name: c.till.lower() for c in table.columns}
    return frozenset(by_name[n] for n in names if n in by_name)
