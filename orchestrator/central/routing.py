"""The statements that route one table, composed from `sql/central/queries.sql` and the compiled filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from psycopg import sql

from orchestrator.central.capture import Captured, identifier
from orchestrator.central.span import Span, columns, query
from orchestrator.core import values
from orchestrator.core.filters import Filter, Reach
from orchestrator.core.plan import Channel, Table
from orchestrator.core.planning import channel_parameters

TRUE, FALSE = sql.SQL("true"), sql.SQL("false")


@dataclass(frozen=True)
class Statement:
    """A routing statement in one piece, and in two for many candidates: laid down and analyzed, then routed, with the
    ledger `hold` looked up for each or read through (scanned)."""

    at_once: sql.Composed
    lay_down: sql.Composed
    measured: sql.Composed
    scanned: sql.Composed
    hold: str


@dataclass(frozen=True)
class Route:
    """One table that goes down: how its rows find their streams."""

    channel: Channel
    table: Table
    filter: Filter
    captured: Captured
    parameters: Mapping[str, str]
    channel_parameters: tuple[str, ...]
    _known_reaches: dict[frozenset[str], list[Reach]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def dependencies(self) -> frozenset[str]:
        return frozenset(d.table for d in self.filter.dependencies)

    def delta(
        self,
        span: Span,
        logs: Mapping[str, Captured],
        changed: Mapping[str, bool],
        part_rows: int,
        n: int,
        *,
        every: bool | None,
    ) -> Statement:
        """What tick `n` changes in the loaded streams. `changed`: table -> truncated. `every`: all rows are candidates,
        and true where all of them are to be sent again."""
        candidates = [self._every(sent=bool(every))] if every is not None else []
        if self.table.name in changed:
            candidates.append(self._own())
            if changed[self.table.name]:
                candidates.append(self._every(sent=True))
        candidates += [
            self._reach(r.sql_from, r.sql_where) for r in self._reaches(frozenset(self.dependencies & changed.keys()))
        ]
        if any(changed.get(d) for d in self.dependencies):
            candidates.append(self._every(sent=False))
        read = sorted({self.table.name, *self.dependencies} & changed.keys())
        deltas = [sql.SQL("{} AS MATERIALIZED ({}), ").format(_delta(name), span.of(logs[name])) for name in read]
        scope = sql.SQL("s.loaded_tick IS NOT NULL")
        shipped = sql.SQL("(v.own OR NOT v.held)")
        return self._statement(sql.SQL("").join(deltas), candidates, scope, shipped, TRUE, part_rows, n)

    def snapshot(self, streams: Sequence[int], part_rows: int, n: int) -> Statement:
        """All that the given streams hold as of tick `n`; the ledger is brought in line."""
        scope = sql.SQL("s.stream = ANY ({})").format(list(streams))
        return self._statement(sql.SQL(""), [self._every(sent=False)], scope, TRUE, FALSE, part_rows, n)

    def echo(self, span: Span) -> sql.Composed:
        """What the nodes that asked are told about the rows that they asked about."""
        return query("echo").format(
            tick=span.of(self.captured),
            channel=self.channel.name,
            hold=sql.Identifier(self.captured.hold or ""),
            table=identifier(self.table.name),
            log_key=columns("l", self.table.key),
            asked_key=columns("a", self.table.key),
            hold_is_asked=_equal("h", "a", self.table.key),
            row_is_asked=_equal("r", "a", self.table.key),
            row_doc=self._row_doc(),
            key_doc=self._key_doc("a"),
        )

    def move(self, old: int, new: int, n: int, part_rows: int, span: Span, *, whole: bool) -> sql.Composed:
        """What branches need that go from one stream to another in tick `n`, its ledger made: cut, rows, documents.

        `whole`: all rows are to be sent, as their columns or who knows what changed.
        """
        key = self.table.key
        resent = query("all_again" if whole else "changed_again").format(
            key=columns("l", key), tick=span.of(self.captured)
        )
        return query("move").format(
            hold=sql.Identifier(self.captured.hold or ""),
            table=identifier(self.table.name),
            key=_names(key),
            old=old,
            new=new,
            n=n,
            part_rows=part_rows,
            again=resent,
            row_is_key=_equal("r", "k", key),
            row_doc=self._row_doc(),
            key_doc=self._key_doc("k"),
        )

    @cached_property
    def _predicate(self) -> sql.SQL:
        """Rendered once: that takes longer than a small tick's statement."""
        return _sql(self.filter.predicate("r", "s"))

    def _statement(
        self,
        deltas: sql.Composable,
        candidates: Iterable[sql.Composable],
        scope: sql.Composable,
        shipped: sql.Composable,
        cuts: sql.Composable,
        part_rows: int,
        n: int,
    ) -> Statement:
        key = self.table.key
        streams = self._streams(scope)
        with_candidate = query("with_candidate").format(
            deltas=deltas,
            streams=streams,
            candidates=sql.SQL("\nUNION ALL\n").join(sql.SQL("({})").format(c) for c in candidates),
            key=_names(key),
        )
        measured = query("measured_candidate").format(streams=streams)
        parts = {
            "key": _names(key),
            "row_key": columns("r", key),
            "hold_key": columns("h", key),
            "row_is_candidate": _equal("r", "c", key),
            "hold_is_candidate": _equal("h", "c", key),
            "hold_is_verdict": _equal("h", "v", key),
            "table": identifier(self.table.name),
            "hold": sql.Identifier(self.captured.hold or ""),
            "predicate": self._predicate,
            "row_doc": self._row_doc(),
            "key_doc": self._key_doc("v"),
            "shipped": shipped,
            "cuts": cuts,
            "part_rows": part_rows,
            "n": n,
        }
        rows, lines = query("look_up_rows").format(**parts), query("look_up_lines").format(**parts)
        joined, scanned = query("join_rows").format(**parts), query("scan_lines").format(**parts)
        route = query("route")
        return Statement(
            at_once=route.format(**parts, with_rows=rows, with_lines=lines, with_candidate=with_candidate),
            lay_down=query("lay_down_candidates").format(with_candidate=with_candidate),
            measured=route.format(**parts, with_rows=joined, with_lines=lines, with_candidate=measured),
            scanned=route.format(**parts, with_rows=joined, with_lines=scanned, with_candidate=measured),
            hold=f"tillsync.{sql.Identifier(self.captured.hold or '').as_string()}",
        )

    def _streams(self, scope: sql.Composable) -> sql.Composed:
        typed = [parameter(name, self.parameters[name]) for name in self.channel_parameters]
        return query("streams").format(
            parameters=sql.SQL("").join(typed),
            channel=self.channel.name,
            scope=scope,
            names=sorted(self.channel_parameters),
        )

    def _own(self) -> sql.Composed:
        key = self.table.key
        has_key = sql.SQL("l.{} IS NOT NULL").format(sql.Identifier(key[0]))
        return query("own_candidates").format(key=_names(key), delta=_delta(self.table.name), has_key=has_key)

    def _reach(self, reach_from: str, reach_where: str) -> sql.Composed:
        return query("reach_candidates").format(
            row_key=columns("r", self.table.key),
            table=identifier(self.table.name),
            reach_from=_sql(reach_from),
            reach_where=_sql(reach_where),
        )

    def _reaches(self, changed: frozenset[str]) -> list[Reach]:
        if changed not in self._known_reaches:
            delta = partial(_delta_of_changed, changed)
            self._known_reaches[changed] = self.filter.reach("r", "s", delta)
        return self._known_reaches[changed]

    def _every(self, *, sent: bool) -> sql.Composed:
        return query("every_candidate").format(
            key=_names(self.table.key),
            own=sent,
            table=identifier(self.table.name),
            hold=sql.Identifier(self.captured.hold or ""),
        )

    def _row_doc(self) -> sql.Composed:
        columns = [
            _sql(values.json_expression(c, f"r.{sql.Identifier(c.name).as_string()}")) for c in self.table.columns
        ]
        return sql.SQL("json_build_array({})::text").format(sql.SQL(", ").join(columns))

    def _key_doc(self, alias: str) -> sql.Composed:
        by_name = {c.name: c for c in self.table.columns}
        key = [
            _sql(values.json_expression(by_name[k], f"{alias}.{sql.Identifier(k).as_string()}")) for k in self.table.key
        ]
        return sql.SQL("json_build_array({})::text").format(sql.SQL(", ").join(key))


def routes(
    channels: Iterable[Channel],
    filters: Mapping[str, Filter],
    logs: Mapping[str, Captured],
    parameters: Mapping[str, str],
) -> list[Route]:
    """A route for every table that goes down, channels of the highest priority first."""
    down = sorted((c for c in channels if c.goes_down), key=lambda c: c.priority)
    return [
        Route(c, t, filters[t.name], logs[t.name], parameters, channel_parameters(c, filters))
        for c in down
        for t in c.tables
    ]


def delta_name(table: str) -> str:
    """The name, quoted, under which a statement knows the tick of a table's log."""
    return sql.Identifier(f"delta {table}").as_string()


def _delta_of_changed(changed: frozenset[str], table: str, columns: tuple[str, ...]) -> str | None:
    """What a filter reads in place of a dependency: its tick, which holds the key and every routing column."""
    return delta_name(table) if table in changed else None


def _delta(table: str) -> sql.SQL:
    return _sql(delta_name(table))


def parameter(name: str, pg_type: str) -> sql.Composed:
    """One more item of a SELECT list: a node's or stream's parameter (s.params), typed, as p_<name>."""
    alias, key = sql.Identifier(f"p_{name}"), sql.Literal(name)
    if pg_type.endswith("[]"):
        text = sql.SQL(", ARRAY(SELECT jsonb_array_elements_text(s.params -> {}))::{} AS {}")
        return text.format(key, _sql(pg_type), alias)
    return sql.SQL(", (s.params ->> {})::{} AS {}").format(key, _sql(pg_type), alias)


def _sql(text: str) -> sql.SQL:
    """SQL that was made from a checked tree or from the catalog."""
    return sql.SQL(text)


def _names(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _equal(left: str, right: str, names: Iterable[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, n), sql.Identifier(right, n)) for n in names
    )
