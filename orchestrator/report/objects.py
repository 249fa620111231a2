"""What is installed in a database of ours, object by object, and what a change of it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from orchestrator import assets

Objects = Mapping[tuple[str, str], str]
"""(kind, name) -> digest of the definition."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Objects by kind and name, as in `table item`."""

    created: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.created or self.altered or self.dropped)

    def __str__(self) -> str:
        said = [
            f"{verb} {_counted(names)}"
            for verb, names in (("created", self.created), ("altered", self.altered), ("dropped", self.dropped))
            if names
        ]
        return "; ".join(said) or "nothing changed"


def listing(conn: psycopg.Connection, schema: str) -> Objects:
    """Everything in the schema `schema`, and the triggers that call into it."""
    rows = conn.execute(assets.query("report.objects"), {"schema": schema}).fetchall()
    return {(kind, name): digest for kind, name, digest in rows}


def changes(before: Objects, after: Objects) -> Changes:
    """What became of `before`."""
    return Changes(
        created=_said(k for k in after if k not in before),
        altered=_said(k for k in after if k in before and after[k] != before[k]),
        dropped=_said(k for k in before if k not in after),
    )


def _said(objects: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{kind} {name}" for kind, name in sorted(objects))


def _counted(names: tuple[str, ...]) -> str:
    kinds = Counter(name.split(" ", 1)[0] for name in names)
    return ", ".join(f"{count} {_plural(kind) if count > 1 else kind}" for kind, count in sorted(kinds.items()))


def _plural(kind: str) -> str:
    return {"index": "indexes"}.get(kind, f"{kind}s")
