"""Finds `sql/` and `triggers/`, in a checkout or inside the installed wheel, and reads them once.

SQL that goes to PostgreSQL with names to fill in is composed with `psycopg.sql.SQL(text).format(...)`; templates for
SQLite are `string.Template`. Both are the caller's business: here they are literal text.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import LiteralString

_NAME = re.compile(r"^-- name: *(?P<name>[a-z0-9_]+) *$", re.MULTILINE)


@cache
def root() -> Path:
    """The directory that holds `sql/` and `triggers/`."""
    package = Path(__file__).resolve().parent
    wheel = package / "_assets"
    return wheel if wheel.is_dir() else package.parent


def path(relative: str) -> Path:
    """Where the asset `relative`, such as `sql/central/schema.sql`, lies on the disk."""
    return root().joinpath(*relative.split("/"))


@cache
def text(relative: str) -> LiteralString:
    """The text of an asset. It is part of the program, so psycopg may take it for a literal string."""
    return path(relative).read_text(encoding="utf-8")


def template(relative: str) -> LiteralString:
    """The text of an asset without its comment lines, whose `{name}`s explain and are not to be filled in."""
    return _uncommented(text(relative))


def _uncommented(said: LiteralString) -> LiteralString:
    kept = [line for line in said.splitlines() if not line.lstrip().startswith("--")]
    return "\n".join(kept).strip() + "\n"


def query(name: str) -> LiteralString:
    """The block `-- name: changed_keys` of `sql/central/queries.sql` for the name `central.changed_keys`."""
    house, _, block = name.rpartition(".")
    blocks = _blocks(f"sql/{house.replace('.', '/')}/queries.sql")
    if block not in blocks:
        raise KeyError(f"sql/{house}/queries.sql has no block `-- name: {block}`")
    return blocks[block]


@cache
def _blocks(relative: str) -> dict[str, LiteralString]:
    whole = text(relative)
    starts = list(_NAME.finditer(whole))
    ends = [mark.start() for mark in starts[1:]] + [len(whole)]
    blocks = {
        mark["name"]: _uncommented(whole[mark.end() : end]).strip() for mark, end in zip(starts, ends, strict=True)
    }
    assert len(blocks) == len(starts), f"{relative} names a block twice"
    return blocks
