"""What pydantic finds wrong in the settings, as one line that names the place, the key and the nearest right one."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.errors import ConfigError
from orchestrator.settings_sources import DELIMITER, PREFIX, KeyPath, Layer, merged, origin

SECRET_KEYS = frozenset({"dsn", "password", "url", "urls"})
SHOWN_CHARACTERS_MAX = 60


def in_one_line(kind: type[BaseModel], error: ValidationError, layers: list[Layer]) -> ConfigError:
    """The first thing that is wrong as a ConfigError, with the number of the others."""
    found = _causes(error.errors(include_url=False))
    whole = merged(layers)
    first = found[0]
    path = _inside(first["loc"], whole)
    # What is missing, and what several keys together make wrong, is put right in the file.
    place = origin(layers, path) if path and first["type"] != "missing" else layers[0].name
    code, said, hint = _explained(kind, first, path)
    shown = _as_variable(path) if place == "environment" else _readable(path, whole)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return ConfigError(code, f"{place}: {shown}{said}{more}", hint=hint)


def _causes(found: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without what only follows: a key that is missing since it was misspelt, a list that lacks its wrong entry."""
    misspelt = {detail["loc"][:-1] for detail in found if detail["type"] == "extra_forbidden"}
    return [
        detail
        for detail in found
        if not (detail["type"] == "missing" and detail["loc"][:-1] in misspelt)
        and not any(_lies_in(other["loc"], detail["loc"]) for other in found)
    ]


def _lies_in(inner: KeyPath, outer: KeyPath) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _explained(kind: type[BaseModel], detail: ErrorDetails, path: KeyPath) -> tuple[str, str, str]:
    if detail["type"] == "extra_forbidden":
        known = _keys(kind, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
        return "TS-103", " is not a setting", f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    if detail["type"] == "missing":
        return "TS-104", " is missing", ""
    value = detail["input"]
    said = detail["msg"].removeprefix("Value error, ")
    said = f"{said[0].lower()}{said[1:]}"
    near = difflib.get_close_matches(str(value), _choices(detail), n=1, cutoff=0.6)
    if isinstance(value, Mapping | list | tuple) or SECRET_KEYS & set(path):
        return "TS-105", f": {said}" if path else said, ""
    return "TS-105", f" = {_short(value)}: {said}", f"did you mean {near[0]}?" if near else ""


def _inside(path: KeyPath, whole: Any) -> KeyPath:
    """The part of pydantic's path that is in the settings; the rest names branches of a union or a failed check."""
    here = whole
    kept: list[str | int] = []
    for step in path:
        if isinstance(here, Mapping) and isinstance(step, str):
            kept.append(step)
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            kept.append(step)
            here = here[step]
    return tuple(kept)


def _readable(path: KeyPath, whole: Any) -> str:
    """`channel[catalogue].table[public.item].filter`: entries of a list by their name, where they have one."""
    here, said = whole, ""
    for step in path:
        if isinstance(step, int):
            here = here[step]
            said += f"[{here.get('name', step + 1) if isinstance(here, Mapping) else step + 1}]"
        else:
            here = here.get(step) if isinstance(here, Mapping) else None
            said += f".{step}" if said else step
    return said


def _as_variable(path: KeyPath) -> str:
    return PREFIX + DELIMITER.join(str(step) for step in path).upper()


def _keys(kind: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the table at `path` may have."""
    here: type[BaseModel] | None = kind
    for step in path:
        # Indexes, and keys of a mapping of models, stay with the model that was found at the field.
        if isinstance(step, str) and here is not None and step in here.model_fields:
            here = next(_models(here.model_fields[step].annotation), None)
    return sorted(here.model_fields) if here is not None else []


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `tuple[TableSettings, ...]` or `Notice | None`."""
    if typing.get_origin(annotation) is None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _choices(detail: ErrorDetails) -> list[str]:
    return [part.strip(" '") for part in str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",")]


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= SHOWN_CHARACTERS_MAX else f"{said[:SHOWN_CHARACTERS_MAX]}..."
