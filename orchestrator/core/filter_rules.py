"""What a filter may say, past its syntax: rules that keep routing right and evaluation free of errors.

Two kinds of rules. Routing works from the rows that a subquery combines, so a subquery inside another one may stand
only in its WHERE or ON. And one bad row must not stop a chain: what commonly fails at run time is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from orchestrator.core.filter_language import TYPES
from orchestrator.core.filter_tree import (
    AGGREGATES,
    FilterText,
    TableInfo,
    asked_by,
    conditions,
    conjuncts,
    has_aggregate,
    has_subquery,
    is_aggregated,
    level,
    nearest,
    shown,
    source_tables,
)

COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_TIGHT = (*COMPARISONS, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Escape)
_LOOSE = (*_TIGHT, exp.Not, exp.And, exp.Or)


def normalize(tree: exp.Expr) -> exp.Expr:
    """Forms that mean the same become one: doubled parentheses of subqueries, aliases in lists, ALL(:list)."""
    for node in list(tree.walk()):
        listed = isinstance(node, exp.Alias) and isinstance(node.parent, exp.Select) and node.arg_key == "expressions"
        doubled = isinstance(node, exp.Subquery) and isinstance(node.parent, exp.Subquery) and not node.alias
        if listed or doubled:
            node.replace(node.this)
        elif isinstance(node, exp.Anonymous) and node.name.upper() == "ALL" and len(node.expressions) == 1:
            node.replace(exp.All(this=exp.Paren(this=node.expressions[0])))
    return tree


def check_syntax_rules(tree: exp.Expr, text: FilterText) -> None:
    """Rules that need no names: TS-205 for a node in a wrong place, TS-210 for operators that need parentheses."""
    for node in tree.walk():
        if isinstance(node, _TIGHT):
            _check_operands(node, text)
        if isinstance(node, exp.In) and not (node.expressions or node.args.get("query")):
            raise text.refusal("TS-205", node, "IN needs a list or a subquery")
        if not _stands_right(node):
            said = type(node).__name__.upper()
            raise text.refusal("TS-205", node, f"{said} cannot stand here", "docs/filters.md shows where it can")


def check_parameters(tree: exp.Expr, parameters: Mapping[str, str], text: FilterText) -> frozenset[str]:
    """The parameters that the filter uses. TS-204 for one that is not declared, or a list used as a single value."""
    used = set()
    for node in tree.find_all(exp.Placeholder):
        name = node.name
        if name not in parameters:
            hint = nearest(name, parameters) or "declare it under [parameters]"
            raise text.refusal("TS-204", node, f"there is no parameter :{name}", hint)
        in_list = isinstance(node.parent, exp.Paren) and isinstance(node.parent.parent, (exp.Any, exp.All))
        if in_list != parameters[name].endswith("[]"):
            kind, hint = ("no list", f"write = :{name}") if in_list else ("a list", f"write = ANY(:{name})")
            raise text.refusal("TS-204", node, f"parameter :{name} is {kind}", hint)
        used.add(name)
    return frozenset(used)


def check_subqueries(tree: exp.Expr, sources: Mapping[str, TableInfo], text: FilterText) -> None:
    """The shape of every subquery (TS-205, TS-208), and EXISTS reduced to what it asks."""
    for node in tree.find_all(*AGGREGATES):
        _check_aggregate(node, text)
    for select in list(tree.find_all(exp.Select)):
        if not select.args.get("from_"):
            raise text.refusal("TS-205", asked_by(select), "a subquery needs a FROM")
        _check_nesting(select, text)
        if isinstance(asked_by(select), exp.Exists):
            # What EXISTS lists is never looked at; only an aggregate in it changes the number of rows.
            if not any(map(has_aggregate, select.expressions)):
                select.set("expressions", [exp.Literal.number(1)])
                select.set("distinct", None)
        else:
            _check_list(select, sources, text)


def check_total(
    tree: exp.Expr, sources: Mapping[str, TableInfo], parameters: Mapping[str, str], text: FilterText
) -> None:
    """TS-209 for what fails on some row some day: a division by zero, a negative length, a text that is no number."""
    for division in tree.find_all(exp.Div, exp.Mod):
        divisor = division.expression.unnest()
        nonzero = isinstance(divisor, exp.Literal) and not divisor.is_string and float(divisor.name) != 0
        guarded = isinstance(divisor, exp.Nullif) and divisor.expression.name == "0"
        if not (nonzero or guarded):
            raise text.refusal("TS-209", division, "this division fails on a zero", "divide by NULLIF(..., 0)")
    for part in tree.find_all(exp.Substring):
        length = part.args.get("length")
        if length is not None and not isinstance(length, exp.Literal):
            raise text.refusal("TS-209", part, "substring() fails on a negative length", "write the length as a number")
    for cast in tree.find_all(exp.Cast):
        source, target = _family(cast.this, sources, parameters), TYPES.get(cast.to.this.name, "list")
        if target not in ("text", source) and source not in ("literal", "null"):
            said = shown(cast.to).lower()
            raise text.refusal("TS-209", cast, f"this cast to {said} can fail on a row", "compare in the column's type")


def _check_operands(node: exp.Expr, text: FilterText) -> None:
    """PostgreSQL and the parser rank these operators differently; parentheses leave no doubt."""
    for operand in node.iter_expressions():
        if isinstance(operand, _LOOSE) and not (
            isinstance(node, exp.Escape) and isinstance(operand, exp.Like | exp.ILike)
        ):
            raise text.refusal("TS-210", operand, "two comparisons in a row", "put parentheses around one of them")


def _stands_right(node: exp.Expr) -> bool:
    """Whether a node that only certain places take stands in one of them."""
    parent = node.parent
    if isinstance(node, (exp.Any, exp.All)):
        if not isinstance(parent, COMPARISONS) or node.arg_key != "expression":
            return False
        return has_subquery(node) or (isinstance(node.this, exp.Paren) and isinstance(node.this.this, exp.Placeholder))
    if isinstance(node, exp.Tuple):
        return isinstance(parent, exp.In) and node.arg_key == "this" and bool(parent.args.get("query"))
    if isinstance(node, exp.Distinct):
        return isinstance(parent, (exp.Select, exp.Count))
    if isinstance(node, exp.Filter):
        return isinstance(node.this, AGGREGATES) and isinstance(node.expression, exp.Where)
    if isinstance(node, exp.Star):
        holder = parent.parent if isinstance(parent, exp.Column) else parent
        return isinstance(parent, exp.Count) or (
            isinstance(holder, exp.Select) and isinstance(asked_by(holder), exp.Exists)
        )
    if isinstance(node, exp.Subquery):
        return isinstance(node.this, exp.Select) and not isinstance(parent, (exp.From, exp.Join))
    if isinstance(node, exp.Group):
        return all(isinstance(column, exp.Column) for column in node.expressions)
    return True


def _check_aggregate(node: exp.Expr, text: FilterText) -> None:
    select = node.find_ancestor(exp.Select)
    at: exp.Expr = node
    while at.parent is not None and at.parent is not select:
        at = at.parent
    if select is None or at.arg_key not in ("expressions", "having"):
        raise text.refusal("TS-205", node, "an aggregate can stand only in a subquery's list or HAVING")
    if any(isinstance(n, AGGREGATES) for n in level(node) if n is not node):
        raise text.refusal("TS-205", node, "an aggregate inside an aggregate")
    own = {table.alias for table in source_tables(select)}
    used = {column.table for column in node.find_all(exp.Column)}
    # PostgreSQL would let the outer query do the counting.
    if used and not used & own:
        raise text.refusal(
            "TS-205", node, "an aggregate over columns of an outer table", "use a column of its own FROM"
        )


def _check_nesting(select: exp.Select, text: FilterText) -> None:
    parts = [*select.expressions, select.args.get("group"), select.args.get("having")]
    for part in parts:
        inner = part.find(exp.Select) if part else None
        if inner is not None:
            hint = "move it into the WHERE of the outer subquery, or out of it"
            raise text.refusal("TS-208", inner, "a subquery in the list, GROUP BY or HAVING of a subquery", hint)


def _check_list(select: exp.Select, sources: Mapping[str, TableInfo], text: FilterText) -> None:
    asking = asked_by(select)
    asked = asking.this if isinstance(asking, exp.In) else None
    wanted = len(asked.expressions) if isinstance(asked, exp.Tuple) else 1
    if len(select.expressions) != wanted:
        raise text.refusal("TS-208", asking, f"the subquery gives {len(select.expressions)} columns, not {wanted}")
    if isinstance(asking, exp.Subquery) and not (_gives_one_group(select) or _looks_up_key(select, sources)):
        hint = "use an aggregate such as max(), all columns of its key, or IN"
        raise text.refusal("TS-208", asking, "this subquery can give more than one row", hint)


def _gives_one_group(select: exp.Select) -> bool:
    return is_aggregated(select) and not select.args.get("group")


def _looks_up_key(select: exp.Select, sources: Mapping[str, TableInfo]) -> bool:
    """Whether WHERE fixes every key column of the only source by a value from outside of it."""
    tables = source_tables(select)
    alias = tables[0].alias
    if len(tables) != 1 or is_aggregated(select) or not sources[alias].key:
        return False
    fixed = set()
    for term in (t for condition in conditions(select) for t in conjuncts(condition) if isinstance(t, exp.EQ)):
        for column, value in ((term.this, term.expression), (term.expression, term.this)):
            outside = not has_subquery(value) and all(c.table != alias for c in value.find_all(exp.Column))
            if isinstance(column, exp.Column) and column.table == alias and outside and not isinstance(value, exp.Any):
                fixed.add(column.name)
    return fixed >= set(sources[alias].key)


def _family(node: exp.Expr, sources: Mapping[str, TableInfo], parameters: Mapping[str, str]) -> str:
    """The family of an expression's type as far as casts need it: text, number, time, bool, uuid, literal or other."""
    if isinstance(node, exp.Literal):
        return "literal" if node.is_string else "number"
    if isinstance(node, exp.Null):
        return "null"
    if isinstance(node, exp.Column):
        return _type_family(sources[node.table].columns[node.name])
    if isinstance(node, exp.Placeholder):
        return _type_family(parameters[node.name])
    if isinstance(node, exp.Cast):
        return TYPES.get(node.to.this.name, "list")
    if isinstance(
        node, (exp.Mul, exp.Div, exp.Mod, exp.Length, exp.Extract, exp.StrPosition, exp.Count, exp.Sum, exp.Avg)
    ):
        return "number"
    if isinstance(node, (exp.DPipe, exp.Lower, exp.Upper, exp.Left, exp.Right, exp.Substring, exp.Trim, exp.Replace)):
        return "text"
    if isinstance(node, exp.Case):
        return _family(node.args["ifs"][0].args["true"], sources, parameters)
    if isinstance(node, (*_LOOSE, exp.Exists, exp.StartsWith, exp.Boolean)):
        return "bool"
    return _family(node.this, sources, parameters) if isinstance(node.this, exp.Expr) else "other"


def _type_family(pg_type: str) -> str:
    """The family of a type as `format_type` prints it; text is the careful answer for what is not known."""
    base = pg_type.partition("(")[0].strip().lower()
    if base.startswith(("timestamp", "date")):
        return "time"
    names = {"smallint": "number", "integer": "number", "bigint": "number", "numeric": "number", "real": "number"}
    return {**names, "double precision": "number", "boolean": "bool", "uuid": "uuid"}.get(base, "text")
