"""`tillsync demo`: a month of a retail chain through central, relay and tills, with real processes, and its proofs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from orchestrator.demo import chain, incidents, month, outcome, proofs, reconciled, site
from orchestrator.demo import replay as replays
from orchestrator.demo.agents import guard
from orchestrator.demo.binaries import open_place
from orchestrator.demo.databases import GivenServer, Server
from orchestrator.demo.outcome import DemoResult
from orchestrator.demo.server import Cluster
from orchestrator.errors import TillsyncError, UsageError


class Say(Protocol):
    """Called when something else begins, and with the number of days that are done."""

    def __call__(self, doing: str, days_done: int | None = None) -> None:
        """`doing` is shown until the next call."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """The size of a demo. days: None is all of them. kills: kill -9 of every agent so many times. html: where the
    page of the comparison goes, None: the temporary directory, or the demo's own where that is kept."""

    tills: int = 5
    stores: int = 2
    days: int | None = None
    day_seconds: float = 1.0
    kills: int = 0
    directory: Path | None = None
    keep: bool = False
    html: Path | None = None


def run_demo(options: Options, console: Console) -> DemoResult:
    """Runs the demo and returns what came out; progress goes to `console`.

    A directory that was given has to be new or empty. Raises UsageError TS-710 for impossible sizes, TS-713 for a
    directory in use, TS-711 where a command fails and TS-712 where an agent ends by itself.
    """
    begun = time.monotonic()
    the_month = month.load()
    the_chain = chain.build(the_month, options.tills, options.stores)
    days = len(the_month.days) if options.days is None else options.days
    if not 1 <= days <= len(the_month.days):
        raise UsageError("TS-710", f"{days} days", hint=f"the data have 1 to {len(the_month.days)}")
    plan = replays.plan(the_chain, days, options.day_seconds, options.kills)
    with ExitStack() as stack:
        directory = stack.enter_context(_directory(options))
        server = stack.enter_context(_server(directory, options.keep))
        say = stack.enter_context(_progress(console, days))
        place = site.prepare(directory, server, the_chain)
        stack.enter_context(_agents(place))
        site.install(place, say)
        waits = replays.replay(place, plan, lambda day: say(str(the_month.days[day].date), day + 1))
        say("until nothing is on its way")
        site.settle(place)
        say("things that go wrong")
        wrong = incidents.happen(place)
        site.settle(place)
        say("comparing both ends")
        report, page = site.compare(place)
        site.stop(place)
        say("proving")
        found = [
            reconciled.proof(report),
            *proofs.prove(place.central_dsn, place.branches),
            proofs.prove_replayed(the_chain, days, place.branches),
            wrong,
        ]
        tills = [
            outcome.till_outcome(branch, place.agents[branch.till.node].kills, waits[branch.till.node])
            for branch in place.branches
        ]
        return DemoResult(
            days=days,
            seconds=time.monotonic() - begun,
            tills=tuple(tills),
            proofs=tuple(found),
            central_kills=place.agents[site.CENTRAL].kills,
            directory=directory if options.keep else None,
            report=report,
            page=page if options.keep and options.html is None else reconciled.lay_down(page, options.html),
        )


@contextmanager
def _directory(options: Options) -> Iterator[Path]:
    """The demo's directory; one of our own making is removed at the end unless it is to be kept."""
    if options.directory is None:
        # The server's account has to be able to enter it.
        directory = Path(tempfile.mkdtemp(prefix="tillsync-demo-", dir=open_place()))
        directory.chmod(0o755)
    else:
        directory = options.directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise UsageError("TS-713", f"{directory} is not empty", hint="name a new directory with --dir")
    try:
        yield directory
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _server(directory: Path, keep: bool) -> Iterator[Server]:
    """The server that `TILLSYNC_TEST_DSN` names, or one of our own in the directory."""
    given = os.environ.get("TILLSYNC_TEST_DSN")
    if given:
        server = GivenServer(given)
        try:
            yield server
        finally:
            if not keep:
                site.clear(server)
        return
    cluster = Cluster(directory / "postgresql").start()
    try:
        yield cluster
    finally:
        if keep:
            cluster.stop()
        else:
            cluster.remove()


@contextmanager
def _agents(place: site.Site) -> Iterator[None]:
    """Leaves no agent behind, not even when this process is killed."""
    watcher = guard(place.logs)
    try:
        yield
    finally:
        for agent in place.agents.values():
            with suppress(TillsyncError):
                agent.kill()
        if watcher is not None:
            watcher.kill()
            watcher.wait()


@contextmanager
def _progress(console: Console, days: int) -> Iterator[Say]:
    """How far it is: a bar that counts the days, or where nobody watches a line for each step."""
    begun = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("days"), TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("starting", total=days, visible=console.is_terminal)

        def say(doing: str, days_done: int | None = None) -> None:
            progress.update(task, description=doing, completed=days_done)
            if not console.is_terminal:
                console.print(f"{time.monotonic() - begun:6.1f} s  {doing}", highlight=False)

        yield say
