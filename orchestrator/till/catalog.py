"""What a table of the till is: columns, affinities and every unique rule, read from SQLite's own catalog."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from orchestrator.core.values import quote_sqlite
from orchestrator.till.database import rows, value


@dataclass(frozen=True, slots=True)
class TillColumn:
    """One column. `pk` is its place in the primary key, from 1, or 0; `generated` ones cannot be written."""

    name: str
    type: str
    not_null: bool
    default: str | None
    pk: int
    generated: bool

    @property
    def affinity(self) -> str:
        """SQLite's five affinities, by its own rules (https://sqlite.org/datatype3.html, 3.1)."""
        declared = self.type.upper()
        if "INT" in declared:
            return "INTEGER"
        if any(word in declared for word in ("CHAR", "CLOB", "TEXT")):
            return "TEXT"
        if not declared or "BLOB" in declared:
            return "BLOB"
        return "REAL" if any(word in declared for word in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a unique rule: a column with the rule's collation, or an expression in the till's own words."""

    column: str | None
    collation: str
    expression: str = ""


@dataclass(frozen=True, slots=True)
class UniqueRule:
    """A primary key or unique index. A partial one holds for the rows where `where`, in the till's words, is true."""

    terms: tuple[Term, ...]
    where: str | None = None

    @property
    def partial(self) -> bool:
        return self.where is not None

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Its columns, or None where a term is an expression."""
        names = tuple(t.column for t in self.terms if t.column is not None)
        return names if len(names) == len(self.terms) else None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table and what they refer to."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TillTable:
    """A table as the till has it. `rowid_key` is its INTEGER PRIMARY KEY, whose values SQLite itself may draw."""

    name: str
    columns: tuple[TillColumn, ...]
    unique: tuple[UniqueRule, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    rowid_key: str | None = None

    def column(self, name: str) -> TillColumn | None:
        """A column by name, which SQLite compares without case."""
        return next((c for c in self.columns if c.name.lower() == name.lower()), None)

    def is_unique(self, names: tuple[str, ...]) -> bool:
        """Whether these columns, in any order, are a unique rule for all rows."""
        wanted = sorted(n.lower() for n in names)
        return any(
            not rule.partial and rule.columns is not None and sorted(c.lower() for c in rule.columns) == wanted
            for rule in self.unique
        )


def kind_of(db: apsw.Connection, name: str) -> str | None:
    """'table', 'view' or 'virtual', or None where there is no such name."""
    found = rows(
        db,
        "SELECT type, sql FROM main.sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
        (name,),
    )
    return next(("virtual" if sql.upper().startswith("CREATE VIRTUAL") else kind for kind, sql in found), None)


def inspect(db: apsw.Connection, name: str) -> TillTable:
    """Read a table's columns and unique rules."""
    quoted = quote_sqlite(name)
    columns = tuple(
        TillColumn(c[1], c[2], bool(c[3]), c[4], c[5], c[6] in (2, 3))
        for c in rows(db, f"PRAGMA main.table_xinfo({quoted})")
        if c[6] != 1
    )
    indexes = rows(db, f"PRAGMA main.index_list({quoted})")
    unique = [_rule(db, i[1], bool(i[4])) for i in indexes if i[2]]
    key = [c for c in columns if c.pk]
    foreign = _foreign_keys(db, quoted)
    if not key or any(i[3] == "pk" for i in indexes):
        return TillTable(name, columns, tuple(unique), foreign)
    # An INTEGER PRIMARY KEY is the row's own number: it has no index.
    own = UniqueRule((Term(key[0].name, "BINARY"),))
    return TillTable(name, columns, (own, *unique), foreign, rowid_key=key[0].name)


def _foreign_keys(db: apsw.Connection, quoted: str) -> tuple[ForeignKey, ...]:
    """Those whose parent is there; without a list of columns they mean the parent's primary key."""
    found: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, _, parent, column, parent_column, *_ in rows(db, f"PRAGMA main.foreign_key_list({quoted})"):
        found.setdefault(number, []).append((parent, column, parent_column))
    keys: list[ForeignKey] = []
    for parts in found.values():
        parent = parts[0][0]
        own = rows(db, f"PRAGMA main.table_info({quote_sqlite(parent)})")
        primary = [c[1] for c in sorted(own, key=lambda c: c[5]) if c[5]]
        refers = [to for _, _, to in parts if to is not None] or primary
        if len(refers) == len(parts):
            keys.append(ForeignKey(tuple(p[1] for p in parts), parent, tuple(refers)))
    return tuple(keys)


def _rule(db: apsw.Connection, index: str, partial: bool) -> UniqueRule:
    found = [r for r in rows(db, f"PRAGMA main.index_xinfo({quote_sqlite(index)})") if r[5]]
    expressions: list[str] = []
    where: str | None = None
    if partial or any(r[2] is None for r in found):
        sql = value(db, "SELECT sql FROM main.sqlite_master WHERE type = 'index' AND name = ?", (index,))
        expressions, where = split_index(sql)
    terms = tuple(Term(None, r[4], expressions[r[0]]) if r[2] is None else Term(r[2], r[4]) for r in found)
    return UniqueRule(terms, where if partial else None)


def split_index(sql: str) -> tuple[list[str], str | None]:
    """The terms of a CREATE INDEX statement, without ASC and DESC, and its WHERE: what no pragma tells."""
    terms = [""]
    depth = 0
    tokens = _tokens(sql)
    for place, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if depth == 0 and token == ")":
            rest = "".join(tokens[place + 1 :]).strip()
            return [_without_order(t.strip()) for t in terms], rest[len("where") :].strip() or None
        if depth == 1 and token == ",":
            terms.append("")
        elif depth > 1 or (depth == 1 and token != "("):
            terms[-1] += token
    raise AssertionError(f"no index statement: {sql}")


def _without_order(term: str) -> str:
    for word in (" asc", " desc"):
        if term.lower().endswith(word):
            return term[: -len(word)].rstrip()
    return term


def _tokens(sql: str) -> list[str]:
    """Quoted runs kept whole, comments as a space, everything else one character each."""
    tokens: list[str] = []
    at = 0
    while at < len(sql):
        if sql.startswith(("--", "/*"), at):
            close = "\n" if sql[at] == "-" else "*/"
            found = sql.find(close, at + 2)
            at = len(sql) if found < 0 else found + len(close)
            tokens.append(" ")
            continue
        quote = {"'": "'", '"': '"', "`": "`", "[": "]"}.get(sql[at])
        end = sql.index(quote, at + 1) + 1 if quote else at + 1
        tokens.append(sql[at:end])
        at = end
    return tokens
