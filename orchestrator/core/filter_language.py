"""What may stand in a filter: a whitelist of syntax nodes, each with the parts it may have.

Whatever is not listed is refused by its name, so a release of the parser that learns more syntax does not widen the
language. Only immutable, built-in operations are listed: a filter's value depends on nothing but rows and parameters.
"""

from __future__ import annotations

from sqlglot import exp

from orchestrator.core.filter_tree import FilterText, nearest, shown

_PAIR = {"this", "expression"}
_LIST = {"this", "expressions"}
_ONE = {"this"}

STRUCTURE: dict[type[exp.Expr], set[str]] = {
    exp.And: _PAIR,
    exp.Or: _PAIR,
    exp.Not: _ONE,
    exp.Paren: _ONE,
    exp.EQ: _PAIR,
    exp.NEQ: _PAIR,
    exp.LT: _PAIR,
    exp.LTE: _PAIR,
    exp.GT: _PAIR,
    exp.GTE: _PAIR,
    exp.NullSafeEQ: _PAIR,
    exp.NullSafeNEQ: _PAIR,
    exp.Is: _PAIR | {"negate"},
    exp.In: {"this", "expressions", "query"},
    exp.Between: {"this", "low", "high", "symmetric"},
    exp.Like: _PAIR | {"negate"},
    exp.ILike: _PAIR | {"negate"},
    exp.Escape: _PAIR,
    exp.Case: {"this", "ifs", "default"},
    exp.If: {"this", "true"},
    exp.Add: _PAIR,
    exp.Sub: _PAIR,
    exp.Mul: _PAIR,
    exp.Div: _PAIR | {"typed"},
    exp.Mod: _PAIR,
    exp.Neg: _ONE,
    exp.DPipe: _PAIR | {"safe"},
    exp.Cast: {"this", "to"},
    exp.DataType: {"this", "expressions", "nested"},
    exp.DataTypeParam: _ONE,
    exp.Any: _ONE,
    exp.All: _ONE,
    exp.Exists: _ONE,
    exp.Subquery: _ONE,
    exp.Select: {"expressions", "distinct", "from_", "joins", "where", "group", "having"},
    exp.From: _ONE,
    exp.Join: {"this", "on", "kind"},
    exp.Where: _ONE,
    exp.Group: {"expressions"},
    exp.Having: _ONE,
    exp.Distinct: {"expressions"},
    exp.Filter: _PAIR,
    exp.Table: {"this", "db", "alias"},
    exp.TableAlias: _ONE,
    exp.Column: {"this", "table", "db"},
    exp.Identifier: {"this", "quoted"},
    exp.Literal: {"this", "is_string"},
    exp.Boolean: _ONE,
    exp.Null: set(),
    exp.Star: set(),
    exp.Placeholder: _ONE,
    exp.Tuple: {"expressions"},
    exp.Var: _ONE,
}

FUNCTIONS: dict[type[exp.Expr], set[str]] = {
    exp.Lower: _ONE,
    exp.Upper: _ONE,
    exp.Length: _ONE,
    exp.Left: _PAIR,
    exp.Right: _PAIR,
    exp.Substring: {"this", "start", "length"},
    exp.Trim: {"this", "expression", "position"},
    exp.Replace: {"this", "expression", "replacement"},
    exp.StrPosition: {"this", "substr"},
    exp.StartsWith: _PAIR,
    exp.Concat: {"expressions", "safe", "coalesce"},
    exp.Abs: _ONE,
    exp.Sign: _ONE,
    exp.Round: {"this", "decimals"},
    exp.Trunc: {"this", "decimals"},
    exp.Floor: _ONE,
    exp.Ceil: _ONE,
    exp.Coalesce: _LIST,
    exp.Nullif: _PAIR,
    exp.Greatest: _LIST | {"ignore_nulls"},
    exp.Least: _LIST | {"ignore_nulls"},
    exp.TimestampTrunc: {"this", "unit"},
    exp.Extract: _PAIR,
    exp.Count: _ONE | {"big_int"},
    exp.Sum: _ONE,
    exp.Min: _ONE,
    exp.Max: _ONE,
    exp.Avg: _ONE,
    exp.LogicalAnd: _ONE,
    exp.LogicalOr: _ONE,
}

ALLOWED = {**STRUCTURE, **FUNCTIONS}

# What the author calls them.
# fmt: off
FUNCTION_NAMES = frozenset({
    "abs", "avg", "bool_and", "bool_or", "ceil", "coalesce", "concat", "count", "date_trunc", "extract",
    "floor", "greatest", "least", "left", "length", "lower", "max", "min", "nullif", "position", "replace",
    "right", "round", "sign", "starts_with", "substring", "sum", "trim", "trunc", "upper",
})
# fmt: on

# The target of a cast, by sqlglot's name: its family. Within a family a cast does not fail on the form of a value.
TYPES = {
    "SMALLINT": "number",
    "INT": "number",
    "BIGINT": "number",
    "DECIMAL": "number",
    "FLOAT": "number",
    "DOUBLE": "number",
    "BOOLEAN": "bool",
    "TEXT": "text",
    "VARCHAR": "text",
    "CHAR": "text",
    "DATE": "time",
    "TIMESTAMP": "time",
    "TIMESTAMPTZ": "time",
    "UUID": "uuid",
}

UNITS = {"MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "DECADE", "CENTURY"}
FIELDS = UNITS | {"DOW", "ISODOW", "DOY", "ISOYEAR", "EPOCH"}

_SAID: dict[type[exp.Expr], str] = {
    exp.With: "WITH",
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
    exp.Limit: "LIMIT",
    exp.Offset: "OFFSET",
    exp.Order: "ORDER BY",
    exp.Window: "a window function",
    exp.Lateral: "LATERAL",
    exp.Lock: "FOR UPDATE",
    exp.Alias: "a column alias",
    exp.RegexpLike: "a regular expression",
    exp.RegexpILike: "a regular expression",
    exp.TableSample: "TABLESAMPLE",
}
_VOLATILE = (
    exp.CurrentTimestamp,
    exp.CurrentDate,
    exp.CurrentTime,
    exp.Localtimestamp,
    exp.Localtime,
    exp.Rand,
    exp.CurrentUser,
    exp.SessionUser,
)


def check_shape(tree: exp.Expr, text: FilterText) -> None:
    """Refuse every node and every part of a node that is not on the list: TS-205, for functions TS-206."""
    # Outermost first: "LIMIT is not allowed" says more than its literal would.
    for node in tree.walk():
        allowed = ALLOWED.get(type(node))
        if allowed is None:
            raise _not_allowed(node, text)
        for part, value in node.args.items():
            if value and part not in allowed:
                raise _part_not_allowed(node, part, value, text)
        _check_values(node, text)


def _not_allowed(node: exp.Expr, text: FilterText) -> Exception:
    if isinstance(node, _VOLATILE):
        return text.refusal(
            "TS-206",
            node,
            f"{shown(node)} is not allowed: it changes without any row changing",
            "send the dates with the rows and let the till decide, or keep a flag column",
        )
    if isinstance(node, exp.Parameter):
        return text.refusal("TS-205", node, f"{shown(node)} is not allowed", "a parameter is written :name")
    if isinstance(node, exp.Anonymous):
        hint = nearest(node.name.lower(), FUNCTION_NAMES) or "docs/filters.md lists the functions of filters"
        return text.refusal("TS-206", node, f"function {node.name.lower()}() is not allowed", hint)
    if isinstance(node, exp.Func) and type(node) not in _SAID:
        said = node.sql_name().lower()
        return text.refusal("TS-206", node, f"function {said}() is not allowed", "docs/filters.md lists the functions")
    said = _SAID.get(type(node), type(node).__name__)
    return text.refusal("TS-205", node, f"{said} is not allowed", "docs/filters.md lists what is")


def _part_not_allowed(node: exp.Expr, part: str, value: object, text: FilterText) -> Exception:
    first = value[0] if isinstance(value, list) else value
    at = first if isinstance(first, exp.Expr) else node
    if isinstance(node, exp.Placeholder):
        return text.refusal("TS-205", node, "? is not allowed", "a parameter is written :name")
    if isinstance(node, exp.Join):
        word = {"method": "NATURAL", "using": "USING"}.get(part, str(value))
        return text.refusal(
            "TS-205", at, f"{word} JOIN is not allowed", "use an inner JOIN with ON, or a list with WHERE"
        )
    if isinstance(first, exp.Expr) and type(first) in _SAID:
        return _not_allowed(first, text)
    said = type(node).__name__.upper() if not isinstance(node, exp.Func) else node.sql_name().lower()
    return text.refusal(
        "TS-205", at, f"{part.strip('_').upper()} of {said} is not allowed", "docs/filters.md lists what is"
    )


def _check_values(node: exp.Expr, text: FilterText) -> None:
    """The few nodes whose plain values matter."""
    if isinstance(node, exp.Placeholder) and not isinstance(node.this, str):
        raise text.refusal("TS-205", node, "%(name)s is not allowed", "a parameter is written :name")
    if isinstance(node, exp.Join) and node.args.get("kind") not in (None, "", "INNER", "CROSS"):
        raise text.refusal("TS-205", node.this, f"{node.args['kind']} JOIN is not allowed", "use an inner JOIN with ON")
    if isinstance(node, exp.Cast) and node.to.this.name not in {*TYPES, "ARRAY"}:
        raise text.refusal(
            "TS-205", node, f"a cast to {shown(node.to).lower()} is not allowed", "docs/filters.md lists the types"
        )
    if isinstance(node, exp.Var) and node.name.upper() not in FIELDS:
        raise text.refusal("TS-205", node.parent, f"{node.name.lower()} is no unit of date_trunc or extract")
    unit = node.args.get("unit") if isinstance(node, exp.TimestampTrunc) else node.this
    if isinstance(node, (exp.TimestampTrunc, exp.Extract)) and not isinstance(unit, exp.Var):
        raise text.refusal("TS-205", node, "the unit of date_trunc and extract is a fixed word, such as 'day'")
    if (
        isinstance(node, exp.Substring)
        and isinstance(node.args.get("start"), exp.Literal)
        and node.args["start"].is_string
    ):
        raise text.refusal("TS-205", node, "substring() with a pattern is not allowed")
    if isinstance(node, (exp.Literal, exp.Identifier)) and "\0" in node.name:
        raise text.refusal("TS-205", node, "a NUL character cannot stand in PostgreSQL's text")
