"""Putting rows into one table: as one statement for many rows, and with care where unique values are in the way.

A row of central's may need a unique value that another row of the till still holds. If that row itself changes in the
same tick, it is taken out of the way whole and put again (a swap, a value handed on). If it does not, it is not ours to
remove: the incoming row waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from orchestrator.core.values import quote_sqlite as q
from orchestrator.till import waiting
from orchestrator.till.catalog import UniqueRule
from orchestrator.till.database import rows as all_rows
from orchestrator.till.target import Layout, Target, fill, rule_matches, rule_values

ROW_FAULTS = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError)
"""What one row may be refused for."""

UNIQUE_TAKEN = "a unique value that it needs is held by a row that is not head office's to change"


def put(db: apsw.Connection, found: Layout, rows: list[list[Any]], *, pending: bool, tick: int, at: str) -> None:
    """Puts rows as central has them. Pending keys are left out; rows that cannot be put wait."""
    if not rows:
        return
    # No savepoint: it would cost far more than the rows. What was put before the one that failed may stay, since all
    # of them are put again.
    try:
        db.executemany(found.upsert(pending=pending), rows)
    except ROW_FAULTS:
        put_with_care(db, found, rows, pending=pending, tick=tick, at=at)


def put_with_care(
    db: apsw.Connection, found: Layout, rows: Sequence[Sequence[Any]], *, pending: bool, tick: int, at: str
) -> None:
    """As `put`, row by row after those that block one another were taken out of the way. Rows wait by their reason."""
    _stage(db, found, rows, pending=pending)
    _find_blocked(db, found)
    moved = _take_out_moving(db, found)
    for row in _staged(db, found, "wait IS NOT NULL"):
        waiting.add(db, found, row, UNIQUE_TAKEN, tick, at)
    done: list[list[Any]] = []
    for row in sorted(_staged(db, found, "wait IS NULL"), key=lambda r: _key(found, r) not in moved):
        reason = _put_one(db, found, row, is_moved=_key(found, row) in moved)
        if reason is None:
            done.append(list(_key(found, row)))
        else:
            waiting.add(db, found, row, reason, tick, at)
    waiting.forget(db, found.target, done)
    for table in ("tillsync_incoming", "tillsync_moving"):
        db.execute(f"DROP TABLE temp.{table}")


def _stage(db: apsw.Connection, found: Layout, rows: Sequence[Sequence[Any]], *, pending: bool) -> None:
    """Incoming rows as a table whose columns compare as the till's; a key that comes twice has its last row."""
    columns = ", ".join(f"c{i} {found.target.column(n).affinity}" for i, n in enumerate(found.names, 1))
    key = ", ".join(f"c{p + 1}" for p in found.key_places)
    db.execute(f"CREATE TEMP TABLE tillsync_incoming ({columns}, wait TEXT, PRIMARY KEY ({key}))")
    places = range(1, len(found.names) + 1)
    names, values = ", ".join(f"c{i}" for i in places), ", ".join(f"?{i}" for i in places)
    unless = found.target.unless_pending(found.key_values, pending)
    db.executemany(f"INSERT OR REPLACE INTO temp.tillsync_incoming ({names}) SELECT {values} WHERE 1{unless}", rows)


def _find_blocked(db: apsw.Connection, found: Layout) -> None:
    """Until nothing changes: a row that waits keeps its old values, which may be in the way of others in turn."""
    reason = apsw.format_sql_value(UNIQUE_TAKEN)
    statements = [fill("block", **collision(found, rule), reason=reason) for rule in found.target.other_rules]
    more = True
    while more:
        more = False
        for statement in statements:
            db.execute(statement)
            more = more or db.changes() > 0


def _take_out_moving(db: apsw.Connection, found: Layout) -> set[tuple[Any, ...]]:
    """Rows that move in this tick and are in the way of another: kept whole aside and deleted. Returns their keys."""
    target = found.target
    held = _own_columns(target)
    db.execute(
        f"CREATE TEMP TABLE tillsync_moving AS SELECT {', '.join(q(n) for n in held)} FROM {target.name} WHERE 0"
    )
    key = ", ".join(q(k) for k in target.key)
    db.execute(f"CREATE UNIQUE INDEX temp.tillsync_moving_key ON tillsync_moving ({key})")
    names = ", ".join(f"held.{q(n)}" for n in held)
    for rule in target.other_rules:
        db.execute(fill("find_moving", **collision(found, rule), held=names))
    keys = all_rows(db, f"SELECT {key} FROM temp.tillsync_moving")
    is_key = target.is_key("", _bound(target))
    db.executemany(fill("cut", table=target.name, is_key=is_key, unless_pending=""), keys)
    return set(keys)


def collision(found: Layout, rule: UniqueRule) -> dict[str, str]:
    """The conditions over `s` (incoming), `held` (the till's row) and `m` (incoming, for the held row's key)."""
    target = found.target
    values = {n: f"s.c{i}" for i, n in enumerate(found.names, 1)}
    keys = [f"c{p + 1}" for p in found.key_places]
    matches = rule_matches(rule, rule_values(rule, target.till, values))
    if rule.partial:
        # Over the rows for which the rule holds, on both sides.
        row = ", ".join(f"{values.get(c.name, 'NULL')} AS {q(c.name)}" for c in target.till.columns)
        matches += f" AND ({rule.where}) AND (SELECT {rule.where} FROM (SELECT {row}))"
    return {
        "table": target.name,
        "matches": matches,
        "is_same": target.is_key("held.", [f"s.{k}" for k in keys]),
        "m_is_held": " AND ".join(f"m.{k} = held.{q(n)}" for k, n in zip(keys, target.key, strict=True)),
    }


def _put_one(db: apsw.Connection, found: Layout, row: Sequence[Any], *, is_moved: bool) -> str | None:
    """Puts one row; the reason why it cannot be put, or None. A moved row that cannot goes back as it was."""
    target = found.target
    try:
        if is_moved:
            own = _own_columns(target)
            values = [f"?{found.names.index(n) + 1}" if n in found.names else f"held.{q(n)}" for n in own]
            is_key = target.is_key("held.", found.key_values)
            names = ", ".join(q(n) for n in own)
            db.execute(
                fill("put_moved", table=target.name, columns=names, values=", ".join(values), is_key=is_key), row
            )
        else:
            db.execute(found.upsert(pending=False), row)
    except ROW_FAULTS as e:
        if is_moved:
            _put_back(db, target, _key(found, row))
        return str(e)
    return None


def _put_back(db: apsw.Connection, target: Target, key: Sequence[Any]) -> None:
    own = _own_columns(target)
    names = ", ".join(q(n) for n in own)
    held = ", ".join(f"held.{q(n)}" for n in own)
    is_key = target.is_key("held.", _bound(target))
    try:
        db.execute(fill("put_back", table=target.name, columns=names, held=held, is_key=is_key), key)
    except ROW_FAULTS:
        return  # its old values are taken too: the row waits with its new ones, which is said


def _staged(db: apsw.Connection, found: Layout, where: str) -> list[tuple[Any, ...]]:
    names = ", ".join(f"c{i}" for i in range(1, len(found.names) + 1))
    return all_rows(db, f"SELECT {names} FROM temp.tillsync_incoming WHERE {where}")


def _key(found: Layout, row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(row[p] for p in found.key_places)


def _own_columns(target: Target) -> list[str]:
    return [c.name for c in target.till.columns if not c.generated]


def _bound(target: Target) -> list[str]:
    return [f"?{i}" for i in range(1, len(target.key) + 1)]
