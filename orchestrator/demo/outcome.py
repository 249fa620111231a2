"""What came out of a demo: per till what it got and sent, the proofs, and how both are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apsw
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from orchestrator import assets
from orchestrator.core.reconciliation import Report
from orchestrator.demo.proofs import HELD, Branch, Proof
from orchestrator.report import reconcile

STATES = ("draft", "sent", "confirmed", "shipped", "received")


@dataclass(frozen=True, slots=True)
class TillOutcome:
    """A till at the end. `down`: rows held of what comes from central; `up`: rows it made that central has to have.

    Amounts in pence; `waited_ms` is the longest time that the till's application waited for the agent's lock.
    """

    node: str
    store: int
    down: int
    up: int
    closures: int
    anonymous: int
    customers: int
    orders: Mapping[str, int]
    kills: int
    waited_ms: int


@dataclass(frozen=True, slots=True)
class DemoResult:
    """A demo's end; `directory` is None unless it was kept. `page`: the comparison's report, to be looked at."""

    days: int
    seconds: float
    tills: tuple[TillOutcome, ...]
    proofs: tuple[Proof, ...]
    central_kills: int
    directory: Path | None = None
    report: Report | None = None
    page: Path | None = None

    @property
    def ok(self) -> bool:
        """Do all proofs hold?"""
        return all(proof.holds for proof in self.proofs)

    def as_json(self) -> dict[str, Any]:
        """For machines; `ok` is the headline."""
        return {
            "ok": self.ok,
            "days": self.days,
            "seconds": round(self.seconds, 1),
            "central_kills": self.central_kills,
            "tills": [asdict(till) for till in self.tills],
            "proofs": [{"holds": proof.holds, **asdict(proof)} for proof in self.proofs],
            "directory": str(self.directory) if self.directory else None,
            "page": str(self.page) if self.page else None,
        }


def till_outcome(branch: Branch, kills: int, waited_seconds: float) -> TillOutcome:
    """Reads a till's file."""
    connection = apsw.Connection(str(branch.file))
    try:
        down = sum(len(list(connection.execute(_sql(f"till_{table}")))) for table in HELD)
        closures, lines, anonymous, customers = next(iter(connection.execute(_sql("till_summary"))))
        mine = {"mine": f"{branch.till.node}-%"}
        orders = dict(connection.execute(_sql("till_orders_by_state"), mine))
        (order_lines,) = next(iter(connection.execute(_sql("till_own_order_lines"), mine)))
    finally:
        connection.close()
    return TillOutcome(
        node=branch.till.node,
        store=branch.till.store.id,
        down=down,
        up=closures + lines + sum(orders.values()) + order_lines,
        closures=closures,
        anonymous=anonymous,
        customers=customers,
        orders=orders,
        kills=kills,
        waited_ms=round(waited_seconds * 1000),
    )


def show(result: DemoResult, console: Console) -> None:
    """Two tables of the tills, one line per proof, and what is wrong where one does not hold."""
    console.print(_traffic(result.tills))
    console.print(_orders(result.tills))
    for proof in result.proofs:
        mark = "[green]holds[/]" if proof.holds else "[red]FAILS[/]"
        console.print(f"{mark}  {proof.claim} [dim]({proof.checked:,} compared)[/]", highlight=False, soft_wrap=True)
        for failure in proof.failures:
            console.print(f"         {failure}", markup=False, highlight=False, soft_wrap=True)
    kills = result.central_kills + sum(till.kills for till in result.tills)
    waited = max(till.waited_ms for till in result.tills)
    console.print(f"{result.days} days, {kills} agents killed, {result.seconds:.1f} s", highlight=False)
    console.print(f"a till's application waited {waited} ms for a lock at most", highlight=False)
    if result.report:
        reconcile.show(result.report)
    if result.page:
        console.print(f"the report as a page: {result.page}", markup=False, highlight=False, soft_wrap=True)
    if result.directory:
        console.print(f"kept in {result.directory}", markup=False, highlight=False, soft_wrap=True)


def _traffic(tills: Iterable[TillOutcome]) -> Table:
    table = Table(
        "till", "store", title="What the tills hold of head office's rows, and what they sent", box=SIMPLE_HEAD
    )
    for name in ("rows down", "rows up", "closures", "anonymous £", "customers £"):
        table.add_column(name, justify="right")
    for till in tills:
        counted = [f"{number:,}" for number in (till.down, till.up, till.closures)]
        money = [f"{pence / 100:,.2f}" for pence in (till.anonymous, till.customers)]
        table.add_row(till.node, str(till.store), *counted, *money)
    return table


def _orders(tills: Iterable[TillOutcome]) -> Table:
    table = Table("till", title="Their orders by state", box=SIMPLE_HEAD)
    for state in STATES:
        table.add_column(state, justify="right")
    for till in tills:
        table.add_row(till.node, *[str(till.orders.get(state, 0)) for state in STATES])
    return table


def _sql(block: str) -> str:
    return assets.query(f"retail.proofs.{block}")
