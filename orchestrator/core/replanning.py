"""The plan after central's tables changed under it: what follows without anybody saying so. Pure.

A column that is gone is no longer shipped. A new one is, where the settings ask for all columns but some. A type that
changed travels as what it is now, a row under its new key. All else stays as it was installed: settings that were
edited and not installed take no effect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from orchestrator.core import encodings, values
from orchestrator.core.plan import Channel, Column, Notice, Plan, Table
from orchestrator.core.planning import Catalog, CatalogTable, resolve_table, unique_rules
from orchestrator.errors import ConfigError
from orchestrator.settings import ChannelSettings, TableSettings


def adapted(
    plan: Plan, catalog: Catalog, seen: Mapping[str, Collection[str]], channels: Iterable[ChannelSettings]
) -> Plan:
    """The installed plan held against the catalog of now; its version counts up where it differs.

    `seen`: the columns that each table had when it was last looked at. Tables that are gone stay as they are planned.
    Raises ConfigError TS-135, TS-136 or TS-139 where a table cannot travel as it is now.
    """
    settings = _settings(channels, catalog)
    made = msgspec.structs.replace(
        plan,
        channels=tuple(
            msgspec.structs.replace(
                channel,
                tables=tuple(_table(channel, t, catalog.get(t.name), seen, settings) for t in channel.tables),
            )
            for channel in plan.channels
        ),
    )
    return plan if made == plan else msgspec.structs.replace(made, version=plan.version + 1)


def _settings(channels: Iterable[ChannelSettings], catalog: Catalog) -> dict[str, TableSettings]:
    found: dict[str, TableSettings] = {}
    for table in (t for channel in channels for t in channel.table):
        try:
            found[resolve_table(table.name, catalog).name] = table
        except ConfigError:
            found[table.full_name] = table
    return found


def _table(
    channel: Channel,
    table: Table,
    source: CatalogTable | None,
    seen: Mapping[str, Collection[str]],
    settings: Mapping[str, TableSettings],
) -> Table:
    if source is None:
        return table
    by_name = {c.name: c for c in source.columns}
    kept = [
        msgspec.structs.replace(c, type=by_name[c.name].type, kind=values.kind_of(by_name[c.name].base))
        for c in table.columns
        if c.name in by_name and not (channel.goes_up and by_name[c.name].generated and c.name not in source.key)
    ]
    columns = (*kept, *_added(table, source, seen.get(table.name), settings.get(table.name)))
    for column in columns:
        encodings.check(column)
    names = {c.name for c in columns}
    fixed = {name: given for name, given in table.set.items() if name in by_name}
    watched = tuple(c for c in table.notice.columns if c in names) if table.notice else ()
    return msgspec.structs.replace(
        table,
        key=_key(channel, table, source, names | fixed.keys()),
        columns=columns,
        unique=unique_rules(source, names | fixed.keys()),
        set=fixed,
        column_policy={name: policy for name, policy in table.column_policy.items() if name in names},
        notice=Notice(table.notice.kind, watched) if table.notice and watched else None,
    )


def _added(
    table: Table, source: CatalogTable, seen: Collection[str] | None, settings: TableSettings | None
) -> Iterable[Column]:
    """Columns that the table has got since it was last looked at, where the settings ask for all but some."""
    if seen is None or settings is None or settings.columns is not None:
        return
    planned = {c.name for c in table.columns} | table.set.keys() | set(settings.exclude)
    for c in source.columns:
        if c.name not in planned and c.name not in seen and not c.generated:
            yield Column(
                c.name, c.type, values.kind_of(c.base), settings.map.get(c.name, c.name), settings.encode.get(c.name)
            )


def _key(channel: Channel, table: Table, source: CatalogTable, travels: Collection[str]) -> tuple[str, ...]:
    """The table's key now; the old one where there is no other, as between two steps of a migration."""
    if source.key and set(source.key) <= set(travels):
        return source.key
    place = f"channel {channel.name}, table {table.name}"
    if not set(table.key) <= set(travels):
        raise ConfigError(
            "TS-135" if not source.key else "TS-136",
            f"{place}: its key is another one now, which does not travel",
            hint="name the new key's columns in `columns` or `set`, then `tillsync install central`",
        )
    return table.key
