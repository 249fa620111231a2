"""Capture at central: the logs, ledgers and statement triggers of a plan, made from `triggers/postgresql/`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
from psycopg import sql

from orchestrator import assets
from orchestrator.central.catalog import without_modifier
from orchestrator.core.filters import Filter
from orchestrator.core.plan import Plan
from orchestrator.core.planning import Catalog, CatalogColumn, CatalogTable
from orchestrator.errors import ConfigError

NAME_BYTES_MAX = 63
_WIDER = {"smallint": "bigint", "integer": "bigint"}
_EACH = {
    "insert": "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT",
    "delete": "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
    "truncate": "FOR EACH STATEMENT",
}
_REPLICA = "replica"
_ANY_ROW, _EACH_ROW = "INSERT OR DELETE OR UPDATE", "FOR EACH ROW"


class Trigger(NamedTuple):
    """A trigger of ours: the table that it is on, its name, when it fires (as pg_trigger.tgenabled), what makes it."""

    table: str
    name: str
    enabled: str
    statements: sql.Composed


class Captured(msgspec.Struct, frozen=True):
    """What is captured of one table. `columns` are compared by an update; `routing` ones are logged beside the key."""

    tab: str
    log: str
    hold: str | None
    key: tuple[str, ...]
    columns: tuple[str, ...]
    routing: tuple[str, ...]


def derive(plan: Plan, filters: Mapping[str, Filter], catalog: Catalog) -> list[Captured]:
    """Everything that must be captured: tables that go down, and tables by which their filters look."""
    routing: dict[str, set[str]] = {}
    for compiled in filters.values():
        for dependency in compiled.dependencies:
            routing.setdefault(dependency.table, set()).update(dependency.columns)
    shipped = {table.name: table for channel, table in plan.tables() if channel.goes_down}
    found = []
    for name in sorted(shipped.keys() | routing.keys()):
        source = catalog[name]
        if unseen := [c.name for c in source.columns if c.virtual and c.name in routing.get(name, ())]:
            raise ConfigError(
                "TS-152",
                f"a filter looks at {name}.{unseen[0]}, which is generated when it is read: no trigger sees it change",
                hint="make it STORED, or write its expression into the filter",
            )
        routes = tuple(c.name for c in source.columns if c.name in routing.get(name, ()) and c.name not in source.key)
        replicated = set(shipped[name].column_names) if name in shipped else set()
        asked = replicated | set(routes) | set(source.key) | _own_columns(filters, name)
        is_seen = not any(c.virtual for c in source.columns if c.name in asked)
        compared = tuple(c.name for c in source.columns if (c.name in asked or not is_seen) and not c.virtual)
        hold = object_name("hold", name) if name in shipped else None
        found.append(Captured(name, object_name("log", name), hold, source.key, compared, routes))
    return found


def log_name(table: str) -> str:
    """The log of a captured table."""
    return object_name("log", table)


def object_name(prefix: str, table: str) -> str:
    """A name of ours for a table: `log_item` for public.item, with a hash where that is ambiguous or too long."""
    schema, _, bare = table.partition(".")
    name = f"{prefix}_{bare}"
    if schema == "public" and len(name.encode()) <= NAME_BYTES_MAX - 16:
        return name
    digest = hashlib.sha256(table.encode()).hexdigest()[:8]
    return f"{prefix}_{_shortened(bare, 32)}_{digest}"


def ledger_script(captured: Captured, source: CatalogTable) -> sql.Composed:
    """The statements that make the ledger of one replicated table, where there is none."""
    assert captured.hold is not None
    columns = {c.name: c for c in source.columns}
    hold, index = sql.Identifier(captured.hold), sql.Identifier(f"{captured.hold}_left")
    typed = _roomy(columns[c] for c in captured.key)
    return _template("hold").format(hold=hold, columns=typed, key=_list(captured.key), index=index)


def script(captured: Captured, source: CatalogTable, *, is_stamped: bool = False) -> sql.Composed:
    """The statements that install the capture of one table; running them again changes nothing.

    is_stamped: a policy of the table asks which of two changes was made later.
    """
    columns = {c.name: c for c in source.columns}
    logged = [*captured.key, *captured.routing]
    names = {
        "table": identifier(captured.tab),
        "log": sql.Identifier(captured.log),
        "index": sql.Identifier(f"{captured.log}_xid"),
        "columns": _list(logged),
        "absent": _absent({c: columns[c] for c in logged}, captured.columns),
    }
    added = sql.SQL("\n").join(_added(captured, columns[c]) for c in logged)
    parts = [_template("log").format(**{**names, "columns": _roomy(columns[c] for c in logged), "added": added})]
    if is_stamped:
        index = sql.Identifier(object_name("key", captured.tab))
        parts.append(_template("stamped").format(index=index, log=names["log"], key=_list(captured.key)))
    parts.append(_template("rescan").format(tab=captured.tab, log=sql.Identifier(captured.log)))
    parts.append(_reshaped(captured, [columns[c] for c in logged]))
    if captured.hold:
        parts.append(ledger_script(captured, source))
    for event in (*_EACH, _REPLICA):
        name = sql.Identifier(trigger_name(event, captured.tab))
        template = "update_routing" if event == "update" and captured.routing else event
        parts.append(
            _template(template).format(
                **names, function=name, key=_list(captured.key), compared=_compared(captured, columns)
            )
        )
    parts += [trigger.statements for trigger in triggers(captured, source)]
    return sql.SQL("\n").join(parts)


def triggers(captured: Captured, source: CatalogTable) -> Iterator[Trigger]:
    """The triggers of a table and of those below it."""
    for table in (captured.tab, *source.parts):
        for event, each in _EACH.items():
            yield _trigger(table, trigger_name(event, captured.tab), event.upper(), each, "ALWAYS")
    for table in source.leaves:
        yield _trigger(table, trigger_name(_REPLICA, captured.tab), _ANY_ROW, _EACH_ROW, "REPLICA")


def _trigger(table: str, name: str, event: str, each: str, mode: str) -> Trigger:
    words = {"event": sql.SQL(event), "each": sql.SQL(each), "mode": sql.SQL(mode)}
    made = _template("trigger").format(trigger=sql.Identifier(name), table=identifier(table), **words)
    return Trigger(table, name, mode[0], made)


def own_tables(captured: Captured, source: CatalogTable) -> dict[str, set[str]]:
    """The log and the ledger with the columns that they have of the table, as `name type`."""
    columns = {c.name: f"{c.name} {_roomy_type(c)}" for c in source.columns}
    key = {columns[c] for c in captured.key}
    log = {captured.log: key | {columns[c] for c in captured.routing}}
    return log | ({captured.hold: key} if captured.hold else {})


def removal(tab: str, trigger: str) -> sql.Composed:
    """The statement that takes one trigger of ours off a table; its function goes with the schema."""
    return sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(trigger), identifier(tab))


def trigger_name(event: str, table: str) -> str:
    """`tillsync_update_item`: the name of both the trigger and its function."""
    return object_name(f"tillsync_{event}", table)


def identifier(table: str) -> sql.Identifier:
    """`schema.table` as one quoted identifier."""
    schema, _, bare = table.partition(".")
    return sql.Identifier(schema, bare)


def _own_columns(filters: Mapping[str, Filter], table: str) -> set[str]:
    """Columns of a table that its own filter looks at: a change of them moves the row though they do not travel."""
    return set(filters[table].columns) if table in filters else set()


def _compared(captured: Captured, columns: Mapping[str, CatalogColumn]) -> sql.Composed:
    """Columns in a form whose equality is sameness, under names that cannot meet a real one."""
    plain_key = {c for c in (*captured.key, *captured.routing) if columns[c].plain}
    rest = [c for c in captured.columns if c not in plain_key] or list(captured.key)
    form = {True: sql.SQL("{} AS {}"), False: sql.SQL("{}::pg_catalog.text AS {}")}
    return sql.SQL(", ").join(
        form[columns[name].plain].format(sql.Identifier(name), sql.Identifier(f"tillsync_{place}"))
        for place, name in enumerate(rest)
    )


def _absent(logged: Mapping[str, CatalogColumn], compared: Iterable[str]) -> sql.Composed:
    """One row of NULLs under the names of columns that the table may lose. Logged ones are typed as they are there."""
    types = dict.fromkeys(compared, "text") | {c: _roomy_type(column) for c, column in logged.items()}
    nulls = (sql.SQL("NULL::{} AS {}").format(sql.SQL(t), sql.Identifier(c)) for c, t in types.items())
    return sql.SQL("(SELECT {}) absent").format(sql.SQL(", ").join(nulls))


def _added(captured: Captured, column: CatalogColumn) -> sql.Composed:
    return sql.SQL("ALTER TABLE tillsync.{} ADD COLUMN IF NOT EXISTS {};").format(
        sql.Identifier(captured.log), _roomy([column])
    )


def _reshaped(captured: Captured, logged: list[CatalogColumn]) -> sql.Composed:
    return _template("reshape").format(
        tab=captured.tab,
        log=captured.log,
        hold=captured.hold or "",
        key=list(captured.key),
        names=[c.name for c in logged],
        types=[_roomy_type(c) for c in logged],
    )


def _roomy(columns: Iterable[CatalogColumn]) -> sql.Composed:
    """Columns of our own for the values of the application's: with room for what a wider type may bring tomorrow."""
    typed = (sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(_roomy_type(c))) for c in columns)
    return sql.SQL(", ").join(typed)


def _roomy_type(column: CatalogColumn) -> str:
    return _WIDER.get(column.base, without_modifier(column.base))


def _list(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _template(name: str) -> sql.SQL:
    return sql.SQL(assets.template(f"triggers/postgresql/{name}.sql"))


def _shortened(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode(errors="ignore")
