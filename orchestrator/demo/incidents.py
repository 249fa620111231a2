"""What goes wrong in a chain and has to come right: two edits of one order, one that cannot come in, a forged price.

They happen at one till that is offline meanwhile, and to head office; what becomes of them is read as a person would,
with `tillsync conflicts` and `tillsync parked`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg

from orchestrator import assets
from orchestrator.demo import pos
from orchestrator.demo.agents import command
from orchestrator.demo.chain import Till
from orchestrator.demo.proofs import Proof
from orchestrator.demo.site import Site

CLAIM = "two edits of an order are decided and on record, one of an unknown item waits and comes, a price is taken back"
SPECIAL = 999_999
"""An item that head office does not have yet."""

SECONDS_MAX = 30.0
STEP_SECONDS = 0.1


def happen(site: Site) -> Proof:
    """Makes them happen and sees them through, with the agents at work."""
    till = site.chain.tills[0]
    with (
        closing(pos.connect(site.file(till))) as shop,
        psycopg.connect(site.office_dsn, autocommit=True) as office,
    ):
        failures = tuple(_Incidents(site, till, shop, office).run())
    return Proof("incidents", CLAIM, 3, failures)


class _Incidents:
    """One till, its application's connection, and head office's."""

    def __init__(self, site: Site, till: Till, shop: Any, office: psycopg.Connection) -> None:
        self._site, self._till, self._shop, self._office = site, till, shop, office
        self._contested, self._special = (f"X{n}-{till.node}" for n in (1, 2))
        (self._item,) = next(iter(shop.execute(_sql("till_any_item"))))

    def run(self) -> Iterator[str]:
        """What did not come right, in words."""
        self._order(self._contested, self._item)
        yield from self._until("an order reaches head office", lambda: self._count("order", self._contested) == 1)
        agent = self._site.agents[self._till.node]
        agent.stop()
        self._shop.execute(_sql("till_note"), {"id": self._contested, "note": "to the back door"})
        self._office.execute(_sql("office_note"), {"id": self._contested, "note": "on Friday"})
        self._order(self._special, SPECIAL)
        self._shop.execute(_sql("till_price"), {"item_id": self._item})
        agent.start()
        yield from self._until("the till hears what was decided", self._is_told)
        yield from self._refused()
        yield from self._released()

    def _refused(self) -> Iterator[str]:
        given = {"item_id": self._item}
        ((price,),) = self._office.execute(_sql("office_prices"), given).fetchall()
        yield from self._until("the forged price is taken back", lambda: self._asked("till_prices", given) == price)
        kinds = {(c["node"], c["policy"], c["winner"]) for c in self._listed("conflicts")}
        for policy in ("column_merge", "down"):
            if (self._till.node, policy, "central") not in kinds:
                yield f"no conflict of {policy} is on record"

    def _released(self) -> Iterator[str]:
        waiting = {p["tab"] for p in self._listed("parked") if p["node"] == self._till.node}
        if waiting != {"public.supplier_order", "public.supplier_order_line"}:
            yield f"parked are {sorted(waiting)}, not the order with its line"
        if self._count("order", self._special):
            yield "an order is at head office without its line"
        self._office.execute(_sql("office_new_item"), {"item_id": SPECIAL})
        command(["parked", "retry", "--all", "-c", str(self._site.settings)])
        yield from self._until("the parked order comes in", lambda: self._count("lines", self._special) == 1)

    def _order(self, number: str, item: int) -> None:
        order = {"id": number, "store_id": self._till.store.id, "at": self._site.chain.month.days[0].date.isoformat()}
        self._shop.execute("BEGIN")
        self._shop.execute(_sql("till_order"), {**order, "at": f"{order['at']} 08:00:00+00:00"})
        self._shop.execute(_sql("till_line"), {"id": number, "line_no": 1, "item_id": item})
        self._shop.execute("COMMIT")

    def _is_told(self) -> bool:
        asked = {"id": self._contested}
        return {self._asked("till_told", asked), self._asked("till_notes", asked)} == {"on Friday"}

    def _asked(self, block: str, given: Mapping[str, Any]) -> Any:
        row = next(iter(self._shop.execute(_sql(block), given)), None)
        return row[0] if row else None

    def _count(self, what: str, number: str) -> int:
        ((count,),) = self._office.execute(_sql(f"office_{what}"), {"id": number}).fetchall()
        return int(count)

    def _listed(self, what: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(command([what, "list", "--json", "-c", str(self._site.settings)]))[
            what
        ]
        return listed

    def _until(self, what: str, came: Callable[[], bool]) -> Iterator[str]:
        until = time.monotonic() + SECONDS_MAX
        while not came():
            if time.monotonic() > until:
                yield f"{what}: not within {SECONDS_MAX:.0f} s"
                return
            time.sleep(STEP_SECONDS)


def _sql(block: str) -> Any:
    return assets.query(f"retail/incidents.{block}")
