"""The demo's machines in one directory: databases, settings, tills' files, all installed with the real commands."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template

import psycopg
from psycopg import sql

from orchestrator import assets
from orchestrator.demo import office, pos
from orchestrator.demo.agents import Agent, command
from orchestrator.demo.chain import Chain, Till
from orchestrator.demo.databases import Server, create_database, drop_database
from orchestrator.demo.proofs import Branch

PREFIX = "tillsync_demo"
CENTRAL = "central"
POLL_MS = 100
AT_ONCE = 2  # commands run side by side


@dataclass(frozen=True)
class Site:
    """What the replay and the proofs need to know of the machines.

    office_dsn: the ERP's login, which owns its tables and is no superuser. agents: `central` and the nodes.
    """

    directory: Path
    chain: Chain
    central_dsn: str
    office_dsn: str
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
    create_database(server, f"{PREFIX}_relay")
    site = Site(
        directory=directory,
        chain=chain,
        central_dsn=create_database(server, f"{PREFIX}_central", owner=login),
        office_dsn=server.dsn(f"{PREFIX}_central", login, password),
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
    """Opens the books and installs everything with the real commands; `said` is told what is being done."""
    said("head office's books")
    with psycopg.connect(site.office_dsn, autocommit=True) as connection:
        office.open_books(connection, site.chain)
    said("installing central and the relay")
    for part in ("central", "relay"):
        command(["install", part, "-c", str(site.settings)])
    for till in site.chain.tills:
        said(f"registering {till.node}")
        site.file(till).parent.mkdir()
        pos.create_file(site.file(till), till)
        command(_registration(site, till))
    # The plan comes to the tills through the relay, so central has to be at work before they are installed.
    site.agents[CENTRAL].start()
    said("installing the tills")
    side_by_side([["install", "till", "-c", _till_settings(site, till)] for till in site.chain.tills])


def settle(site: Site) -> None:
    """Stops the agents and moves what is still on its way: up from the tills, through central, down to the tills."""
    for agent in site.agents.values():
        agent.stop()
    central = ["sync", "central", "-c", str(site.settings), "--until-idle"]
    tills = [["sync", "till", "-c", _till_settings(site, till), "--until-idle"] for till in site.chain.tills]
    side_by_side(tills)
    command(central)
    side_by_side(tills)


def side_by_side(commands: Iterable[list[str]]) -> None:
    """Runs commands of different tills, a few at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(command, commands))


def clear(server: Server) -> None:
    """Removes the demo's databases and logins from a server that is not the demo's own."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for name in ("central", "relay"):
            drop_database(server, f"{PREFIX}_{name}")
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
