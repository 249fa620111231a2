"""What the SQL of a check of the books may say: one SELECT, of whitelisted syntax and functions, in either dialect.

Whatever is not listed is refused by its name, so that a release of the parser that learns more does not widen it. It is
wider than that of filters (`core.filter_language`): a check is evaluated as it stands, nothing is derived from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Literal

from sqlglot import exp, parse
from sqlglot.dialects import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from orchestrator.core.filter_language import ALLOWED as OF_FILTERS
from orchestrator.core.filter_tree import nearest
from orchestrator.errors import ConfigError

End = Literal["central", "till"]
DIALECTS: Mapping[End, str] = {"central": "postgres", "till": "sqlite"}

_ROOTS = (exp.Select, exp.SetOperation)

_SYNTAX: tuple[type[exp.Expr], ...] = (
    *(exp.With, exp.CTE, exp.Union, exp.Intersect, exp.Except, exp.Order, exp.Ordered, exp.Limit, exp.Alias),
    *(exp.Window, exp.WindowSpec, exp.Values, exp.Interval, exp.AtTimeZone, exp.Collate),
)
_FUNCTIONS: tuple[type[exp.Expr], ...] = (
    *(exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue),
    *(exp.Date, exp.TimeToStr, exp.StrToTime, exp.TsOrDsToTimestamp, exp.TsOrDsToDate, exp.UnixToTime),
    *(exp.Typeof, exp.Unicode, exp.Hex, exp.GroupConcat, exp.ToChar),
)
_OF_TIME = frozenset({"date", "time", "datetime", "julianday", "unixepoch", "strftime"})
_NAMED: Mapping[End, frozenset[str]] = {
    "central": frozenset({"to_char", "make_date", "trim_scale", "div"}),
    "till": frozenset({"printf", "format", "total", "ifnull", "instr", "char", *_OF_TIME}),
}
"""Functions that the parser has no node of its own for."""

_ALLOWED = {*OF_FILTERS, *_SYNTAX, *_FUNCTIONS}


def check(book: str, end: End, text: str, parameters: Mapping[str, str]) -> None:
    """Raises ConfigError TS-820 where the SQL is not one SELECT of what is listed. `parameters`: those it may use."""
    try:
        trees = parse(text, read=DIALECTS[end])
    except (SqlglotError, RecursionError) as e:
        said = str(e).splitlines()[0].partition(". Line")[0]
        raise _refusal(book, end, f"it does not parse: {said}", "it is one SELECT") from e
    tree = trees[0] if len(trees) == 1 else None
    if tree is None or not isinstance(tree, _ROOTS):
        raise _refusal(book, end, "it is not one SELECT", "a check only reads")
    for node in tree.walk():
        _check_node(book, end, node, parameters)


def with_parameters(text: str, types: Mapping[str, str], end: End) -> str:
    """The text as psycopg (central) or SQLite (till) takes it, with the parameters it is given by name."""
    if end == "till":
        return text
    return _filled(text, {name: f"CAST(%({name})s AS {kind})" for name, kind in types.items()}, "%%")


def with_nulls(text: str, types: Mapping[str, str]) -> str:
    """Central's text with a typed NULL for every parameter: what PostgreSQL is asked about."""
    return _filled(text, {name: f"CAST(NULL AS {kind})" for name, kind in types.items()}, "%")


def _filled(text: str, values: Mapping[str, str], percent: str) -> str:
    made, done = [], 0
    for colon, name in pairwise(Dialect.get_or_raise("postgres").tokenize(text)):
        if colon.token_type is TokenType.COLON and name.text in values and name.start == colon.end + 1:
            made += [text[done : colon.start].replace("%", percent), values[name.text]]
            done = name.end + 1
    return "".join([*made, text[done:].replace("%", percent), "\n"])


def _check_node(book: str, end: End, node: exp.Expr, parameters: Mapping[str, str]) -> None:
    if isinstance(node, exp.Anonymous):
        if node.name.lower() not in _NAMED[end]:
            hint = nearest(node.name.lower(), _NAMED[end]) or "docs/books.md lists the functions"
            raise _refusal(book, end, f"function {node.name.lower()}() is not allowed", hint)
    elif type(node) not in _ALLOWED and not isinstance(node, exp.Anonymous):
        said = f"function {node.sql_name().lower()}()" if isinstance(node, exp.Func) else type(node).__name__.upper()
        raise _refusal(book, end, f"{said} is not allowed", "docs/books.md lists what is")
    if _is_clock(node):
        raise _refusal(book, end, "the time of day is not allowed", "both ends would look at another time")
    if isinstance(node, exp.Placeholder):
        name = node.name if isinstance(node.this, str) else "?"
        if name not in parameters:
            hint = nearest(name, parameters) or f"it may use {', '.join(f':{p}' for p in sorted(parameters))}"
            raise _refusal(book, end, f"there is no parameter :{name}", hint)
    if end == "till" and isinstance(node, exp.Table) and node.args.get("db"):
        raise _refusal(book, end, f"{node.name} is named with its database", f"write {node.name} alone")
    for part in _forbidden_parts(node):
        raise _refusal(book, end, f"{part.strip('_').upper()} is not allowed", "a check only reads")


def _is_clock(node: exp.Expr) -> bool:
    """SQLite's functions of time mean the present by 'now', or by nothing."""
    if isinstance(node, exp.Literal):
        return bool(node.is_string) and node.name.strip().lower() == "now"
    return isinstance(node, exp.Anonymous) and node.name.lower() in _OF_TIME and not node.expressions


def _forbidden_parts(node: exp.Expr) -> Iterator[str]:
    if isinstance(node, exp.Select):
        yield from (part for part in ("into", "locks", "laterals", "sample", "kind") if node.args.get(part))


def _refusal(book: str, end: End, message: str, hint: str) -> ConfigError:
    where = "head office's" if end == "central" else "the till's"
    return ConfigError("TS-820", f"book {book}, {where} SQL: {message}", hint=hint)
