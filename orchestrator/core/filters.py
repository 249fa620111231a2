"""Filters: SQL predicates over a table, node parameters and, in subqueries, other central tables.

`parse_filter` reads and checks one; a `Filter` gives the SQL that routes with it (see `core.routing`). The language
is described in docs/filters.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp, parse_one
from sqlglot.errors import ParseError, SqlglotError

from orchestrator.core import filter_rules, routing
from orchestrator.core.filter_joins import as_exists
from orchestrator.core.filter_language import check_shape
from orchestrator.core.filter_names import Names
from orchestrator.core.filter_tokens import as_written, check_tokens
from orchestrator.core.filter_tree import ROW, FilterText, TableInfo, conjuncts, shown
from orchestrator.core.routing import Delta, Reach
from orchestrator.errors import ConfigError

__all__ = ["Delta", "Dependency", "Filter", "Reach", "TableInfo", "parse_filter"]

TEXT_CHARS_MAX = 20_000


@dataclass(frozen=True)
class Dependency:
    """A table in a filter's subqueries with the columns that they look at: the routing columns, in catalog order.

    A change of such a row matters when one of these columns changed, or the row came or went.
    """

    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a filter: how deep it stands, its text for a person, and its SQL as `Filter.predicate` has it."""

    depth: int
    text: str
    sql: str


@dataclass(frozen=True)
class Filter:
    """A checked filter of one table.

    `parameters` are those that it uses, `columns` the table's own columns that it looks at (capture must watch them
    even when they are not shipped), `dependencies` the tables of its subqueries, sorted by name.
    The SQL that the methods give may hold `%` (LIKE): psycopg wants it doubled when a statement has parameters.
    """

    table: str
    text: str
    parameters: frozenset[str]
    columns: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    _as_written: str = field(repr=False, compare=False)
    _tree: exp.Expr = field(repr=False, compare=False)
    _sources: Mapping[str, TableInfo] = field(repr=False, compare=False)

    def predicate(self, row_alias: str, stream_alias: str) -> str:
        """The filter in parentheses, over the table's row `row_alias` and `stream_alias`, which has `p_<parameter>`."""
        aliases = routing.Aliases(row_alias, stream_alias)
        return routing.to_sql(exp.Paren(this=routing.render(as_exists(self._tree), aliases)))

    def scope(self, row_alias: str, stream_alias: str) -> str | None:
        """Those of the terms that all must be true in which a parameter stands, as `predicate` has them; None: none."""
        asked = [term for term in conjuncts(self._tree) if term.find(exp.Placeholder) is not None]
        if not asked:
            return None
        aliases = routing.Aliases(row_alias, stream_alias)
        rendered = (routing.to_sql(exp.Paren(this=routing.render(term, aliases))) for term in asked)
        return " AND ".join(rendered)

    def terms(self, row_alias: str, stream_alias: str) -> list[Term]:
        """What the filter is made of: the whole, down to what has no AND, OR or NOT in it, in the order of the text."""
        aliases = routing.Aliases(row_alias, stream_alias)
        bare = self._sources[ROW].bare
        return [
            Term(depth, shown(_by_name(node, bare)), routing.to_sql(exp.Paren(this=routing.render(node, aliases))))
            for depth, node in _parts(self._tree, 0)
        ]

    def question(self) -> str:
        """EXPLAIN of the filter as it was written, with NULL for the parameters: PostgreSQL itself says what is wrong.

        Types, for one: they are its business alone. Run it with `search_path` = the table's schema, public.
        """
        table = routing.to_sql(exp.table_(self._sources[ROW].bare, db=self._sources[ROW].schema, quoted=True))
        return f"EXPLAIN SELECT FROM {table} WHERE ({self._as_written})"

    def reach(self, row_alias: str, stream_alias: str, delta: Delta) -> list[Reach]:
        """Where changed rows of the dependencies may have changed the filter's value, for a row that is as it was.

        A superset of the pairs whose value changed is
        `SELECT row.key, stream.id FROM <streams> stream, <table> row, <reach.sql_from> WHERE <reach.sql_where>`, taken
        over all reaches. The table and its dependencies are read in the new world; `delta(table, routing columns)`
        names a relation with the old and the new images of the table's changed rows, or is None when nothing changed.
        """
        used = {d.table: d.columns for d in self.dependencies}
        aliases = routing.Aliases(row_alias, stream_alias)
        return routing.reaches(self._tree, self._sources, used, aliases, delta)


def parse_filter(text: str, table: str, catalog: Mapping[str, TableInfo], parameters: Mapping[str, str]) -> Filter:
    """Read and check the filter `text` of `table`.

    `catalog` maps full names ("public.item") to every ordinary table that filters may use, with all its columns;
    `parameters` maps names to PostgreSQL types. Raises ConfigError TS-201 to TS-210 with line:column.
    """
    said = FilterText(table, text)
    if table not in catalog:
        raise said.refusal("TS-202", None, f"there is no table {table}")
    try:
        tree = _checked(said)
    except RecursionError as e:
        raise said.refusal("TS-201", None, "it is nested too deep") from e
    names = Names(said, catalog, catalog[table])
    names.resolve(tree)
    used = filter_rules.check_parameters(tree, parameters, said)
    filter_rules.check_subqueries(tree, names.sources, said)
    filter_rules.check_total(tree, names.sources, parameters, said)
    columns = _columns_used(tree, names.sources)
    return Filter(
        table=table,
        text=text,
        parameters=used,
        columns=columns.pop(ROW, ()),
        dependencies=_dependencies(columns, names.sources),
        _as_written=as_written(text, parameters),
        _tree=tree,
        _sources=names.sources,
    )


def _checked(said: FilterText) -> exp.Expr:
    tree = filter_rules.normalize(_parse(said))
    check_shape(tree, said)
    check_tokens(said)
    filter_rules.check_syntax_rules(tree, said)
    return tree


def _parse(said: FilterText) -> exp.Expr:
    text = said.text
    if not text.strip():
        raise said.refusal("TS-201", None, "it is empty", "leave it out to send every row")
    if len(text) > TEXT_CHARS_MAX:
        raise said.refusal("TS-201", None, f"it has {len(text)} characters, {TEXT_CHARS_MAX} at most are read")
    try:
        return parse_one(text, read="postgres", into=exp.Condition)
    except ParseError as e:
        raise _unparsed(said, e) from e
    except SqlglotError as e:
        raise said.refusal("TS-201", None, "it does not parse", "is a quote or a comment left open?") from e


def _unparsed(said: FilterText, error: ParseError) -> ConfigError:
    first = error.errors[0] if error.errors else {}
    if not first.get("line"):
        return said.refusal("TS-201", None, "it does not parse", "is a quote, a comment or a parenthesis left open?")
    token = str(first.get("highlight") or "")
    lines = said.text.split("\n")
    before = sum(len(line) + 1 for line in lines[: first["line"] - 1])
    start = max(before + first["col"] - len(token), 0)
    return said.refusal("TS-201", start, f"it does not parse at '{token}'", "a filter is what would follow WHERE")


def _columns_used(tree: exp.Expr, sources: Mapping[str, TableInfo]) -> dict[str, tuple[str, ...]]:
    """Canonical alias -> the columns used of it, in catalog order."""
    used: dict[str, set[str]] = {alias: set() for alias in sources}
    for column in tree.find_all(exp.Column):
        used[column.table].add(column.name)
    return {alias: tuple(c for c in sources[alias].columns if c in names) for alias, names in used.items()}


def _dependencies(used: Mapping[str, tuple[str, ...]], sources: Mapping[str, TableInfo]) -> tuple[Dependency, ...]:
    by_table: dict[str, set[str]] = {}
    for alias, columns in used.items():
        by_table.setdefault(sources[alias].name, set()).update(columns)
    infos = {info.name: info for info in sources.values()}
    return tuple(
        Dependency(name, tuple(c for c in infos[name].columns if c in by_table[name])) for name in sorted(by_table)
    )


def _parts(node: exp.Expr, depth: int) -> Iterator[tuple[int, exp.Expr]]:
    inner = node.unnest()
    yield depth, inner
    if isinstance(inner, exp.And | exp.Or):
        for term in inner.flatten():
            yield from _parts(term, depth + 1)
    elif isinstance(inner, exp.Not):
        yield from _parts(inner.this, depth + 1)


def _by_name(node: exp.Expr, table: str) -> exp.Expr:
    """The tree as a person would write it: the table's own name for its row, quotes where they are needed."""

    def written(part: exp.Expr) -> exp.Expr:
        if isinstance(part, exp.Placeholder):
            return exp.Var(this=f":{part.name}")
        if isinstance(part, exp.Identifier):
            name = table if part.name == ROW and part.arg_key == "table" else part.name
            return exp.to_identifier(name, quoted=re.fullmatch(r"[a-z_][a-z0-9_]*", name) is None)
        return part

    return node.copy().transform(written)
