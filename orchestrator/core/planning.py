"""Making the plan: what the settings ask for, held against what central's catalog has. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping

import msgspec

from orchestrator.core import encodings, values
from orchestrator.core.filter_tree import TableInfo
from orchestrator.core.filters import Filter, parse_filter
from orchestrator.core.plan import Channel, Column, DocumentPart, Notice, Plan, PolicySpec, Table
from orchestrator.errors import ConfigError
from orchestrator.settings import ChannelSettings, PolicySettings, TableSettings

POLICIES = (
    "append_only",
    "central_wins",
    "branch_wins",
    "newest_wins",
    "column_merge",
    "additive",
    "state_machine",
    "manual",
    "function",
)


class CatalogColumn(msgspec.Struct, frozen=True):
    """A column of central. `base` is the type under a domain; `plain`: equality of the type is sameness; `virtual`:
    generated when it is read, so that no trigger sees it."""

    name: str
    type: str
    base: str
    generated: bool
    identity: bool
    required: bool
    plain: bool
    virtual: bool = False


class CatalogTable(msgspec.Struct, frozen=True):
    """A table of central, `schema.table`, with its key: the primary one, else a unique one that cannot be null.

    parts: the tables below it, at every depth: its partitions, and those that inherit from it. leaves: those that hold
    rows, which may be itself.
    """

    name: str
    columns: tuple[CatalogColumn, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    parts: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

    def column(self, name: str) -> CatalogColumn | None:
        return next((c for c in self.columns if c.name == name), None)

    def info(self) -> TableInfo:
        required = frozenset(c.name for c in self.columns if c.required)
        return TableInfo(self.name, {c.name: c.type for c in self.columns}, self.key, required)


Catalog = Mapping[str, CatalogTable]


def make_plan(
    version: int, parameters: Mapping[str, str], channels: Iterable[ChannelSettings], catalog: Catalog
) -> Plan:
    """The plan that the settings describe. Raises ConfigError TS-13x naming channel, table and column."""
    made = tuple(_channel(c, catalog, parameters) for c in channels)
    plan = Plan(version=version, parameters=dict(parameters), channels=made)
    seen: dict[str, str] = {}
    for channel, table in plan.tables():
        if table.name in seen:
            raise ConfigError(
                "TS-133",
                f"table {table.name} is in channel {seen[table.name]} and in {channel.name}",
                hint="name it in one channel only",
            )
        seen[table.name] = channel.name
    compiled_filters(plan, catalog)
    return plan


def compiled_filters(plan: Plan, catalog: Catalog) -> dict[str, Filter]:
    """The filter of every table that goes down, by the table's name; a table without one goes whole (`true`)."""
    infos = {name: table.info() for name, table in catalog.items()}
    return {
        table.name: parse_filter(table.filter or "true", table.name, infos, plan.parameters)
        for channel, table in plan.tables()
        if channel.goes_down
    }


def channel_parameters(channel: Channel, filters: Mapping[str, Filter]) -> tuple[str, ...]:
    """The node parameters that tell a channel's streams apart, in alphabetical order."""
    return tuple(sorted({p for t in channel.tables if t.name in filters for p in filters[t.name].parameters}))


def resolve_table(name: str, catalog: Catalog) -> CatalogTable:
    """A table by its full name, or by its bare name where only one schema (public first) has it."""
    for full in (name, f"public.{name}"):
        if full in catalog:
            return catalog[full]
    matches = [t for t in catalog.values() if t.name.partition(".")[2] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ConfigError("TS-131", f"table {name} is in several schemas", hint=f"write {matches[0].name}")
    raise ConfigError(
        "TS-131", f"central has no table {name}", hint=_nearest(name, [n.removeprefix("public.") for n in catalog])
    )


def _channel(settings: ChannelSettings, catalog: Catalog, parameters: Mapping[str, str]) -> Channel:
    tables = tuple(_table(t, settings, catalog) for t in settings.table)
    return Channel(
        name=settings.name,
        direction=settings.direction,
        tables=tables,
        every_seconds=settings.every_seconds,
        cron=settings.cron,
        priority=settings.priority,
        window=settings.window,
    )


def _table(settings: TableSettings, channel: ChannelSettings, catalog: Catalog) -> Table:
    source = resolve_table(settings.name, catalog)
    place = f"channel {channel.name}, table {source.name}"
    if not source.key:
        raise ConfigError(
            "TS-135",
            f"{place}: it has no primary key",
            hint="give it one, or a unique index over columns that are NOT NULL",
        )
    policy = _policy(settings.policy, place)
    if channel.direction == "up" and "policy" not in settings.model_fields_set:
        policy = PolicySpec("append_only")
    _check_stamps(channel, [policy, *(_policy(p, place) for p in settings.column_policy.values())], place)
    columns = _columns(settings, channel, source, place)
    names = {c.name for c in columns}
    for name in [*settings.column_policy, *(settings.notice.columns if settings.notice else ())]:
        if name not in names:
            raise ConfigError(
                "TS-132", f"{place}: column {name} is not among the replicated ones", hint=_nearest(name, names)
            )
    return Table(
        name=source.name,
        till=settings.till_name or source.name.partition(".")[2],
        key=source.key,
        unique=unique_rules(source, names | set(settings.set)),
        columns=columns,
        policy=policy,
        column_policy={name: _policy(p, place) for name, p in settings.column_policy.items()},
        set=dict(settings.set),
        filter=settings.filter,
        notice=Notice(settings.notice.kind, tuple(settings.notice.columns)) if settings.notice else None,
        document=tuple(_part(said, source, catalog, place) for said in settings.document),
        protect=_protection(settings, channel, place),
    )


def unique_rules(source: CatalogTable, travels: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """The rules of central that a till could keep, too: those over columns that travel, the key's apart."""
    return tuple(r for r in source.unique if set(r) <= set(travels) and set(r) != set(source.key))


def _columns(settings: TableSettings, channel: ChannelSettings, source: CatalogTable, place: str) -> tuple[Column, ...]:
    """What travels: what the settings name, else all but what they exclude and what head office generates."""
    known = [c.name for c in source.columns]
    for name in [*(settings.columns or ()), *(settings.exclude or ()), *settings.map, *settings.encode, *settings.set]:
        if name not in known:
            raise ConfigError("TS-132", f"{place}: there is no column {name}", hint=_nearest(name, known))
    wanted = [c for c in source.columns if not c.generated or c.name in source.key]
    if settings.columns is not None:
        wanted = [c for c in source.columns if c.name in settings.columns]
        computed = [c.name for c in wanted if c.generated and c.name not in source.key]
        if computed and channel.direction != "down":
            raise ConfigError(
                "TS-151",
                f"{place}: head office generates {', '.join(computed)}, and takes no value for it from a till",
                hint="leave it out of `columns`; it can travel in a channel that goes down",
            )
    wanted = [c for c in wanted if c.name not in (settings.exclude or ()) and c.name not in settings.set]
    names = [c.name for c in wanted]
    for name in source.key:
        if name not in names and name not in settings.set:
            raise ConfigError(
                "TS-136",
                f"{place}: key column {name} is left out",
                hint="a row travels with its key; name it in `columns` or `set`",
            )
    found = tuple(
        Column(c.name, c.type, values.kind_of(c.base), settings.map.get(c.name, c.name), settings.encode.get(c.name))
        for c in wanted
    )
    for column in found:
        _check_encoding(column, place)
    return found


def _check_encoding(column: Column, place: str) -> None:
    try:
        encodings.check(column)
    except ConfigError as e:
        raise ConfigError(e.code, f"{place}: {e.message}", hint=e.hint) from None


def _policy(settings: PolicySettings, place: str) -> PolicySpec:
    for name in (settings.policy, settings.fallback):
        if name not in POLICIES:
            raise ConfigError("TS-138", f"{place}: policy {name} is not in this version", hint=_nearest(name, POLICIES))
    return PolicySpec(settings.policy, settings.states, settings.fallback, settings.function or "")


def _part(said: str, header: CatalogTable, catalog: Catalog, place: str) -> DocumentPart:
    """A line of `document`: a table, and its columns that name the header; without them, those named as its key is."""
    name, _, listed = said.rstrip(")").partition("(")
    line = resolve_table(name.strip(), catalog)
    columns = tuple(c.strip() for c in listed.split(",")) if listed else header.key
    known = [c.name for c in line.columns]
    if len(columns) != len(header.key) or not set(columns) <= set(known):
        raise ConfigError(
            "TS-149",
            f"{place}: document {said} does not say by which columns",
            hint=f'write "{line.name}(column)" with one for each of {", ".join(header.key)}',
        )
    return DocumentPart(line.name, columns)


def _protection(settings: TableSettings, channel: ChannelSettings, place: str) -> str:
    if settings.protect and channel.direction != "down":
        raise ConfigError(
            "TS-150", f"{place}: protect in a channel that goes {channel.direction}", hint="tills may write there"
        )
    return settings.protect or ""


def _check_stamps(channel: ChannelSettings, policies: Iterable[PolicySpec], place: str) -> None:
    """When head office changed a row is known where its changes are captured, which is where they go down."""
    if channel.direction != "both" and any(p.asks_when for p in policies):
        raise ConfigError(
            "TS-148",
            f"{place}: newest_wins in a channel that goes {channel.direction}",
            hint='make it direction = "both", or take another policy',
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known)[:12])}"
