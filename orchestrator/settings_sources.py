"""Where a setting comes from: defaults < file < secrets directory < `TILLSYNC_*` environment < command line.

pydantic-settings reads each source and knows how a nested name is written (`TILLSYNC_CENTRAL__DSN`, a secret file
`central__dsn`); here the sources are laid one over the other, each value remembering where it was said, so that an
error can name the place where a person has to change something.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from orchestrator.errors import ConfigError

PREFIX = "TILLSYNC_"
DELIMITER = "__"
SECRETS_DIRECTORY = "TILLSYNC_SECRETS_DIR"
FILE_BYTES_MAX = 4 * 1024 * 1024

KeyPath = tuple[str | int, ...]
"""Where a value stands: names of tables, and indexes in their arrays."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says, and how to call it in a message."""

    name: str
    values: Mapping[str, Any]

    def has(self, path: KeyPath) -> bool:
        """Does this source say something at `path`, or at a part of it?"""
        here: Any = self.values
        for step in path:
            steps: Any = here if isinstance(here, Mapping) else range(len(here)) if isinstance(here, list) else ()
            if step not in steps:
                return False
            here = here[step]
        return True


def layers(kind: type[BaseSettings], file: Path, cli: Mapping[str, Any]) -> list[Layer]:
    """All sources of `kind`, the weakest first. Raises ConfigError for one that cannot be read."""
    said = {name: value for name, value in cli.items() if value is not None}
    return [
        Layer(str(file), read_toml(file)),
        *_secrets(kind),
        Layer("environment", _read(EnvSettingsSource(kind, env_prefix=PREFIX, env_nested_delimiter=DELIMITER))),
        Layer("command line", _nested(said)),
    ]


def merged(sources: list[Layer]) -> dict[str, Any]:
    """One mapping out of all layers; tables are merged key by key, anything else is replaced."""
    whole: dict[str, Any] = {}
    for layer in sources:
        _lay_over(whole, layer.values)
    return whole


def origin(sources: list[Layer], path: KeyPath) -> str:
    """The name of the layer whose word counts at `path`."""
    return next((layer.name for layer in reversed(sources) if layer.has(path)), "default")


def read_toml(file: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises ConfigError TS-101 if it cannot be read, TS-102 if it is not TOML."""
    try:
        body = file.read_bytes()
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        raise ConfigError("TS-101", f"{file}: {reason}", hint="name the settings file with -c") from e
    if len(body) > FILE_BYTES_MAX:
        raise ConfigError("TS-101", f"{file} has {len(body)} bytes", hint="a settings file is a few kilobytes of TOML")
    try:
        return tomllib.loads(body.decode("utf-8"))
    except UnicodeDecodeError as e:
        line = body[: e.start].count(b"\n") + 1
        raise ConfigError("TS-102", f"{file}: line {line} is not UTF-8", hint="save the file as UTF-8") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError("TS-102", f"{file}: {_with_line(e, body)}", hint="correct the TOML there") from e


def check_environment(kind: type[BaseSettings], environment: Mapping[str, str]) -> None:
    """Raises ConfigError TS-103 for a `TILLSYNC_*` variable that is nearly, but not quite, the name of a setting.

    Other names with the prefix are left alone: they are for the service, the tests or another version.
    """
    known = [name.upper() for name in kind.model_fields]
    for variable in sorted(environment):
        if not variable.upper().startswith(PREFIX):
            continue
        first = variable.upper().removeprefix(PREFIX).split(DELIMITER)[0]
        near = difflib.get_close_matches(first, known, n=1, cutoff=0.75)
        if near and near[0] != first:
            raise ConfigError(
                "TS-103", f"environment: {variable} is not a setting", hint=f"did you mean {PREFIX}{near[0]}?"
            )


def _secrets(kind: type[BaseSettings]) -> Iterator[Layer]:
    # systemd hands credentials over in a directory of its own naming.
    directory = os.environ.get(SECRETS_DIRECTORY) or os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return
    if not Path(directory).is_dir():
        raise ConfigError("TS-106", f"the secrets directory {directory} is not there", hint=f"see {SECRETS_DIRECTORY}")
    source = NestedSecretsSettingsSource(
        kind,  # type: ignore[arg-type]  # documented: the class itself will do
        secrets_dir=directory,
        secrets_prefix="",
        secrets_nested_delimiter=DELIMITER,
    )
    yield Layer(directory, _stripped(_read(source)))


def _read(source: PydanticBaseSettingsSource) -> dict[str, Any]:
    try:
        return source()
    except (SettingsError, ValueError) as e:
        raise ConfigError("TS-106", f"environment: {e}", hint="lists and tables are written there as JSON") from e


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"relay__dsn": x}` as `{"relay": {"dsn": x}}`."""
    whole: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(DELIMITER)
        here = whole
        for step in path:
            here = here.setdefault(step, {})
        here[last] = value
    return whole


def _lay_over(whole: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            inner = whole.get(name)
            whole[name] = dict(inner) if isinstance(inner, Mapping) else {}
            _lay_over(whole[name], value)
        else:
            whole[name] = value


def _stripped(values: Any) -> Any:
    """Secret files end in a line break that is not part of the secret."""
    if isinstance(values, Mapping):
        return {name: _stripped(value) for name, value in values.items()}
    return values.strip() if isinstance(values, str) else values


def _with_line(error: tomllib.TOMLDecodeError, body: bytes) -> str:
    said = str(error)
    if "(at end of document)" in said:
        last = body.rstrip(b"\n").count(b"\n") + 1
        return said.replace("(at end of document)", f"(at the end, line {last})")
    return said
