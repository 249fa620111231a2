"""`tillsync install till`: the plan comes from the relay, the tables and triggers go into the till's file."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator import postgres
from orchestrator.core import plan as plans
from orchestrator.core.world import World
from orchestrator.errors import ConfigError, PersonMustDecide
from orchestrator.relay.client import connect_branch
from orchestrator.settings import TillSettings
from orchestrator.till import changelog, schema, state
from orchestrator.till.database import connect
from orchestrator.till.fitness import check_age
from orchestrator.till.pull import check_node
from orchestrator.till.relay import Relay


@dataclass(frozen=True, slots=True)
class Setup:
    """What was done or, for `script`, what would be: the report is None where nothing was run."""

    node: str
    plan_version: int
    report: schema.InstallReport | None
    script: str


def install_till(
    settings: TillSettings,
    world: World,
    *,
    dry_run: bool = False,
    as_sql: bool = False,
    partial: bool = False,
    relay: Relay | None = None,
) -> Setup:
    """Installs into the till's file what the published plan asks for. With `dry_run` or `as_sql` the file is only read.
    With `partial` what the till's tables do not have is left out.

    Raises ConfigError TS-510 to TS-516 where the till's tables do not fit, TS-523 where there is no plan yet,
    PersonMustDecide TS-521 where the account is another node's, TS-532 where the till is too old for the plan.
    """
    db = connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    own = relay or connect_branch(postgres.conninfo(settings.relay))
    try:
        hello = own.hello()
        if hello.node != settings.node:
            raise PersonMustDecide(
                "TS-521",
                f"till.toml says node {settings.node}, the relay's account is of node {hello.node}",
                hint="put right the one that is wrong",
            )
        if state.is_installed(db):
            check_node(db, hello)
        body = own.plan()
        if body is None:
            raise ConfigError("TS-523", "no plan is published yet", hint="run `tillsync install central` first")
        plan = plans.decode(body)
        check_age(db, plan)
        if dry_run or as_sql:
            return Setup(hello.node, plan.version, None, schema.script(db, plan, node=hello.node, partial=partial))
        report = schema.install(db, plan, world, node=hello.node, partial=partial)
        return Setup(hello.node, plan.version, report, "")
    finally:
        own.close()
        db.close()


def uninstall_till(settings: TillSettings, *, force: bool = False) -> int:
    """Removes every trace from the till's file; returns how many changes central had not answered.

    Raises PersonMustDecide TS-524 where there are such changes and `force` is not given: they would be lost.
    """
    db = connect(settings.till.database, busy_ms=settings.till.busy_timeout_ms)
    try:
        if not state.is_installed(db):
            return 0
        unsent = changelog.pending_count(db, state.load(db).ack)
        if unsent and not force:
            raise PersonMustDecide(
                "TS-524",
                f"{unsent} changes of {settings.till.database} are not at head office yet",
                hint="run `tillsync sync till --until-idle` first, or give --force to lose them",
            )
        schema.uninstall(db)
        return unsent
    finally:
        db.close()
