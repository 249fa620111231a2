"""Random worlds for the routing oracle: schemas, rows, streams, transactions, and filters over them.

Small domains on purpose: rows must meet, values repeat and NULL is everywhere it may be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

PARAMETERS = {"i": "integer", "t": "text", "l": "integer[]", "f": "boolean"}
INTS = ["0", "1", "2"]
TEXTS = ["'x'", "'y'", "''"]
ANY_SUBQUERY_DEPTH = 3


@dataclass(frozen=True)
class RandomTable:
    """A table of a random schema: columns with type and whether NULL is refused."""

    schema: str
    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    not_null: frozenset[str]

    def of_type(self, pg_type: str) -> list[str]:
        return [name for name, declared in self.columns.items() if declared == pg_type]

    @property
    def full(self) -> str:
        return f"{self.schema}.{self.name}"

    def ddl(self) -> str:
        """The table, a copy of its old world, and its delta."""
        required = {*self.key, *self.not_null}
        columns = ", ".join(f"{n} {t}{' NOT NULL' if n in required else ''}" for n, t in self.columns.items())
        copies = "".join(
            f"CREATE UNLOGGED TABLE {self.schema}.{kind}_{self.name} ({columns});" for kind in ("old", "delta")
        )
        return f"CREATE UNLOGGED TABLE {self.full} ({columns}, PRIMARY KEY ({', '.join(self.key)})); {copies}"


def value(rng: Random, pg_type: str, *, null: bool) -> str:
    if null and rng.random() < 0.2:
        return "NULL"
    return rng.choice({"integer": INTS, "text": TEXTS, "boolean": ["true", "false"], "integer[]": _LISTS}[pg_type])


_LISTS = ["'{0,1}'", "'{}'", "'{2}'", "'{0,NULL}'"]


def tables(rng: Random, schema: str) -> list[RandomTable]:
    """Two or three tables; the first is the filtered one. Every column type is in every table, names partly shared."""
    made = []
    for name in ["a", "b", "c"][: rng.choice([2, 3, 3])]:
        columns = {"id": "integer", "n": "integer", "m": "integer", "t": "text", "f": "boolean"}
        if rng.random() < 0.5:
            columns[f"{name}_x"] = "integer"
        key = ("id", "n") if rng.random() < 0.3 else ("id",)
        not_null = frozenset(c for c in columns if rng.random() < 0.2)
        made.append(RandomTable(schema, name, columns, key, not_null))
    return made


def _row(rng: Random, table: RandomTable) -> str:
    required = {*table.key, *table.not_null}
    values = [
        str(rng.randrange(6)) if n == "id" else value(rng, t, null=n not in required) for n, t in table.columns.items()
    ]
    return f"({', '.join(values)})"


def fill(rng: Random, table: RandomTable) -> str:
    rows = ", ".join(_row(rng, table) for _ in range(rng.randrange(2, 9)))
    return f"INSERT INTO {table.full} VALUES {rows} ON CONFLICT DO NOTHING;"


def transaction(rng: Random, made: list[RandomTable]) -> str:
    """Some statements over all tables; rows of the first one mostly stay, rows that are joined often go together."""
    statements = [_statement(rng, rng.choice([*made, *made[1:], *made[1:]]), at) for at in range(rng.randrange(1, 6))]
    if rng.random() < 0.4:
        where = rng.choice(["true", f"n = {rng.choice(INTS)}", f"m = {rng.choice(INTS)}", f"id < {rng.randrange(6)}"])
        statements += [f"DELETE FROM {table.full} WHERE {where};" for table in made[1:]]
    return "\n".join(statements)


def _statement(rng: Random, table: RandomTable, at: int) -> str:
    where = rng.choice([f"id = {rng.randrange(6)}", f"n = {rng.choice(INTS)}", f"id % 2 = {rng.randrange(2)}"])
    kind = rng.randrange(5)
    if kind == 0:
        return f"DELETE FROM {table.full} WHERE {where};"
    if kind == 1:
        return f"UPDATE {table.full} SET id = id + {10 * 2**at} WHERE {where};"
    if kind == 2:
        return fill(rng, table)
    free = [c for c in table.columns if c not in table.key]
    column = rng.choice(free)
    new = value(rng, table.columns[column], null=column not in table.not_null)
    return f"UPDATE {table.full} SET {column} = {new} WHERE {where};"


@dataclass
class Grammar:
    """Writes one random filter of `made[0]`. `levels` are the query levels around a place, innermost last."""

    rng: Random
    made: list[RandomTable]
    levels: list[list[tuple[str, RandomTable]]] = field(default_factory=list)
    aliases: int = 0

    def filter(self) -> str:
        self.levels = [[(self.made[0].name, self.made[0])]]
        text = self.condition(0, 3)
        while "SELECT" not in text:
            text = self.condition(0, 3)
        return text

    def condition(self, depth: int, size: int) -> str:
        """A boolean expression; `depth` counts subqueries around it, `size` bounds its own nesting."""
        rng = self.rng
        if size and rng.random() < 0.45:
            one, two = self.condition(depth, size - 1), self.condition(depth, size - 1)
            return rng.choice(
                [
                    f"{one} AND {two}",
                    f"{one} AND ({two})",
                    f"({one} OR {two})",
                    f"NOT ({one})",
                    f"COALESCE({one}, {rng.choice(['true', 'false'])})",
                    f"({one}) IS {rng.choice(['', 'NOT '])}{rng.choice(['TRUE', 'FALSE', 'NULL'])}",
                    f"CASE WHEN {one} THEN {two} ELSE {self.term(depth)} END",
                    f"({one}) {rng.choice(['=', '<>', 'IS DISTINCT FROM'])} ({two})",
                ]
            )
        if depth < ANY_SUBQUERY_DEPTH and rng.random() < 0.6 / (1 + depth):
            return self.subquery_test(depth)
        return self.term(depth)

    def term(self, depth: int) -> str:
        """A condition without a subquery."""
        rng = self.rng
        a, b = self.integer(), self.integer()
        return rng.choice(
            [
                f"{a} {rng.choice(['=', '=', '<>', '<', '>='])} {b}",
                f"{a} IS {rng.choice(['', 'NOT '])}DISTINCT FROM {b}",
                f"{self.column('integer')} IS {rng.choice(['', 'NOT '])}NULL",
                f"{a} {rng.choice(['', 'NOT '])}IN ({b}, 1)",
                f"{a} {rng.choice(['', 'NOT '])}BETWEEN {rng.choice(['', 'SYMMETRIC '])}{b} AND 2",
                f"{a} {rng.choice(['= ANY', '<> ALL'])}(:l)",
                f"{self.text()} {rng.choice(['=', '<>', 'LIKE', 'NOT ILIKE'])} {self.text()}",
                self.column("boolean"),
                f"{self.column('boolean')} IS NOT TRUE",
                ":f",
            ]
        )

    def subquery_test(self, depth: int) -> str:
        rng = self.rng
        asked = self.integer()
        kind = rng.randrange(8)
        if kind < 3:
            selected = rng.choice(["1", "*", "count_group"])
            if selected == "count_group":
                return f"{rng.choice(['', 'NOT '])}EXISTS ({self.select('1', depth, group=True)})"
            return f"{rng.choice(['', 'NOT '])}EXISTS ({self.select(selected, depth)})"
        if kind == 3:
            return f"{asked} {rng.choice(['', 'NOT '])}IN ({self.listed(depth)})"
        if kind == 4:
            how = rng.choice(["= ANY", "<> ALL", "> ALL", "< ANY", "= ALL", "<> ANY"])
            return f"{asked} {how} ({self.listed(depth)})"
        if kind == 5:
            pair = f"({asked}, {self.integer()})"
            return f"{pair} {rng.choice(['', 'NOT '])}IN ({self.select('integer, integer', depth)})"
        if kind == 6 and (single := [t for t in self.made if t.key == ("id",)]):
            return f"{asked} {rng.choice(['=', '<'])} ({self.lookup(rng.choice(single))})"
        return f"{asked} {rng.choice(['=', '<>', '<', '>='])} ({self.select('aggregate', depth)})"

    def listed(self, depth: int) -> str:
        """A subquery with one column."""
        kind = self.rng.choice(["integer", "integer", "integer", "aggregate"])
        return self.select(kind, depth, group=kind == "integer" and self.rng.random() < 0.2)

    def lookup(self, table: RandomTable) -> str:
        """A scalar subquery by key."""
        alias = self.alias()
        around, outer = self.rng.choice(self.rng.choice(self.levels))
        outside = self.rng.choice([":i", *(f"{around}.{column}" for column in outer.of_type("integer"))])
        return f"SELECT {alias}.m FROM {table.name} {alias} WHERE {alias}.id = {outside}"

    def select(self, selected: str, depth: int, *, group: bool = False) -> str:
        rng = self.rng
        sources = [(self.alias(), rng.choice(self.made)) for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))]
        if rng.random() < 0.15:
            sources[0] = (sources[0][1].name, sources[0][1])
        outer = self.levels
        self.levels = [*outer, sources]
        item = ", ".join(self.item(kind) for kind in selected.split(", "))
        grouped = [self.column("integer", own=True)] if group else []
        if group and selected == "integer":
            item = grouped[0]
        text = f"SELECT {rng.choice(['', 'DISTINCT ']) if selected == 'integer' else ''}{item} FROM {self.sources(sources, depth)}"
        terms = [self.correlation(outer) for _ in range(rng.choice([0, 1, 1, 2]))]
        if rng.random() < 0.6:
            terms.append(f"({self.condition(depth + 1, 1)})")
        if terms:
            text += f" WHERE {' AND '.join(terms)}"
        if group:
            text += f" GROUP BY {grouped[0]} HAVING count(*) {rng.choice(['>', '='])} 1"
        self.levels = outer
        return text

    def sources(self, sources: list[tuple[str, RandomTable]], depth: int) -> str:
        text = ""
        for at, (alias, table) in enumerate(sources):
            item = table.name if alias == table.name else f"{self.rng.choice([table.name, table.full])} {alias}"
            if at == 0:
                text = item
            elif self.rng.random() < 0.5 and "," not in text:
                before, own = sources[at - 1][0], f"{alias}.{self.rng.choice(['id', 'n', 'm'])}"
                text += f" JOIN {item} ON {own} = {before}.{self.rng.choice(['id', 'n'])}"
            else:
                text += f", {item}"
        return text

    def item(self, kind: str) -> str:
        if kind == "integer":
            return self.rng.choice([self.column("integer", own=True), self.integer()])
        if kind != "aggregate":
            return kind
        own = self.column("integer", own=True)
        plain = self.rng.choice([f"max({own})", f"min({own})", "count(*)", f"count(DISTINCT {own})", f"sum({own})"])
        if self.rng.random() < 0.3:
            plain += f" FILTER (WHERE {self.column('boolean', own=True)})"
        return self.rng.choice([plain, f"COALESCE({plain}, 0)"])

    def correlation(self, outer: list[list[tuple[str, RandomTable]]]) -> str:
        """An equality between a row of this level and one around it, or a parameter."""
        own = self.column("integer", own=True)
        if self.rng.random() < 0.3:
            return f"{own} = :i"
        alias, table = self.rng.choice(self.rng.choice(outer))
        return f"{own} = {alias}.{self.rng.choice(table.of_type('integer'))}"

    def integer(self) -> str:
        rng = self.rng
        plain = self.column("integer")
        return rng.choice(
            [plain, plain, plain, rng.choice(INTS), ":i", f"({plain} + 1)", f"COALESCE({plain}, 0)", f"{plain} % 2"]
        )

    def text(self) -> str:
        rng = self.rng
        return rng.choice(
            [self.column("text"), self.column("text"), rng.choice(TEXTS), ":t", f"upper({self.column('text')})"]
        )

    def column(self, pg_type: str, *, own: bool = False) -> str:
        """A column that is visible here, of the innermost level if `own`."""
        rng = self.rng
        at = len(self.levels) - 1 if own else rng.choice([*range(len(self.levels)), len(self.levels) - 1])
        alias, table = rng.choice(self.levels[at])
        name = rng.choice(table.of_type(pg_type))
        inner = [t for level in self.levels[at:] for _, t in level]
        if sum(name in t.columns for t in inner) == 1 and rng.random() < 0.5:
            return name
        return f"{alias}.{name}"

    def alias(self) -> str:
        self.aliases += 1
        return self.rng.choice(["r", "s", "sub1", "x", "y"]) + str(self.aliases)
