"""The tables of the settings files that stand for themselves, and the types of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from apscheduler.triggers.cron import CronTrigger
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


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


def _checked_window(hours: str) -> str:
    begin, end = hours.split("-")
    if begin == end:
        raise ValueError("the window has no hours; without one the whole day is meant")
    return hours


Dsn = Annotated[str, Field(min_length=1, repr=False), AfterValidator(_checked_dsn)]
Name = Annotated[str, Field(min_length=1, max_length=63)]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$", max_length=63)]
Node = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]
Cron = Annotated[str, AfterValidator(_checked_cron)]
Window = Annotated[
    str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"), AfterValidator(_checked_window)
]


class Part(BaseModel):
    """A table of a settings file. Unknown keys are errors: a misspelt filter would ship everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class BookSettings(Part):
    """A check of the books: two SELECTs that have to give the same rows. `group`: the first columns, which tell rows
    apart."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=63)]
    message: Annotated[str, Field(min_length=1, max_length=300)]
    group: tuple[Identifier, ...] = ()
    central: Annotated[str, Field(min_length=1, max_length=20_000)]
    till: Annotated[str, Field(min_length=1, max_length=20_000)]


class ReconcileSettings(Part):
    """The comparison that the service makes by itself. `wait_seconds`: how long tills are waited for. `directory`: of
    its pages."""

    cron: Literal["off"] | Cron = "0 2 * * *"
    wait_seconds: Annotated[float, Field(ge=1, le=43_200)] = 1_800
    directory: Path | None = None


class TillFileSettings(Part):
    """The till application's SQLite file."""

    database: Path
    busy_timeout_ms: Annotated[int, Field(ge=0, le=600_000)] = 5_000
    machine: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class LabelSettings(Part):
    """Labels that a till prints. `query`: per table a SELECT over the till's file that makes a label of a row."""

    sheet: Annotated[str, Field(min_length=1)] = "a4-3x8"
    roll: Annotated[str, Field(min_length=1)] = "roll-58x40"
    dpi: Literal[203, 300, 600] = 203
    currency: Annotated[str, Field(max_length=8)] = "€"
    decimal_comma: bool = True
    font: Path | None = None
    font_bold: Path | None = None
    zpl_font: Annotated[str, Field(pattern=r"^([A-Z0-9]|[A-Z]:[A-Z0-9_]{1,16}\.(TTF|TTE|FNT))$")] = "0"
    query: dict[Name, Annotated[str, Field(min_length=1)]] = {}


class BackupSettings(Part):
    """Where copies of the till's file go. `same_device`: also onto the disk that the file itself is on."""

    directory: Path | None = None
    every_hours: Annotated[float, Field(gt=0, le=8_784)] | None = None
    keep: Annotated[int, Field(ge=1, le=10_000)] = 7
    same_device: bool = False

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.every_hours is not None and self.directory is None:
            raise ValueError("every_hours needs a directory")
        return self
