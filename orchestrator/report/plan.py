"""What a plan says, for a person who is about to install it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.filters import Filter
from orchestrator.core.plan import Channel, Plan, Table
from orchestrator.core.planning import channel_parameters


def summary(plan: Plan, filters: Mapping[str, Filter]) -> dict[str, Any]:
    """The plan by channel and table; `streams_by`: the parameters whose values tell its streams apart."""
    return {
        "version": plan.version,
        "parameters": plan.parameters,
        "channels": [_channel(channel, filters) for channel in plan.channels],
    }


def _channel(channel: Channel, filters: Mapping[str, Filter]) -> dict[str, Any]:
    return {
        "name": channel.name,
        "direction": channel.direction,
        "priority": channel.priority,
        "streams_by": channel_parameters(channel, filters) if channel.goes_down else (),
        "tables": [_table(channel, table, filters) for table in channel.tables],
    }


def _table(channel: Channel, table: Table, filters: Mapping[str, Filter]) -> dict[str, Any]:
    return {
        "name": table.name,
        "till_name": table.till,
        "key": table.key,
        "columns": table.column_names,
        "renamed": {c.name: c.till for c in table.columns if c.till != c.name},
        "set": table.set,
        "policy": table.policy.policy if channel.goes_up else None,
        "filter": table.filter,
        "parameters": sorted(filters[table.name].parameters) if table.name in filters else [],
    }
