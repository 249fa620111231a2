"""Names in a filter: every column is tied to its table, every table to the catalog, as PostgreSQL would do it.

The tree is rewritten in place to canonical names: the filtered table's own row is `row`, the sources of subqueries
are `sub1`, `sub2`, ... in the order of the text. What the author called them can no longer collide with anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from orchestrator.core.filter_tree import ROW, FilterText, TableInfo, level, nearest, nested_selects, source_tables


@dataclass(frozen=True)
class _Scope:
    """The sources of one query level by the name that the author uses, and the level around it."""

    sources: Mapping[str, str]  # author's name -> canonical alias
    bare: frozenset[str]  # author's names that are table names, not aliases: only those answer to schema.table.column
    outer: _Scope | None = None


@dataclass
class Names:
    """Resolves one filter. `sources` maps each canonical alias to its table when `resolve` is done."""

    text: FilterText
    catalog: Mapping[str, TableInfo]
    table: TableInfo
    sources: dict[str, TableInfo] = field(default_factory=dict)

    def resolve(self, tree: exp.Expr) -> None:
        """Rewrite `tree` to canonical names. Raises ConfigError TS-202 (table), TS-203 (column), TS-207 (ambiguous)."""
        self.sources[ROW] = self.table
        self._level(tree, _Scope({self.table.bare: ROW}, frozenset({self.table.bare})))

    def _level(self, root: exp.Expr, scope: _Scope) -> None:
        for node in list(level(root)):
            if isinstance(node, exp.Column):
                self._column(node, scope)
        for select in list(nested_selects(root)):
            self._level(select, self._enter(select, scope))

    def _enter(self, select: exp.Select, outer: _Scope) -> _Scope:
        names: dict[str, str] = {}
        bare: set[str] = set()
        for table in source_tables(select):
            info = self._table(table)
            alias = _fold(table.args["alias"].this) if table.args.get("alias") else None
            name = alias or info.bare
            if name in names:
                raise self.text.refusal("TS-207", table, f"{name} is used twice in one FROM", "give each its own alias")
            if alias is None:
                bare.add(name)
            canonical = f"sub{len(self.sources)}"
            names[name] = canonical
            self.sources[canonical] = info
            table.replace(exp.Table(this=_quoted(info.bare), db=_quoted(info.schema), alias=_alias(canonical)))
        return _Scope(names, frozenset(bare), outer)

    def _table(self, table: exp.Table) -> TableInfo:
        if not isinstance(table.this, exp.Identifier):
            raise self.text.refusal("TS-205", table, "only tables can stand in FROM")
        name = _fold(table.this)
        schemas = [_fold(table.args["db"])] if table.args.get("db") else [self.table.schema, "public"]
        for schema in schemas:
            if info := self.catalog.get(f"{schema}.{name}"):
                return info
        hint = nearest(f"{schemas[0]}.{name}", self.catalog) or "filters see central's ordinary tables only"
        raise self.text.refusal("TS-202", table, f"there is no table {schemas[0]}.{name}", hint)

    def _column(self, column: exp.Column, scope: _Scope) -> None:
        if isinstance(column.this, exp.Star):
            # s.*: only EXISTS takes it, and drops it.
            self._qualifier(column, scope)
            return
        name = _fold(column.this)
        alias = self._qualifier(column, scope) if column.args.get("table") else self._search(column, name, scope)
        info = self.sources[alias]
        if name not in info.columns:
            hint = nearest(name, info.columns)
            raise self.text.refusal("TS-203", column, f"there is no column {name} in {info.name}", hint)
        # Not replaced as a whole: the old node knows its place in the text.
        column.this.set("this", name)
        column.this.set("quoted", True)
        column.set("table", _quoted(alias))
        column.set("db", None)

    def _qualifier(self, column: exp.Column, scope: _Scope) -> str:
        """The source that `item` in `item.id` or `public.item.id` names: the innermost one."""
        name = _fold(column.args["table"])
        schema = _fold(column.args["db"]) if column.args.get("db") else None
        known: list[str] = []
        at: _Scope | None = scope
        while at:
            alias = at.sources.get(name)
            if alias and (schema is None or (name in at.bare and self.sources[alias].schema == schema)):
                return alias
            known += at.sources
            at = at.outer
        shown = f"{schema}.{name}" if schema else name
        hint = nearest(name, known) or f"known here: {', '.join(known)}"
        raise self.text.refusal("TS-202", column, f"nothing is called {shown} here", hint)

    def _search(self, column: exp.Column, name: str, scope: _Scope) -> str:
        """The source of a column without a qualifier: the innermost level that has it decides."""
        known: list[str] = []
        at: _Scope | None = scope
        while at:
            having = [who for who, alias in at.sources.items() if name in self.sources[alias].columns]
            if len(having) > 1:
                hint = f"write {having[0]}.{name} or {having[1]}.{name}"
                raise self.text.refusal("TS-207", column, f"column {name} is ambiguous", hint)
            if having:
                return at.sources[having[0]]
            known += [c for alias in at.sources.values() for c in self.sources[alias].columns]
            at = at.outer
        raise self.text.refusal("TS-203", column, f"there is no column {name} here", nearest(name, known))


def _fold(identifier: exp.Identifier) -> str:
    """A name as PostgreSQL reads it: folded to lower case unless it is quoted."""
    name = identifier.name
    return name if identifier.args.get("quoted") else name.lower()


def _quoted(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _alias(name: str) -> exp.TableAlias:
    return exp.TableAlias(this=_quoted(name))
