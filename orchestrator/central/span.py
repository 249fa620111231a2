"""A tick's stretch of history, and what the logs have in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from orchestrator import assets
from orchestrator.central.capture import Captured


@dataclass(frozen=True)
class Span:
    """A tick's stretch of history: what is visible in the snapshot `now` and was not in `since` (pg_snapshot texts)."""

    since: str
    now: str

    def of(self, captured: Captured) -> sql.Composed:
        """The rows of a log that lie in this stretch."""
        return _tick(captured, *self.bounds)

    @property
    def bounds(self) -> tuple[sql.Composed, ...]:
        """Where it starts and ends, its end's snapshot, and what was open at its start, where anything was."""
        _, xmax_since, open_since = self.since.split(":")
        ends = (
            _literal(xmax_since, "xid8"),
            _literal(self.now.split(":")[1], "xid8"),
            _literal(self.now, "pg_snapshot"),
        )
        return (*ends, _literal("{" + open_since + "}", "xid8[]")) if open_since else ends


def prepare_changes(logs: Sequence[Captured]) -> list[sql.Composed]:
    """Prepares the statements that say of every log whether a tick has anything of it: of 400 logs their planning takes
    far longer than their run."""
    made = []
    for name, parameters in (("prepare_later_changes", 3), ("prepare_changes", 4)):
        bounds = [sql.SQL(f"${i}") for i in range(1, parameters + 1)]
        arms = [
            query("has_changes").format(tab=c.tab, key=columns("l", c.key[:1]), tick=_tick(c, *bounds)) for c in logs
        ]
        made.append(query(name).format(arms=sql.SQL("\nUNION ALL\n").join(arms)))
    return made


def changes(span: Span) -> sql.Composed:
    """What was prepared, for a tick."""
    bounds = span.bounds
    prepared = "tillsync_changes" if len(bounds) == 4 else "tillsync_later_changes"
    return query("execute_changes").format(prepared=sql.Identifier(prepared), bounds=sql.SQL(", ").join(bounds))


def _tick(captured: Captured, *bounds: sql.Composable) -> sql.Composed:
    """The rows of a log between bounds as `Span.bounds` gives them."""
    names = ("xmax_since", "xmax_now", "now", "open_since")
    given = {
        "log": sql.Identifier(captured.log),
        "columns": columns("l", ["origin", *captured.key, *captured.routing]),
        **dict(zip(names, bounds, strict=False)),
    }
    arms = ["tick_later", "tick_open"] if len(bounds) == len(names) else ["tick_later"]
    return sql.SQL("\nUNION ALL\n").join(query(arm).format(**given) for arm in arms)


def query(name: str) -> sql.SQL:
    return sql.SQL(assets.query(f"central.{name}"))


def columns(alias: str, names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, n) for n in names)


def _literal(text: str, pg_type: str) -> sql.Composed:
    return sql.SQL("{}::pg_catalog.{}").format(text, sql.SQL(pg_type))
