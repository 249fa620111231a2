"""What runs in the lab's own containers: the one that sets it up, head office's people, and the tills' applications.

Each is `python -m orchestrator.lab.inside ROLE`. They live through the demo's month, each at its own pace by the clock,
and know nothing of one another: whoever is cut off goes on alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from string import Template

import psycopg
import typer
from psycopg import sql
from psycopg.conninfo import make_conninfo

from orchestrator import assets
from orchestrator.demo import chain, month, office, pos, proofs
from orchestrator.demo.agents import command
from orchestrator.demo.replay import pace
from orchestrator.errors import TillsyncError
from orchestrator.postgres import connect
from orchestrator.relay import schema as relay_schema
from orchestrator.settings import CentralSettings

TILLS, STORES, POLL_MS = 3, 2, 500
HEAD_OFFICE = Path("/etc/tillsync")
TILL_FILES = Path("/var/lib/tillsync")
SETTINGS = HEAD_OFFICE / "tillsync.toml"
DONE = HEAD_OFFICE / "set-up"
CENTRAL = "head-office-of-the-lab"
POOLER = "pooler-of-the-lab"
WAIT_SECONDS = 1.0


def main(arguments: Sequence[str]) -> None:
    """`setup`, `office`, `pos NODE`, `prove`."""
    roles: dict[str, Callable[..., None]] = {"setup": set_up, "office": work, "pos": sell, "prove": prove}
    role, *rest = arguments
    roles[role](*rest)


def lab_chain() -> chain.Chain:
    return chain.build(month.load(), TILLS, STORES)


def set_up() -> None:
    """Opens the books, installs head office and relay with the real commands, registers the tills. Once."""
    if DONE.exists():
        return
    password = Path("/run/secrets/superuser").read_text(encoding="utf-8").splitlines()[0]
    admin = {"user": "postgres", "password": password}
    central = make_conninfo("", host="hq-db", dbname="erp", **admin)
    relay_admin = make_conninfo("", host="relay-db", dbname="tillsync", **admin)
    _settings(central)
    the_chain = lab_chain()
    with psycopg.connect(central, autocommit=True) as books:
        office.open_books(books, the_chain)
    # Head office's login is made at the server itself; from then on everybody goes through the pooler.
    login = make_conninfo("", host="relay-db", dbname="tillsync", user="hq", password=CENTRAL)
    relay_schema.install(relay_admin, login)
    with connect(relay_admin, "tillsync lab") as relay:
        relay.execute(assets.text("sql/relay/pooler.sql"))
        relay.execute(sql.SQL("ALTER ROLE tillsync_pooler PASSWORD {}").format(sql.Literal(POOLER)))
    command(["install", "central", "-c", str(SETTINGS)])
    for till in the_chain.tills:
        _register(till)
    DONE.touch()


def _settings(central: str) -> None:
    relay = make_conninfo("", host="relay", port="6432", dbname="tillsync", user="hq", password=CENTRAL)
    text = assets.text("sql/retail/tillsync.toml.template")
    SETTINGS.touch(mode=0o600)
    SETTINGS.write_text(
        Template(text).substitute(central_dsn=central, relay_dsn=relay, poll_ms=POLL_MS), encoding="utf-8"
    )


def _register(till: chain.Till) -> None:
    place = TILL_FILES / till.node
    place.mkdir(exist_ok=True)
    if not (place / "pos.db").exists():
        pos.create_file(place / "pos.db", till)
    if not (place / "till.toml").exists():
        given = ("--set", f"store_id={till.store.id}", "--set", f"price_group={till.store.price_group}")
        command(["branch", "add", till.node, "-c", str(SETTINGS), *given, "--out", str(place / "till.toml")])


def work() -> None:
    """Head office's days, from the one that it had not ended."""
    the_chain, (days, seconds) = lab_chain(), _days()
    ended = HEAD_OFFICE / "days-ended"
    begun = int(ended.read_text(encoding="utf-8")) if ended.exists() else 0
    with psycopg.connect(_books(), autocommit=True) as books:
        for day in range(begun, days):
            office.work(books, the_chain, day, pace(office.STEPS_A_DAY, seconds))
            ended.write_text(str(day + 1), encoding="utf-8")
    _rest("head office")


def sell(node: str) -> None:
    """A till's days: it opens when it has got its items, and begins with the day after its last closure."""
    the_chain, (days, seconds) = lab_chain(), _days()
    (till,) = (till for till in the_chain.tills if till.node == node)
    file = TILL_FILES / node / "pos.db"
    while not pos.has_items(file):
        time.sleep(WAIT_SECONDS)
    application = pos.Pos(till, pos.connect(file))
    with closing(application):
        (begun,) = next(iter(application.connection.execute("SELECT count(*) FROM closure")))
        for day in range(begun, days):
            invoices = the_chain.dealt[day][node]
            application.trade(the_chain.month.days[day].date, day, invoices, pace(len(invoices) + 2, seconds))
            typer.echo(f"{node}: day {day + 1} of {days} closed")
    _rest(node)


def prove() -> None:
    """The demo's proofs over the lab's books and files, as JSON. Nobody may be writing, and nothing be on its way."""
    the_chain, (days, _) = lab_chain(), _days()
    branches = [proofs.Branch(till, TILL_FILES / till.node / "pos.db") for till in the_chain.tills]
    found = [*proofs.prove(_books(), branches), proofs.prove_replayed(the_chain, days, branches)]
    said = [{"name": p.name, "claim": p.claim, "checked": p.checked, "failures": p.failures} for p in found]
    typer.echo(json.dumps(said))
    sys.exit(0 if all(p.holds for p in found) else 3)


def _books() -> str:
    return CentralSettings.load(SETTINGS).central.dsn


def _days() -> tuple[int, float]:
    days, of_month = int(os.environ["LAB_DAYS"]), len(month.load().days)
    if not 1 <= days <= of_month:
        raise TillsyncError("TS-905", f"{days} days", hint=f"the data have 1 to {of_month}")
    return days, float(os.environ["LAB_DAY_SECONDS"])


def _rest(who: str) -> None:
    """All days are over. The container stays, so that nothing starts it again."""
    typer.echo(f"{who}: all days are over")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1:])
