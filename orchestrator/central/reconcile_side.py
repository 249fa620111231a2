"""Head office's side of a comparison: digests and rows, made in SQL and laid down, all as of one tick's snapshot."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg import sql

from orchestrator import assets
from orchestrator.central import unit as units
from orchestrator.central.capture import identifier
from orchestrator.central.routing import parameter
from orchestrator.central.schema import Prepared
from orchestrator.core.comparing import ROWS_MAX, TableAsk
from orchestrator.core.digest import central_text, is_compared
from orchestrator.core.plan import Channel, Column, Table
from orchestrator.core.planning import channel_parameters

MANY_SCOPES = 8

ARGUMENTS_MAX = 24
"""So many columns in one call: a function takes at most a hundred arguments."""


@dataclass(frozen=True)
class Asked:
    """What one branch is asked with a tick: `asks` by table, `streams` by channel as it takes them then."""

    node: str
    params: Mapping[str, Any]
    streams: Mapping[str, int]
    asks: Mapping[str, TableAsk]

    def scope(self, channel: Channel) -> str | None:
        """Which of head office's rows the branch has: its stream's, or those that it sent."""
        if not channel.goes_down:
            return self.node
        return str(self.streams[channel.name]) if channel.name in self.streams else None


def compared_columns(channel: Channel, table: Table, without: Iterable[str] = ()) -> tuple[Column, ...]:
    """The columns of a table that both sides digest, in the order of the plan."""
    left_out, key = frozenset(without), {c.name for c in table.till_key}
    up_only = not channel.goes_down
    return tuple(
        c for c in table.columns if c.name in key or (c.name not in left_out and is_compared(c, sent_up=up_only))
    )


def kind_of(ask: TableAsk) -> str:
    """A question but for the buckets that it is about: what branches of one stream may share an answer to."""
    return msgspec.json.encode(msgspec.structs.replace(ask, within=())).decode()


def statements(prepared: Prepared, n: int, asked: Sequence[Asked], *, is_utf8: bool) -> Iterator[sql.Composed]:
    """What lays down head office's side of tick `n`: one for each table and each kind of question about it."""
    for channel, table in prepared.plan.tables():
        kinds: dict[TableAsk, dict[str, set[int]]] = {}
        for one in asked:
            ask, scope = one.asks.get(table.name), one.scope(channel)
            if ask is not None and scope is not None and not ask.listed:
                kind = msgspec.structs.replace(ask, within=())
                kinds.setdefault(kind, {}).setdefault(scope, set()).update(ask.within)
        for kind, scopes in kinds.items():
            side = _Side(prepared, channel, table, kind, asked, is_utf8)
            yield side.statement(n, scopes)


def unlisted(
    prepared: Prepared, channel: Channel, table: Table, ask: TableAsk, asked: Asked, marks: bytes, *, is_utf8: bool
) -> sql.Composed:
    """The hashes of keys whose rows, as a till marked them, head office does not have by now."""
    side = _Side(prepared, channel, table, ask, [asked], is_utf8)
    return side.unlisted(asked.node, [m for (m,) in struct.iter_unpack(">q", marks)])


@dataclass(frozen=True)
class _Side:
    """One table and one kind of question."""

    prepared: Prepared
    channel: Channel
    table: Table
    kind: TableAsk
    asked: Sequence[Asked]
    is_utf8: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        return compared_columns(self.channel, self.table, self.kind.without)

    def statement(self, n: int, scopes: Mapping[str, set[int]]) -> sql.Composed:
        pairs = [(scope, number) for scope, within in scopes.items() for number in sorted(within)]
        within_shift = 32 - self.kind.within_bits
        is_asked = _block("is_asked").format(within_shift=within_shift) if self.kind.within_bits else sql.SQL("true")
        names = [f"c{i}" for i in range(len(self.columns))]
        return _block("rows" if self.kind.rows else "digest").format(
            n=n,
            tab=self.table.name,
            kind=kind_of(self.kind),
            scopes=[scope for scope, _ in pairs],
            buckets=[number for _, number in pairs],
            members=self._down(scopes) if self.channel.goes_down else self._up(scopes),
            shift=32 - self.kind.bits,
            within_shift=within_shift,
            is_asked=is_asked,
            row=sql.SQL("m.row") if self._is_for_many(scopes) else self._row_hash("m"),
            texts=sql.SQL(", ").join(map(sql.SQL, names)),
            rows_max=ROWS_MAX + 1,
        )

    def unlisted(self, node: str, marks: Sequence[int]) -> sql.Composed:
        return _block("unlisted").format(
            marks=list(marks),
            members=self._up([node]),
            row_text=self._row_text("m"),
        )

    def _down(self, scopes: Collection[str]) -> sql.Composed:
        prepared = self.prepared
        compiled = prepared.filters[self.table.name]
        names = channel_parameters(self.channel, prepared.filters)
        streams = sql.SQL(assets.query("central.streams")).format(
            parameters=sql.SQL("").join(parameter(name, prepared.plan.parameters[name]) for name in names),
            channel=self.channel.name,
            scope=sql.SQL("s.stream = ANY ({})").format([int(scope) for scope in scopes]),
            names=sorted(names),
        )
        predicate = sql.SQL(compiled.predicate("r", "s"))
        if self._is_for_many(scopes):
            given = {**self._common, "row_text": self._row_text("c")}
            return _block("down_many").format(**given, streams=streams, predicate=predicate)
        return _block("down").format(**self._common, streams=streams, predicate=predicate)

    def _is_for_many(self, scopes: Collection[str]) -> bool:
        """Whether rows are hashed before it is known who has them: most of them are then at several branches."""
        return self.channel.goes_down and not self.kind.rows and len(scopes) >= MANY_SCOPES

    def _row_text(self, alias: str) -> sql.Composable:
        return self._hashable(_row_text(f"{alias}.c{i}" for i in range(len(self.columns))))

    def _row_hash(self, alias: str) -> sql.Composed:
        return sql.SQL("md5({})").format(self._row_text(alias))

    def _up(self, scopes: Iterable[str]) -> sql.Composed:
        types = {c.name: c.type for c in self.prepared.catalog[self.table.name].columns}
        params = {one.node: one.params for one in self.asked}
        given = list(self.table.set.items())
        rows = [
            sql.SQL("({})").format(
                sql.SQL(", ").join(
                    [
                        sql.SQL("{}::text").format(node),
                        *(
                            sql.SQL("{}::{}").format(
                                sql.Literal(units._given(v, node, params[node])), sql.SQL(types[k])
                            )
                            for k, v in given
                        ),
                    ]
                )
            )
            for node in scopes
        ]
        own = [
            sql.SQL("{} = {}").format(sql.Identifier("r", name), sql.Identifier("s", f"v{i}"))
            for i, (name, _) in enumerate(given)
        ]
        if self.kind.low is not None:
            first = self.table.till_key[0]
            own.append(sql.SQL("{} >= {}::numeric").format(sql.Identifier("r", first.name), self.kind.low))
        return _block("up").format(
            **self._common,
            scopes=sql.SQL(", ").join(rows),
            names=sql.SQL(", ").join(map(sql.SQL, ["scope", *(f"v{i}" for i in range(len(given)))])),
            is_own=sql.SQL(" AND ").join(own) if own else sql.SQL("true"),
        )

    @property
    def _common(self) -> dict[str, sql.Composable]:
        names = [c.name for c in self.columns]
        texts = [
            sql.SQL("{} AS {}").format(
                sql.SQL(central_text(c, sql.Identifier("r", c.name).as_string())), sql.Identifier(f"c{i}")
            )
            for i, c in enumerate(self.columns)
        ]
        key = _row_text(f"c.c{names.index(c.name)}" for c in self.table.till_key)
        hashed = sql.SQL("('x' || left(md5({}), 8))::bit(32)::bigint").format(self._hashable(key))
        is_hashed = self.kind.bits or self.kind.within_bits or self.kind.listed
        return {
            "hash": hashed if is_hashed else sql.SQL("0::bigint"),
            "table": identifier(self.table.name),
            "columns": sql.SQL(", ").join(texts),
        }

    def _hashable(self, text: sql.Composable) -> sql.Composable:
        """A till hashes UTF-8, whatever the encoding of this database."""
        return text if self.is_utf8 else sql.SQL("convert_to({}, 'UTF8')").format(text)


def _row_text(texts: Iterable[str]) -> sql.Composed:
    """`core.digest.row_text` in SQL: each text with its length before it, of a NULL only the colon."""
    parts: list[sql.Composable] = [sql.SQL("length({0}), ':', {0}").format(sql.SQL(text)) for text in texts]
    calls = [
        sql.SQL("concat({})").format(sql.SQL(", ',', ").join(parts[i : i + ARGUMENTS_MAX]))
        for i in range(0, len(parts), ARGUMENTS_MAX)
    ]
    return sql.SQL(" || ',' || ").join(calls)


def _block(name: str) -> sql.SQL:
    return sql.SQL(assets.query(f"central/reconcile.{name}"))
