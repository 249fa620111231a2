"""The two settings files, `tillsync.toml` at head office and `till.toml` at a till, as types.

Only their form is checked here. What central's catalog has to say (tables, columns, filters) is the plan's business.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from apscheduler.triggers.cron import CronTrigger
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator import settings_sources as sources
from orchestrator.settings_errors import in_one_line

PolicyName = Literal[
    "central_wins",
    "branch_wins",
    "newest_wins",
    "column_merge",
    "additive",
    "append_only",
    "state_machine",
    "manual",
    "function",
]


def _checked_dsn(dsn: str) -> str:
    try:
        conninfo_to_dict(dsn)
    except ProgrammingError:
        # libpq's own words repeat the string, and with it the password.
        raise ValueError("it is not a PostgreSQL connection string like postgresql://user@host/database") from None
    return dsn


def _checked_cron(line: str) -> str:
    CronTrigger.from_crontab(line, timezone="UTC")
    return line


def _spelled_out(policy: Any) -> Any:
    return {"policy": policy} if isinstance(policy, str) else policy


Dsn = Annotated[str, Field(min_length=1, repr=False), AfterValidator(_checked_dsn)]
Name = Annotated[str, Field(min_length=1, max_length=63)]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$", max_length=63)]
Node = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]
Cron = Annotated[str, AfterValidator(_checked_cron)]


class Part(BaseModel):
    """A table of a settings file. Unknown keys are errors: a misspelt filter would ship everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySettings(Part):
    """How a conflict is resolved; in the file a bare name will do: `policy = "central_wins"`."""

    policy: PolicyName
    states: tuple[str, ...] = ()
    fallback: PolicyName = "central_wins"
    function: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.policy == "state_machine") != bool(self.states):
            raise ValueError('states belong to the policy state_machine: states = ["draft", "sent"]')
        if (self.policy == "function") != (self.function is not None):
            raise ValueError('function belongs to the policy function: function = "schema.name"')
        return self


Policy = Annotated[PolicySettings, BeforeValidator(_spelled_out)]


class NoticeSettings(Part):
    """Columns whose change the till's operator must see."""

    kind: Name
    columns: Annotated[tuple[Name, ...], Field(min_length=1)]


class TableSettings(Part):
    """One replicated table, by central's name for it."""

    name: Name
    till_name: Name | None = None
    columns: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    exclude: tuple[Name, ...] = ()
    filter: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    policy: Policy = PolicySettings(policy="central_wins")
    column_policy: dict[Name, Policy] = {}
    set: dict[Name, str] = {}
    map: dict[Name, Name] = {}
    encode: dict[Name, str] = {}
    notice: NoticeSettings | None = None
    document: Name | None = None

    @property
    def full_name(self) -> str:
        """The name with its schema, which is `public` unless the file says another."""
        return self.name if "." in self.name else f"public.{self.name}"

    @model_validator(mode="after")
    def _one_list_of_columns(self) -> Self:
        if self.columns is not None and self.exclude:
            raise ValueError("columns and exclude cannot both be given: say what is shipped or what is not")
        return self


class ChannelSettings(Part):
    """Tables with one direction and schedule; without a schedule the channel is looked at in every round."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=63)]
    direction: Literal["down", "up", "both"]
    every_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    cron: Cron | None = None
    priority: Annotated[int, Field(ge=1, le=9)] = 5
    table: Annotated[tuple[TableSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.every_seconds is not None and self.cron is not None:
            raise ValueError("every_seconds and cron cannot both be given")
        return self


class DatabaseSettings(Part):
    """A PostgreSQL that is reached with a connection string."""

    dsn: Dsn
    connect_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 10
    statement_timeout_seconds: Annotated[float, Field(ge=0)] = 0
    lock_timeout_seconds: Annotated[float, Field(ge=0)] = 10


class RetentionSettings(Part):
    """How long things are kept, in days. ticks: how long a till may be away and still get differences."""

    ticks_days: Annotated[float, Field(gt=0, le=3_650)] = 14
    snapshots_days: Annotated[float, Field(gt=0, le=3_650)] = 1
    uploads_days: Annotated[float, Field(gt=0, le=3_650)] = 35
    history_days: Annotated[float, Field(gt=0, le=3_650)] = 400

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.uploads_days > self.history_days:
            raise ValueError("uploads_days is more than history_days: uploads that are sent again must be known")
        return self


class TillFileSettings(Part):
    """The till application's SQLite file."""

    database: Path
    busy_timeout_ms: Annotated[int, Field(ge=0, le=600_000)] = 5_000
    machine: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class Common(BaseSettings):
    """What both files have: tunables, with their unit last."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    poll_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 1_000
    part_rows_max: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    part_bytes_max: Annotated[int, Field(ge=1_024, le=16 * 1024 * 1024)] = 4 * 1024 * 1024
    log_level: Literal["debug", "info", "warning", "error"] = "info"

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
    channel: Annotated[tuple[ChannelSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what, names in (
            ("channel", [channel.name for channel in self.channel]),
            ("table", [table.full_name for channel in self.channel for table in channel.table]),
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
            shown = mask(value) if at[-1] == "dsn" else str(value)
            yield ".".join(map(str, at)), shown, sources.origin(found, at)
        else:
            for name, below in inner:
                yield from walk(below, (*at, name))

    yield from walk(settings.model_dump(mode="json", exclude_none=True), ())


def mask(dsn: str) -> str:
    """The connection string with its secrets hidden."""
    dsn = re.sub(r"(?<=://)([^:/?#@]*):[^/?#]*@", r"\1:***@", dsn)
    return re.sub(r"\b(password|sslpassword)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)", r"\1\2***", dsn)
