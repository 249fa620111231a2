"""The plan: the validated, versioned description of what is replicated and how.

Central makes it from its settings and its catalog, and publishes it through the relay. A till obeys it and needs
nothing else. Filters stay at central: a till is told what it holds, not why.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5

import msgspec

from orchestrator.core.jobs import Job
from orchestrator.errors import ConfigError

FORMAT = 1
"""The newest format of plans that this version reads; a till refuses a plan with a higher one."""


class PolicySpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a conflict is resolved: a policy's name and what it needs to know."""

    policy: str
    states: tuple[str, ...] = ()
    fallback: str = "central_wins"
    function: str = ""

    @property
    def asks_when(self) -> bool:
        """Whether it asks which of two changes was made later."""
        return "newest_wins" in (self.policy, self.fallback)


class Notice(msgspec.Struct, frozen=True):
    """Columns whose change the till's operator must see, and under which kind."""

    kind: str
    columns: tuple[str, ...]


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One shipped column. `type` is PostgreSQL's text of the type, `kind` the wire kind of `core.values`."""

    name: str
    type: str
    kind: str
    till: str
    encode: str | None = None


class DocumentPart(msgspec.Struct, frozen=True):
    """A table whose rows are lines of a header's, and its columns that name the header, in the order of its key."""

    table: str
    columns: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, omit_defaults=True):
    """One replicated table. `columns` are those that the till has; a key column may come from `set` instead.

    unique: other rules of central's over columns that travel. The till keeps its own; `check` compares them.
    document: tables whose rows head office takes with this one's or not at all. protect: `refuse` has a till's
    statement fail that changes a row of a table which only goes down.
    """

    name: str
    till: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    policy: PolicySpec = PolicySpec("central_wins")
    column_policy: dict[str, PolicySpec] = {}
    set: dict[str, str] = {}
    filter: str | None = None
    notice: Notice | None = None
    unique: tuple[tuple[str, ...], ...] = ()
    document: tuple[DocumentPart, ...] = ()
    protect: str = ""

    @property
    def asks_when(self) -> bool:
        """Whether a policy of the table asks when a change was made."""
        return any(p.asks_when for p in (self.policy, *self.column_policy.values()))

    @property
    def column_names(self) -> tuple[str, ...]:
        """Central's names of the shipped columns, in the order in which rows travel."""
        return tuple(c.name for c in self.columns)

    @property
    def till_key(self) -> tuple[Column, ...]:
        """The shipped key columns: the table's key as the till has it, without columns that come from `set`."""
        by_name = {c.name: c for c in self.columns}
        return tuple(by_name[k] for k in self.key if k in by_name)

    @property
    def key_indexes(self) -> tuple[int, ...]:
        """Where the till's key columns stand in a row."""
        names = self.column_names
        return tuple(names.index(k) for k in self.key if k in names)


class Book(msgspec.Struct, frozen=True, omit_defaults=True):
    """A check of the books: two SELECTs that have to give the same rows. `columns`: what head office's gives, with the
    types that it says; the first ones, `group`, tell the rows apart."""

    name: str
    message: str
    group: tuple[str, ...]
    columns: tuple[Column, ...]
    central: str
    till: str


class Channel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tables with one direction, schedule and priority (1 goes first)."""

    name: str
    direction: str
    tables: tuple[Table, ...]
    every_seconds: float | None = None
    cron: str | None = None
    priority: int = 5
    window: str | None = None

    @property
    def goes_down(self) -> bool:
        return self.direction in ("down", "both")

    @property
    def goes_up(self) -> bool:
        return self.direction in ("up", "both")


class Plan(msgspec.Struct, frozen=True):
    """All channels, with the node parameters that filters use (name -> PostgreSQL type).

    format: the oldest format whose readers can obey the plan. What they do not know of is left unread, so that an
    addition does not raise it. version_min, schema_min: of Tillsync at the till, and of its application's file
    (user_version). jobs: of the tills. timezone: of every schedule.
    """

    version: int
    parameters: dict[str, str]
    channels: tuple[Channel, ...]
    format: int = FORMAT
    version_min: str = ""
    schema_min: int = 0
    books: tuple[Book, ...] = ()
    jobs: tuple[Job, ...] = ()
    timezone: str = "UTC"

    def book(self, name: str) -> Book | None:
        """A check of the books by its name."""
        return next((b for b in self.books if b.name == name), None)

    def tables(self) -> Iterator[tuple[Channel, Table]]:
        """Every table with its channel; a table is in one channel only."""
        for channel in self.channels:
            for table in channel.tables:
                yield channel, table

    def find(self, name: str) -> tuple[Channel, Table] | None:
        """A table by central's full name, with its channel."""
        return next(((c, t) for c, t in self.tables() if t.name == name), None)

    @property
    def stamped(self) -> frozenset[str]:
        """Tables, by central's name, of which a policy asks when they were changed."""
        return frozenset(table.name for _, table in self.tables() if table.asks_when)

    def for_tills(self) -> Plan:
        """What a till may see: everything but the filters, and what head office's books are made of."""
        return msgspec.structs.replace(
            self,
            books=tuple(msgspec.structs.replace(b, central="") for b in self.books),
            channels=tuple(
                msgspec.structs.replace(c, tables=tuple(msgspec.structs.replace(t, filter=None) for t in c.tables))
                for c in self.channels
            ),
        )


def encode(plan: Plan) -> bytes:
    """The plan as JSON: what is stored at central and published to the tills."""
    return msgspec.json.encode(plan)


def digest(plan: Plan) -> str:
    """The MD5 of the plan as tills see it, as the relay says it."""
    return md5(encode(plan.for_tills()), usedforsecurity=False).hexdigest()


def decode(body: bytes | str) -> Plan:
    """Read a published plan. Raises ConfigError TS-120 for one that this version does not understand."""
    try:
        plan = msgspec.json.decode(body, type=Plan)
    except msgspec.MsgspecError as e:
        raise ConfigError("TS-120", f"the published plan cannot be read: {e}", hint="upgrade this node") from e
    if plan.format > FORMAT:
        raise ConfigError(
            "TS-120",
            f"the published plan has format {plan.format}, this version knows {FORMAT}",
            hint="upgrade this node",
        )
    return plan
