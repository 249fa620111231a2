"""Where rows of one table go at the till: the plan's table, the till's own, and the statements between them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Template

from orchestrator import assets
from orchestrator.core.plan import Channel, Column, Table
from orchestrator.core.values import may_outgrow
from orchestrator.core.values import quote_sqlite as q
from orchestrator.till.catalog import Term, TillColumn, TillTable, UniqueRule


def fill(block: str, **values: str) -> str:
    """A block of `sql/till/queries.sql` with its names filled in."""
    return Template(assets.query(f"till.{block}")).substitute(values)


@dataclass(frozen=True)
class Target:
    """One table of the plan at this till. `number` makes the names of its temporary tables."""

    channel: Channel
    table: Table
    till: TillTable
    number: int

    @cached_property
    def name(self) -> str:
        return f"main.{q(self.till.name)}"

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The key columns by the till's names."""
        return tuple(c.till for c in self.table.till_key)

    @cached_property
    def quoted_key(self) -> tuple[str, ...]:
        return tuple(q(k) for k in self.key)

    @cached_property
    def key_rule(self) -> UniqueRule:
        """The unique rule that the key is."""
        wanted = sorted(k.lower() for k in self.key)
        rules = (r for r in self.till.unique if r.columns and not r.partial)
        return next(r for r in rules if sorted(c.lower() for c in r.columns or ()) == wanted)

    @cached_property
    def other_rules(self) -> tuple[UniqueRule, ...]:
        """The unique rules that a row may break against a row of another key."""
        return tuple(r for r in self.till.unique if r is not self.key_rule)

    def temp(self, what: str) -> str:
        """The name of a temporary table of this target's own."""
        return f"tillsync_{what}_{self.number}"

    def collation(self, name: str) -> str:
        """The collation under which key values are the same."""
        return next(
            (t.collation for t in self.key_rule.terms if t.column and t.column.lower() == name.lower()), "BINARY"
        )

    def column(self, name: str) -> TillColumn:
        found = self.till.column(name)
        assert found is not None, f"{self.till.name}.{name} was there when the plan was installed"
        return found

    def key_declaration(self) -> str:
        """Columns k1.. that compare with keys as the table itself does, and their unique rule: an INTEGER PRIMARY KEY
        would refuse what a till may have in a key, such as a text or a NULL."""
        columns = [
            f"k{i} {self.column(k).affinity} COLLATE {q(self.collation(k))}" for i, k in enumerate(self.key, start=1)
        ]
        return ", ".join([*columns, f"UNIQUE ({', '.join(f'k{i}' for i in range(1, len(self.key) + 1))})"])

    def is_key(self, left: str, right: Sequence[str]) -> str:
        """The key columns of `left` are these expressions."""
        return " AND ".join(f"{left}{q(k)} = {r}" for k, r in zip(self.key, right, strict=True))

    def unless_pending(self, key: Sequence[str], pending: bool) -> str:
        """A condition that leaves out keys with own changes; empty where the table has none."""
        if not pending:
            return ""
        # IS, since a till may have a NULL in a key, though central does not.
        same = " AND ".join(f"p.k{i} IS {k}" for i, k in enumerate(key, start=1))
        return f" AND NOT EXISTS (SELECT 1 FROM temp.{self.temp('pending')} AS p WHERE {same})"


@dataclass(frozen=True)
class Layout:
    """The columns of a part that the plan knows, and where they stand in the part's rows."""

    target: Target
    columns: tuple[Column, ...]
    places: tuple[int, ...]
    width: int

    @cached_property
    def is_plain(self) -> bool:
        """Whether the part's rows have just these columns in this order."""
        return self.places == tuple(range(self.width))

    @cached_property
    def narrow(self) -> tuple[int, ...]:
        """Where decimals stand that the till's column might turn into other numbers."""
        kept = ("TEXT", "BLOB")
        return tuple(
            i for i, c in enumerate(self.columns) if may_outgrow(c) and self.target.column(c.till).affinity not in kept
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(c.till for c in self.columns)

    @cached_property
    def key_places(self) -> tuple[int, ...]:
        """Where the key stands among `columns`."""
        return tuple(self.names.index(k) for k in self.target.key)

    @cached_property
    def key_values(self) -> tuple[str, ...]:
        """The bound key values, where a row of `columns` is bound."""
        return tuple(f"?{i + 1}" for i in self.key_places)

    @cached_property
    def is_complete(self) -> bool:
        """Whether rows can be put: all of the key is there."""
        return set(self.target.key) <= set(self.names)

    def upsert(self, *, pending: bool) -> str:
        target = self.target
        values = ", ".join(f"?{i}" for i in range(1, len(self.columns) + 1))
        unless = target.unless_pending(self.key_values, pending)
        common = {
            "table": target.name,
            "columns": ", ".join(q(n) for n in self.names),
            "key": ", ".join(q(k) for k in target.key),
            "source": f"SELECT {values} WHERE 1{unless}" if pending else f"VALUES ({values})",
        }
        if not self.written:
            return fill("insert_only", **common)
        here = q(target.till.name)
        assignments = ", ".join(f"{q(n)} = excluded.{q(n)}" for n in self.written)
        differs = " OR ".join(self.differs(n, f"{here}.{q(n)}", f"excluded.{q(n)}") for n in self.written)
        return fill("upsert", **common, set=assignments, differs=differs)

    @cached_property
    def written(self) -> tuple[str, ...]:
        """The columns that a row which is there may get anew. Key columns change only where the till takes different
        texts ('ab', 'AB') for the same key."""
        target = self.target
        return tuple(n for n in self.names if n not in target.key or target.collation(n) != "BINARY")

    def differs(self, name: str, here: str, there: str) -> str:
        """Whether two expressions are different values of a column."""
        if self.target.column(name).affinity == "BLOB":  # nothing converts 1 and 1.0 to one another here
            return f"{here} IS NOT {there} COLLATE BINARY OR typeof({here}) <> typeof({there})"
        return f"{here} IS NOT {there} COLLATE BINARY"


def layout(target: Target, part_columns: Sequence[str]) -> Layout:
    """How the columns that a part names meet the plan; columns of a newer plan are left out."""
    known = {c.name: c for c in target.table.columns}
    places = tuple(i for i, name in enumerate(part_columns) if name in known)
    return Layout(target, tuple(known[part_columns[i]] for i in places), places, len(part_columns))


def rule_values(rule: UniqueRule, till: TillTable, values: dict[str, str]) -> list[str]:
    """What a unique rule's terms are for a row whose columns are the given expressions; columns not named are null."""
    return [_term_value(term, till, values) for term in rule.terms]


def _term_value(term: Term, till: TillTable, values: dict[str, str]) -> str:
    if term.column is not None:
        return values.get(term.column, "NULL")
    # The expression's own words over a row that has the values under the table's own names.
    row = ", ".join(f"{values.get(c.name, 'NULL')} AS {q(c.name)}" for c in till.columns)
    return f"(SELECT {term.expression} FROM (SELECT {row}))"


def rule_matches(rule: UniqueRule, new: Sequence[str], *, held: str = "held.") -> str:
    """Whether the row `held` has the unique value `new`; expressions are read in the scope of `held`."""
    return " AND ".join(
        f"{f'{held}{q(term.column)}' if term.column is not None else f'({term.expression})'}"
        f" = {value} COLLATE {q(term.collation)}"
        for term, value in zip(rule.terms, new, strict=True)
    )
