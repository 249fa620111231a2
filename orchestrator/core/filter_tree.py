"""What the parts of the filter compiler share: a filter's text with its positions, the catalog, walks over a tree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from orchestrator.errors import ConfigError

ROW = "row"
"""The canonical alias of the filtered table's own row; the sources of subqueries are `sub1`, `sub2`, ..."""

CONNECTORS = (exp.And, exp.Or, exp.Paren)
AGGREGATES = (exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.LogicalAnd, exp.LogicalOr)


@dataclass(frozen=True)
class TableInfo:
    """A central table as the catalog has it: full name, every column with its type, primary key, NOT NULL columns."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    not_null: frozenset[str] = frozenset()

    @property
    def schema(self) -> str:
        return self.name.partition(".")[0]

    @property
    def bare(self) -> str:
        return self.name.partition(".")[2]

    def never_null(self, column: str) -> bool:
        return column in self.key or column in self.not_null


@dataclass(frozen=True)
class FilterText:
    """The text of one filter, and how a complaint about a place in it is worded."""

    table: str
    text: str

    def refusal(self, code: str, node: exp.Expr | int | None, message: str, hint: str = "") -> ConfigError:
        """An error that names the table and, where it is known, line:column of `node` (a node or an offset)."""
        start = node if isinstance(node, int) else self._offset(node)
        place = f"filter of {self.table}"
        if start is not None:
            before = self.text[:start]
            place += f", {before.count(chr(10)) + 1}:{start - (before.rfind(chr(10)) + 1) + 1}"
        return ConfigError(code, f"{place}: {message}", hint=hint)

    def _offset(self, node: exp.Expr | None) -> int | None:
        if node is None:
            return None
        if isinstance(node, exp.Placeholder):
            # The parser keeps no position for parameters.
            found = re.search(rf"(?<!:):{re.escape(node.name)}\b", self.text)
            return found.start() if found else None
        starts = [n.meta["start"] for n in node.walk() if "start" in n.meta]
        found_at = self.text.lower().find(shown(node).lower())
        return min(starts, default=found_at if found_at >= 0 else None)


def shown(node: exp.Expr) -> str:
    """A node's text for a message, whatever it is."""
    return node.sql("postgres", unsupported_level=ErrorLevel.IGNORE)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, as a hint; empty when nothing is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else ""


def level(root: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of one query level: those under `root`, each nested SELECT itself but nothing inside it."""
    return root.walk(prune=lambda n: n is not root and isinstance(n, exp.Select))


def nested_selects(root: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs directly one level below `root`."""
    return (n for n in level(root) if isinstance(n, exp.Select) and n is not root)


def source_tables(select: exp.Select) -> list[exp.Table]:
    """The tables of FROM and of every JOIN, in the order of the text."""
    found = [select.args["from_"].this] if select.args.get("from_") else []
    return found + [join.this for join in select.args.get("joins") or ()]


def conditions(select: exp.Select) -> list[exp.Expr]:
    """What a combination of source rows must satisfy: WHERE and every ON."""
    where = select.args.get("where")
    found = [where.this] if where else []
    return found + [join.args["on"] for join in select.args.get("joins") or () if join.args.get("on")]


def conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """The terms of a condition that all must be true, in the order of the text."""
    left = [node]
    while left:
        term = left.pop().unnest()
        if isinstance(term, exp.And):
            left += [term.expression, term.this]
        else:
            yield term


def has_subquery(node: exp.Expr) -> bool:
    return node.find(exp.Select) is not None


def has_aggregate(node: exp.Expr) -> bool:
    """Whether an aggregate stands in `node` at its own query level."""
    return any(isinstance(n, AGGREGATES) for n in level(node))


def is_aggregated(select: exp.Select) -> bool:
    """Whether the rows of `select` are groups: GROUP BY, HAVING or an aggregate in its list."""
    return bool(select.args.get("group") or select.args.get("having")) or any(map(has_aggregate, select.expressions))


def asked_by(select: exp.Select) -> exp.Expr:
    """The node whose value a subquery decides: EXISTS, IN, the comparison with ANY or ALL, or the scalar subquery."""
    node: exp.Expr = select
    while isinstance(node.parent, exp.Subquery):
        node = node.parent
    asking = node.parent
    if isinstance(asking, exp.Exists) or (isinstance(asking, exp.In) and node.arg_key == "query"):
        return asking
    if isinstance(asking, (exp.Any, exp.All)):
        assert asking.parent is not None
        return asking.parent
    return node
