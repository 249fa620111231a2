"""Images of changes as they are kept with parked ones: text that PostgreSQL could read, else the bytes as they came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from orchestrator.central.stage import Unread
from orchestrator.core import values
from orchestrator.core.changes import Row
from orchestrator.errors import RowFault


def row_of(u: Unread) -> dict[str, Any]:
    """The newest image of a change, with the columns that central alone has."""
    fixed = {c.name: c.text for c in u.unit.constants} if u.unit is not None else {}
    return fixed | (as_stored(u, u.new if u.new is not None else u.old) or {})


def as_stored(u: Unread, image: Row | None) -> dict[str, Any] | None:
    """An image as JSON: text that PostgreSQL could read, where there is one, else the bytes as they came."""
    if image is None:
        return None
    if u.unit is None:
        return {name: _bytes_or_text(v) for name, v in zip(u.shape.columns, image, strict=True)}
    return {f.name: _cell(values.to_text(f.column), v) for f, v in zip(u.unit.fields, image, strict=True)}


def _cell(to_text: Any, v: Any) -> Any:
    try:
        text = to_text(v)
    except RowFault:
        # Marked, so that it is never taken for a text that could be read after all.
        return _bytes_or_text(v) if isinstance(v, bytes) or "\0" in str(v) else {"text": str(v)}
    return _bytes_or_text(text)


def _bytes_or_text(v: Any) -> Any:
    """jsonb takes neither bytes nor a text with a NUL in it."""
    if isinstance(v, bytes):
        return {"hex": v.hex()}
    if isinstance(v, str) and "\0" in v:
        return {"hex": v.encode().hex()}
    return v if v is None or isinstance(v, str) else str(v)


def as_given(v: Any) -> Any:
    if not isinstance(v, dict):
        return v
    return bytes.fromhex(v["hex"]) if "hex" in v else str(v["text"]).encode()


def as_json(image: Mapping[str, Any] | None) -> Jsonb | None:
    return None if image is None else Jsonb(dict(image))
