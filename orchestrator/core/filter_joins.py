"""Subqueries in the form of which every PostgreSQL makes a join."""

from __future__ import annotations

from sqlglot import exp

from orchestrator.core.filter_tree import asked_by
from orchestrator.core.routing import asked_pairs, only_truth_counts


def as_exists(tree: exp.Expr) -> exp.Expr:
    """A copy with `x IN (SELECT y ...)` as `EXISTS (SELECT 1 ... AND x = y)` wherever only truth counts.

    PostgreSQL before 17 evaluates an IN whose subquery asks for the stream anew for every pair of row and stream; of an
    EXISTS it makes a join.
    """
    whole = exp.Paren(this=tree.copy())
    for select in list(whole.find_all(exp.Select)):
        asking = asked_by(select)
        pairs = list(asked_pairs(asking, select))
        if pairs and _is_plain(select) and only_truth_counts(asking):
            where = select.args.get("where")
            equal = [exp.EQ(this=exp.paren(x.copy()), expression=exp.paren(y.copy())) for x, y in pairs]
            select.set("where", exp.Where(this=exp.and_(where.this if where else None, *equal, copy=False)))
            select.set("expressions", [exp.Literal.number(1)])
            asking.replace(exp.Exists(this=select))
    made: exp.Expr = whole.this
    return made


def _is_plain(select: exp.Select) -> bool:
    """Whether it is made of a list, FROM, joins and WHERE alone: then a term more in WHERE asks no other question."""
    return not any(
        value for part, value in select.args.items() if part not in {"expressions", "from_", "joins", "where"}
    )
