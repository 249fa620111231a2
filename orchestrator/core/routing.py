"""Routing SQL out of a filter's tree: which (row, stream) pairs pass, and which may have changed.

`reach` answers the second question for changes of the tables in subqueries. Why it finds every pair whose value
changed: a row's filter can change only if some subquery's value does. That value is made of the combinations of source
rows that satisfy the subquery's conditions. If it changed, one combination counts in one world, before or after, and
not in the other, so that

- either one of its rows is in one world only: it is in the delta of its table, and the others are in the old or in the
  new world, that is in the table now or in its delta;
- or a subquery in its conditions changed for it: the same argument one level deeper, with this combination around it.

In both cases the combination satisfies, in one world, all conditions of its level; those without a subquery depend on
nothing else and can be asked of it. The same holds for the filter itself, which is true in one world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product

from sqlglot import exp, parse_one
from sqlglot.errors import ErrorLevel

from orchestrator.core.filter_tree import (
    CONNECTORS,
    ROW,
    TableInfo,
    asked_by,
    conditions,
    conjuncts,
    has_aggregate,
    has_subquery,
    is_aggregated,
    source_tables,
)

Delta = Callable[[str, tuple[str, ...]], str | None]
"""(full table name, its routing columns) -> relation with old and new images of its changed rows; None: no change."""


@dataclass(frozen=True)
class Reach:
    """One way in which changed rows of `dependency` reach rows of the filtered table, as FROM items and a condition."""

    dependency: str
    sql_from: str
    sql_where: str


@dataclass(frozen=True)
class Aliases:
    """Names for one rendering: the row, the stream, and names for sources that are neither's."""

    row: str
    stream: str

    def of(self, canonical: str) -> str:
        if canonical == ROW:
            return self.row
        taken = (self.row.lower(), self.stream.lower())
        return f"inner_{canonical}" if any(name.startswith("sub") for name in taken) else canonical


def to_sql(tree: exp.Expr) -> str:
    """PostgreSQL's text of a tree, which is used up: identifiers quoted, no comments, an error for the rest."""
    return tree.sql(dialect="postgres", identify=True, comments=False, unsupported_level=ErrorLevel.RAISE, copy=False)


def render(tree: exp.Expr, aliases: Aliases) -> exp.Expr:
    """A copy of `tree` with the names of one rendering in place of the canonical ones and of the parameters."""
    return tree.copy().transform(_rename, aliases, copy=False)


def reaches(
    tree: exp.Expr,
    sources: Mapping[str, TableInfo],
    used: Mapping[str, tuple[str, ...]],
    aliases: Aliases,
    delta: Delta,
) -> list[Reach]:
    """`Filter.reach`. `used` maps a table to its routing columns."""
    deltas = {name: delta(name, columns) for name, columns in used.items()}
    found: list[Reach] = []
    for select in tree.find_all(exp.Select):
        for table in source_tables(select):
            name = sources[table.alias].name
            if deltas[name] is not None:
                found += _reach(tree, table, select, sources, deltas, aliases)
    return sorted(found, key=lambda r: (r.dependency, r.sql_from, r.sql_where))


def _reach(
    tree: exp.Expr,
    changed: exp.Table,
    innermost: exp.Select,
    sources: Mapping[str, TableInfo],
    deltas: Mapping[str, str | None],
    aliases: Aliases,
) -> Iterator[Reach]:
    """All reaches of one occurrence of a table: more than one where NULL needs an answer of its own."""
    chain = _chain(innermost)
    ways = [[terms] for terms in _kept_terms(tree, chain)] + [list(_links(select, sources)) for select in chain]
    for way in product(*ways):
        terms = [term for terms in way for term in terms]
        columns = _columns_of(terms)
        items = [
            _item(table, sources, deltas, columns, aliases, only_changed=table is changed)
            for select in chain
            for table in source_tables(select)
        ]
        where = [to_sql(exp.Paren(this=render(term, aliases))) for term in terms]
        yield Reach(sources[changed.alias].name, ", ".join(items), " AND ".join(where) or "TRUE")


def _chain(innermost: exp.Select) -> list[exp.Select]:
    """The SELECTs from an occurrence up to the filter itself."""
    chain = [innermost]
    while outer := chain[-1].find_ancestor(exp.Select):
        chain.append(outer)
    return chain


def _kept_terms(tree: exp.Expr, chain: list[exp.Select]) -> Iterator[list[exp.Expr]]:
    """Level by level, the terms without a subquery that a counted combination satisfies."""
    inner: exp.Expr | None = None
    for select in chain:
        for condition in conditions(select):
            yield list(_beside(condition, inner))
        inner = asked_by(select)
    yield list(_beside(tree, inner))


def _beside(condition: exp.Expr, inner: exp.Expr | None) -> Iterator[exp.Expr]:
    """The terms that must be true for `condition` to be true because of `inner`, which stands in it (or does not).

    Through AND and OR only: of `NOT (a AND inner)` nothing can be asked.
    """
    path = _path(condition, inner) if inner is not None else []
    if not path:
        yield from (term for term in conjuncts(condition) if not has_subquery(term))
        return
    for node, child in pairwise(path):
        if not isinstance(node, CONNECTORS):
            return
        if isinstance(node, exp.And):
            other = node.expression if child is node.this else node.this
            yield from (term for term in conjuncts(other) if not has_subquery(term))


def _path(root: exp.Expr, node: exp.Expr) -> list[exp.Expr]:
    """The nodes from `root` down to `node`, both included; empty if `node` is not under `root`."""
    path = [node]
    while path[-1] is not root:
        parent = path[-1].parent
        if parent is None:
            return []
        path.append(parent)
    return path[::-1]


def _links(select: exp.Select, sources: Mapping[str, TableInfo]) -> Iterator[list[exp.Expr]]:
    """The equality between what IN asks for and what its subquery gives, in as many ways as NULL makes necessary.

    `x IN (.. y ..)` changes with a y that equals x. It changes between false and NULL with a y that is NULL, or when x
    is NULL: where the result is only asked to be true (AND, OR up to the level's condition) that is no change.
    """
    asking = asked_by(select)
    pairs = list(asked_pairs(asking, select))
    equal = [exp.EQ(this=exp.paren(x.copy()), expression=exp.paren(y.copy())) for x, y in pairs]
    if not pairs or only_truth_counts(asking):
        yield list(equal)
        return
    nullable = [
        (side, term) for pair, term in zip(pairs, equal, strict=True) for side in pair if _may_be_null(side, sources)
    ]
    if len(pairs) > 1 and nullable:
        # Row comparison: not false pair by pair. Rare enough to go without an index.
        yield [exp.NullSafeNEQ(this=exp.Paren(this=term), expression=exp.false()) for term in equal]
        return
    yield list(equal)
    for side, _ in nullable:
        yield [exp.Is(this=exp.paren(side.copy()), expression=exp.Null())]


def asked_pairs(asking: exp.Expr, select: exp.Select) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """(asked, given) expressions whose equality decides; none where the subquery is asked otherwise."""
    by_any = isinstance(asking, exp.EQ) and isinstance(asking.expression, exp.Any)
    by_all = isinstance(asking, exp.NEQ) and isinstance(asking.expression, exp.All)
    if not (isinstance(asking, exp.In) or by_any or by_all):
        return
    # Without GROUP BY a group's value is not that of a single combination.
    if any(map(has_aggregate, select.expressions)) or (is_aggregated(select) and not select.args.get("group")):
        return
    asked = asking.this.expressions if isinstance(asking.this, exp.Tuple) else [asking.this]
    if not any(map(has_subquery, asked)):
        yield from zip(asked, select.expressions, strict=True)


def only_truth_counts(node: exp.Expr) -> bool:
    """Whether false and NULL are the same for `node`: it is a term of its level's condition, through AND and OR."""
    if isinstance(node, exp.NEQ):
        return False
    above = node.parent
    while isinstance(above, CONNECTORS):
        above = above.parent
    return above is None or isinstance(above, (exp.Where, exp.Join))


def _may_be_null(node: exp.Expr, sources: Mapping[str, TableInfo]) -> bool:
    if isinstance(node, exp.Column):
        return not sources[node.table].never_null(node.name)
    return not isinstance(node, exp.Literal)


def _columns_of(terms: list[exp.Expr]) -> dict[str, list[str]]:
    """Canonical alias -> the columns that the terms use of it, sorted."""
    used: dict[str, set[str]] = {}
    for term in terms:
        for column in term.find_all(exp.Column):
            used.setdefault(column.table, set()).add(column.name)
    return {alias: sorted(names) for alias, names in used.items()}


def _item(
    table: exp.Table,
    sources: Mapping[str, TableInfo],
    deltas: Mapping[str, str | None],
    columns: Mapping[str, list[str]],
    aliases: Aliases,
    *,
    only_changed: bool,
) -> str:
    """One FROM item: the delta for the changed occurrence, old and new world together for every other."""
    alias = aliases.of(table.alias)
    info = sources[table.alias]
    changed = deltas[info.name]
    now = exp.table_(info.bare, db=info.schema, quoted=True)
    if changed is None:
        return to_sql(exp.alias_(now, alias, quoted=True, table=True))
    delta = _relation(changed)
    if only_changed:
        return to_sql(exp.alias_(delta, alias, quoted=True, table=True))
    listed: list[exp.Expr] = [exp.column(name, quoted=True) for name in columns.get(table.alias, [])] or [
        exp.Literal.number(1)
    ]
    both = exp.select(*listed).from_(now).union(exp.select(*listed).from_(delta), distinct=False)
    return to_sql(both.subquery(exp.to_identifier(alias, quoted=True)))


def _relation(name: str) -> exp.Table:
    """A relation named by the publisher, folded and quoted as PostgreSQL would read it."""
    table = parse_one(name, read="postgres", into=exp.Table)
    for part in table.find_all(exp.Identifier):
        if not part.args.get("quoted"):
            part.replace(exp.to_identifier(part.name.lower(), quoted=True))
    return table


def _rename(node: exp.Expr, aliases: Aliases) -> exp.Expr:
    if isinstance(node, exp.Column):
        return exp.column(node.name, table=aliases.of(node.table), quoted=True)
    if isinstance(node, exp.TableAlias):
        return exp.TableAlias(this=exp.to_identifier(aliases.of(node.name), quoted=True))
    if isinstance(node, exp.Placeholder):
        return exp.column(f"p_{node.name}", table=aliases.stream, quoted=True)
    return node
