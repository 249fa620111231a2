"""The demo's machines in one directory: databases, settings, tills' files, all installed with the real commands."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import psycopg
from psycopg import sql

from orchestrator import assets
from orchestrator.core import reconciliation
from orchestrator.core.reconciliation import Report
from orchestrator.demo import office, pos
from orchestrator.demo.agents import Agent, command
from orchestrator.demo.chain import Chain, Till
from orchestrator.demo.databases import Server, create_database, drop_database
from orchestrator.demo.proofs import Branch
from orchestrator.errors import TillsyncError
from orchestrator.relay.schema import uninstall

PREFIX = "tillsync_demo"
CENTRAL = "central"
POLL_MS = 100
AT_ONCE = 2  # commands run side by side
WAIT_SECONDS_MAX = 240
DIFFERS, UNREACHABLE = 3, 4  # exit codes of a comparison that was made
WAIT_STEP_SECONDS = 0.3


@dataclass(frozen=True)
class Site:
    """What the replay and the proofs need to know of the machines.

    office_dsn: the ERP's login, which owns its tables and is no superuser. relay_admin_dsn: who installs the relay;
    central's own account there can do far less. agents: `central` and the nodes.
    """

    directory: Path
    chain: Chain
    central_dsn: str
    office_dsn: str
    relay_admin_dsn: str
    agents: dict[str, Agent]

    @property
    def settings(self) -> Path:
        """Head office's settings file."""
        return self.directory / "tillsync.toml"

    @property
    def logs(self) -> Path:
        """The directory of the agents' logs."""
        return self.directory / "logs"

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The tills with their files."""
        return tuple(Branch(till, self.file(till)) for till in self.chain.tills)

    def file(self, till: Till) -> Path:
        """The till's database."""
        return self.directory / till.node / "pos.db"


def prepare(directory: Path, server: Server, chain: Chain) -> Site:
    """Two empty databases, the ERP's login, and head office's settings file."""
    clear(server)
    login, password = f"{PREFIX}_erp", secrets.token_urlsafe(12)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        role = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(login), sql.Literal(password))
        connection.execute(role)
    site = Site(
        directory=directory,
        chain=chain,
        central_dsn=create_database(server, f"{PREFIX}_central", owner=login),
        office_dsn=server.dsn(f"{PREFIX}_central", login, password),
        relay_admin_dsn=create_database(server, f"{PREFIX}_relay"),
        agents={},
    )
    site.logs.mkdir()
    site.agents.update({agent.name: agent for agent in _agents(site)})
    settings = Template(assets.text("sql/retail/tillsync.toml.template")).substitute(
        central_dsn=site.central_dsn,
        relay_dsn=server.dsn(f"{PREFIX}_relay", f"{PREFIX}_hq", secrets.token_urlsafe(12)),
        poll_ms=POLL_MS,
    )
    site.settings.touch(mode=0o600)
    site.settings.write_text(settings, encoding="utf-8")
    return site


def install(site: Site, said: Callable[[str], None]) -> None:
    """Opens the books, installs all with the real commands and starts the agents; `said` is told of each step."""
    said("head office's books")
    with psycopg.connect(site.office_dsn, autocommit=True) as connection:
        office.open_books(connection, site.chain)
    said("installing central and the relay")
    command(["install", "relay", "-c", str(site.settings), "--admin-dsn", site.relay_admin_dsn])
    command(["install", "central", "-c", str(site.settings)])
    for till in site.chain.tills:
        said(f"registering {till.node}")
        site.file(till).parent.mkdir()
        pos.create_file(site.file(till), till)
        command(_registration(site, till))
    # The plan comes to the tills through the relay, so central has to be at work before they are installed.
    site.agents[CENTRAL].start()
    said("installing the tills")
    side_by_side([["install", "till", "-c", _till_settings(site, till)] for till in site.chain.tills])
    for agent in site.agents.values():
        agent.start()
    said("the tills' first load")
    first_load(site)


def first_load(site: Site) -> None:
    """Waits until every till has got its items: a till is not opened before its first synchronisation."""

    def missing() -> str:
        empty = [till.node for till in site.chain.tills if not pos.has_items(site.file(till))]
        return f"{', '.join(empty)} got no items" if empty else ""

    _wait(site, missing)


def settle(site: Site) -> None:
    """Waits until nothing is on its way, as `tillsync status` tells it twice in a row."""
    for agent in site.agents.values():
        agent.start()
    ticks: list[int | None] = [None]

    def missing() -> str:
        status = json.loads(command(["status", "-c", str(site.settings), "--json"]))
        ticks.append(status["relay"].get("tick"))
        moving = "the relay's tick" if ticks[-1] is None or ticks[-1] != ticks[-2] else ""
        return on_the_way(status) or moving

    _wait(site, missing)


def compare(site: Site) -> tuple[Report, Path]:
    """The report of `tillsync reconcile`, with the agents at work, and its page."""
    page = site.directory / "reconciliation.html"
    arguments = [
        "reconcile",
        "-c",
        str(site.settings),
        "--html",
        str(page),
        "--timeout",
        str(WAIT_SECONDS_MAX),
        "--json",
    ]
    said = command(arguments, codes=(0, DIFFERS, UNREACHABLE))
    return reconciliation.decode(said), page


def stop(site: Site) -> None:
    """Ends the agents in order."""
    for agent in site.agents.values():
        agent.stop()


def on_the_way(status: Mapping[str, Any]) -> str:
    """What is not at its place yet, by the branches' own reports; empty if all is."""
    return ", ".join(
        f"{branch['node']} {name} {branch[name]}"
        for branch in status["branches"]
        for name in ("pending", "waiting_uploads", "lag_ticks")
        if branch[name] != 0
    )


def _wait(site: Site, missing: Callable[[], str]) -> None:
    """Until nothing is missing. Raises TS-715 when that takes too long, TS-712 if an agent has ended."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    while what := missing():
        for agent in site.agents.values():
            agent.check()
        if time.monotonic() > until:
            raise TillsyncError("TS-715", f"after {WAIT_SECONDS_MAX} s: {what}", hint=f"see {site.logs}")
        time.sleep(WAIT_STEP_SECONDS)


def side_by_side(commands: Iterable[list[str]]) -> None:
    """Runs commands of different tills, a few at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(command, commands))


def clear(server: Server) -> None:
    """Removes the demo's databases and logins, this one's or an earlier one's, from a server that may be somebody's."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        relay = f"{PREFIX}_relay"
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [relay]).fetchone():
            uninstall(server.dsn(relay))  # with it the tills' logins go, which outlive a database
        for name in (relay, f"{PREFIX}_central"):
            drop_database(server, name)
        for role in ("erp", "hq"):
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{PREFIX}_{role}")))


def _agents(site: Site) -> Iterator[Agent]:
    yield Agent(CENTRAL, ("run", "central", "-c", str(site.settings)), site.logs / "central.log")
    for till in site.chain.tills:
        yield Agent(till.node, ("run", "till", "-c", _till_settings(site, till)), site.logs / f"{till.node}.log")


def _registration(site: Site, till: Till) -> list[str]:
    return [
        *("branch", "add", till.node, "-c", str(site.settings)),
        *("--set", f"store_id={till.store.id}", "--set", f"price_group={till.store.price_group}"),
        *("--out", _till_settings(site, till)),
    ]


def _till_settings(site: Site, till: Till) -> str:
    return str(site.file(till).with_name("till.toml"))
