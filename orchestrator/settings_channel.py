"""What head office's file says of a channel: its tables with their filters and policies, and its schedule."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.settings_parts import Cron, Name, Part, Window

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


def _spelled_out(policy: Any) -> Any:
    return {"policy": policy} if isinstance(policy, str) else policy


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


DocumentName = Annotated[str, Field(pattern=r"^[^()]+(\([^()]+\))?$", max_length=1_000)]
"""A table whose rows are lines of a document: `line`, or `line(order_id)` with the columns that name the header."""


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
    column_policy: dict[Name, Policy] = Field(default={})
    set: dict[Name, str] = Field(default={})
    map: dict[Name, Name] = Field(default={})
    encode: dict[Name, str] = Field(default={})
    number: tuple[Name, ...] = ()
    validity: Annotated[tuple[Name, ...], Field(min_length=1, max_length=2)] | None = None
    notice: NoticeSettings | None = None
    document: tuple[DocumentName, ...] = ()
    protect: Literal["refuse"] | None = None

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
    """Tables with one direction and schedule; without a schedule the channel is looked at in every round. `window`: the
    hours in which it is, such as 22:00-06:00."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=63)]
    direction: Literal["down", "up", "both"]
    every_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    cron: Cron | None = None
    window: Window | None = None
    priority: Annotated[int, Field(ge=1, le=9)] = 5
    table: Annotated[tuple[TableSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.every_seconds is not None and self.cron is not None:
            raise ValueError("every_seconds and cron cannot both be given")
        return self
