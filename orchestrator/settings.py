"""The two settings files, `tillsync.toml` at head office and `till.toml` at a till, as types.

Only their form is checked here. What central's catalog has to say (tables, columns, filters) is the plan's business.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator import settings_sources as sources
from orchestrator.masking import HIDDEN, mask
from orchestrator.settings_channel import ChannelSettings, PolicySettings, TableSettings
from orchestrator.settings_errors import SECRET_KEYS, in_one_line
from orchestrator.settings_jobs import JobSettings
from orchestrator.settings_parts import (
    BackupSettings,
    BookSettings,
    DatabaseSettings,
    Identifier,
    LabelSettings,
    Node,
    ReconcileSettings,
    RetentionSettings,
    TillFileSettings,
)
from orchestrator.settings_watch import CalendarSettings, HttpSettings, LogSettings, NotifySettings, WatchSettings

__all__ = [
    "CentralSettings",
    "ChannelSettings",
    "Common",
    "DatabaseSettings",
    "PolicySettings",
    "RetentionSettings",
    "TableSettings",
    "TillFileSettings",
    "TillSettings",
    "json_schema",
    "listing",
    "mask",
]


class Common(BaseSettings):
    """What both files have: tunables, with their unit last."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    poll_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 1_000
    poll_idle_ms: Annotated[int, Field(ge=10, le=3_600_000)] | None = None
    part_rows_max: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    part_bytes_max: Annotated[int, Field(ge=1_024, le=16 * 1024 * 1024)] = 4 * 1024 * 1024
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log: LogSettings = LogSettings()
    http: HttpSettings = HttpSettings()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` has laid together: it keeps the origin of each value, which pydantic-settings would not."""
        return (init_settings,)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **cli: Any) -> Self:
        """Reads `path` and what lies over it; `cli` is the command line's say, `relay__dsn="..."`, None for nothing.

        Raises ConfigError TS-101 (no file), TS-102 (not TOML), TS-103 (unknown key), TS-104 (missing key),
        TS-105 (wrong value), TS-106 (unreadable environment or secrets).
        """
        return cls.load_with_sources(path, **cli)[0]

    @classmethod
    def load_with_sources(cls, path: str | os.PathLike[str], **cli: Any) -> tuple[Self, list[sources.Layer]]:
        """As `load`, with the layers that `sources.origin` asks."""
        sources.check_environment(cls, os.environ)
        found = sources.layers(cls, Path(path), cli)
        try:
            return cls(**sources.merged(found)), found
        except ValidationError as e:
            raise in_one_line(cls, e, found) from None


class CentralSettings(Common):
    """Head office's `tillsync.toml`."""

    central: DatabaseSettings
    relay: DatabaseSettings
    parameters: dict[Identifier, Annotated[str, Field(min_length=1)]] = {}
    till_version_min: Annotated[str, Field(pattern=r"^(\d{1,6}(\.\d{1,6}){0,3})?$")] = ""
    till_schema_min: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    removal_share_max: Annotated[float, Field(ge=0, le=1)] = 0.2
    retention: RetentionSettings = RetentionSettings()
    calendar: CalendarSettings = CalendarSettings()
    watch: WatchSettings = WatchSettings()
    notify: NotifySettings = NotifySettings()
    channel: Annotated[tuple[ChannelSettings, ...], Field(min_length=1)]
    book: tuple[BookSettings, ...] = ()
    reconcile: ReconcileSettings = ReconcileSettings()
    job: tuple[JobSettings, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what, names in (
            ("channel", [channel.name for channel in self.channel]),
            ("book", [book.name for book in self.book]),
            ("table", [table.full_name for channel in self.channel for table in channel.table]),
            ("job", [job.name for job in self.job]),
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"{what} {twice[0]} is there twice; a {what} is described once")
        return self

    @model_validator(mode="after")
    def _values_to_set_exist(self) -> Self:
        known = {":node", *(f":{name}" for name in self.parameters)}
        for table in (table for channel in self.channel for table in channel.table):
            for column, value in table.set.items():
                if value not in known:
                    raise ValueError(f"{table.name}: set.{column} = {value!r} is none of {', '.join(sorted(known))}")
        return self


class TillSettings(Common):
    """A till's `till.toml`: who it is, where the relay is, where its file is. All else comes with the plan."""

    node: Node
    relay: DatabaseSettings
    till: TillFileSettings
    lock_ms_max: Annotated[int, Field(ge=1, le=60_000)] = 200
    labels: LabelSettings = LabelSettings()
    backup: BackupSettings = BackupSettings()

    @classmethod
    def load_with_sources(cls, path: str | os.PathLike[str], **cli: Any) -> tuple[Self, list[sources.Layer]]:
        """As for any settings; the till's file is looked for beside the settings file, wherever a service starts."""
        settings, found = super().load_with_sources(path, **cli)
        beside = Path(path).absolute().parent / settings.till.database
        till = settings.till.model_copy(update={"database": beside})
        return settings.model_copy(update={"till": till}), found


def json_schema(kind: type[Common]) -> dict[str, Any]:
    """The JSON schema of a settings file, for editors."""
    return kind.model_json_schema()


def listing(kind: type[Common], path: str | os.PathLike[str], **cli: Any) -> Iterator[tuple[str, str, str]]:
    """Every setting as (key path, value, origin); secrets are masked."""
    settings, found = kind.load_with_sources(path, **cli)

    def walk(value: Any, at: sources.KeyPath) -> Iterator[tuple[str, str, str]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if inner is None:
            shown = mask(value) if at[-1] == "dsn" else HIDDEN if SECRET_KEYS & set(at) else str(value)
            yield ".".join(map(str, at)), shown, sources.origin(found, at)
        else:
            for name, below in inner:
                yield from walk(below, (*at, name))

    yield from walk(settings.model_dump(mode="json", exclude_none=True), ())
