"""Conflicts as a person sees them, and putting the loser's values back: an ordinary change of head office's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestrator import assets
from orchestrator.central import facts as facts_of
from orchestrator.central import unit as units
from orchestrator.central.faults import is_row_fault, reason_of
from orchestrator.central.pieces import column, comma, raw
from orchestrator.central.unit import Unit
from orchestrator.core.plan import Plan
from orchestrator.errors import TillsyncError, UsageError

ROWS_MAX = 200
Image = Mapping[str, str | None]


@dataclass(frozen=True)
class Restored:
    """What a conflict's row becomes: `image` of the columns that change, None where the row goes."""

    side: str
    before: Image | None
    image: Image | None


def listed(
    conn: psycopg.Connection,
    *,
    node: str | None = None,
    tab: str | None = None,
    only_open: bool = False,
    rows_max: int = ROWS_MAX,
) -> list[dict[str, Any]]:
    """Conflicts without their images, the newest first."""
    given = {"node": node, "tab": tab, "open": only_open, "rows_max": rows_max}
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(assets.query("central/conflicts.listed"), given).fetchall()


def found(conn: psycopg.Connection, number: int) -> dict[str, Any]:
    """One with everything that is known of it. Raises UsageError TS-741 where there is none."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(assets.query("central/conflicts.one"), {"id": number}).fetchone()
    if row is None:
        raise UsageError("TS-741", f"there is no conflict {number}", hint="`tillsync conflicts list` shows them")
    return row


def close(conn: psycopg.Connection, numbers: Sequence[int]) -> list[int]:
    """Open ones are decided: what stands is right. Returns those that were open."""
    rows = conn.execute(assets.query("central/conflicts.settled"), {"ids": list(numbers), "state": "closed"}).fetchall()
    return [number for (number,) in rows]


def restore(
    conn: psycopg.Connection,
    plan: Plan,
    number: int,
    *,
    side: str | None = None,
    force: bool = False,
    dry: bool = False,
) -> Restored:
    """Put the values of the side that lost back, in the columns that were judged; or of `side`, till or central.

    Raises UsageError TS-742 where both have won and no side is named, TillsyncError TS-743 where the row is no longer
    what came of the conflict (unless `force`), TS-744 where the table refuses it.
    """
    with conn.transaction(force_rollback=dry):
        conflict = found(conn, number)
        chosen = side or _loser(conflict)
        unit = _unit(conn, plan, conflict)
        before = _now(conn, unit, conflict["key"])
        if not force:
            _see_that_it_is_as_it_was(conflict, before)
        image = conflict["theirs" if chosen == "till" else "ours"]
        try:
            with conn.transaction():
                changed = _put(conn, unit, conflict, before, image)
        except psycopg.Error as e:
            if not is_row_fault(e):
                raise
            raise TillsyncError("TS-744", f"conflict {number}: {reason_of(e)[0]}", hint="nothing was changed") from e
        conn.execute(assets.query("central/conflicts.settled"), {"ids": [number], "state": "restored"})
    return Restored(chosen, before, changed)


def _loser(conflict: Mapping[str, Any]) -> str:
    if conflict["winner"] not in ("till", "central"):
        raise UsageError(
            "TS-742", f"in conflict {conflict['id']} each side has won something", hint="say --side till or central"
        )
    return "till" if conflict["winner"] == "central" else "central"


def _unit(conn: psycopg.Connection, plan: Plan, conflict: Mapping[str, Any]) -> Unit:
    described = plan.find(conflict["tab"])
    if described is None:
        raise TillsyncError("TS-743", f"{conflict['tab']} is not in the plan any more", hint="change the row by hand")
    row = conn.execute(assets.query("central/merge.node"), {"node": conflict["node"]}).fetchone()
    return units.whole(*described, facts_of.read(conn, plan, {}), conflict["node"], row[1] if row else {})


def _now(conn: psycopg.Connection, unit: Unit, key: Mapping[str, str]) -> dict[str, str | None] | None:
    texts = comma(sql.SQL("t.{}::text").format(column(f.name)) for f in unit.fields)
    match, given = _match(unit, key)
    row = conn.execute(_query(unit, "now", match, texts=texts), given).fetchone()
    return None if row is None else dict(zip((f.name for f in unit.fields), row[0], strict=True))


def _see_that_it_is_as_it_was(conflict: Mapping[str, Any], before: Image | None) -> None:
    if conflict["policy"] in ("down", "moved away"):
        return  # nothing came of it
    outcome: Image | None = conflict["outcome"]
    if before is None or outcome is None:
        is_same = before is outcome
    else:
        is_same = all(before[c] == outcome[c] for c in conflict["columns"] if c in before and c in outcome)
    if not is_same:
        raise TillsyncError(
            "TS-743", f"the row of conflict {conflict['id']} was changed since", hint="look at it, then give --force"
        )


def _put(
    conn: psycopg.Connection, unit: Unit, conflict: Mapping[str, Any], before: Image | None, image: Image | None
) -> Image | None:
    match, given = _match(unit, conflict["key"])
    if image is None:
        conn.execute(_query(unit, "cut_again", match), given)
        return None
    if before is None:
        fields = [f for f in unit.fields if f.name in image]
        typed = [(f.name, f.facts.type, image[f.name]) for f in fields]
        typed += [(c.name, c.type, c.text) for c in unit.constants]
        values = comma(sql.SQL("{}::{}").format(sql.Placeholder(f"v{i}"), raw(t)) for i, (_, t, _) in enumerate(typed))
        columns = comma(column(name) for name, *_ in typed)
        texts = {f"v{i}": text for i, (*_, text) in enumerate(typed)}
        conn.execute(_query(unit, "make_again", match, columns=columns, values=values), texts)
        return {f.name: image[f.name] for f in fields}
    changed = {f.name: f for f in unit.values if f.name in image and (f.name in conflict["columns"])}
    if changed:
        assignments = comma(
            sql.SQL("{} = {}::{}").format(column(name), sql.Placeholder(f"v{i}"), raw(f.facts.type))
            for i, (name, f) in enumerate(changed.items())
        )
        texts = {f"v{i}": image[name] for i, name in enumerate(changed)}
        conn.execute(_query(unit, "put_back", match, assignments=assignments), given | texts)
    return {name: image[name] for name in changed}


def _match(unit: Unit, key: Mapping[str, str]) -> tuple[sql.Composed, dict[str, str]]:
    """The row's whole key, whose values are given as text."""
    names = sql.SQL("({}) = ({})").format(
        comma(sql.SQL("t.{}").format(column(k)) for k in unit.table.key), unit.placeholders()
    )
    return names, {f"k{i}": key[k] for i, k in enumerate(unit.table.key)}


def _query(unit: Unit, block: str, match: sql.Composed, **names: sql.Composable) -> sql.Composed:
    query = sql.SQL(assets.query(f"central/conflicts.{block}"))
    return query.format(target=unit.pieces["target"], match=match, **names)
