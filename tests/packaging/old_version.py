"""Steps of a former version, run by its own code in a process of its own: `python old_version.py STEP ...`.

It knows only what that version had. `begin` makes a chain with one till whose rows have flowed both ways; `till` is one
synchronisation of the till as it was left.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


def begin(central: str, relay: str, directory: str) -> None:
    from orchestrator.core.world import real_world
    from tests.integration.cases.shop import Shop

    dsns: Iterator[str] = iter((central, relay))
    shop = Shop(lambda _: next(dsns), real_world(), Path(directory))
    shop.sql("INSERT INTO item VALUES (1, 'a', 'Apple', 1.5), (2, 'b', 'Bread', 2)")
    shop.sql("INSERT INTO branch_item VALUES ('B1', 1), ('B1', 2)")
    till = shop.till("T1", "B1")
    till.sql("INSERT INTO closure VALUES (1, '2026-01-01', 10)")
    till.sql("INSERT INTO sales_order VALUES ('o1', 'B1', 'B1-1', 'draft', NULL, 3)")
    shop.settle()
    told = {"dsn": till.dsn, "file": str(till.file)}
    shop.close()
    sys.stdout.write(json.dumps(told))


def till(dsn: str, file: str) -> None:
    from orchestrator.core.world import real_world
    from tests.integration.cases.shop import Till

    left = Till.of_file("T1", dsn, Path(file), real_world())
    left.sync()
    left.close()


STEPS: dict[str, Callable[..., None]] = {"begin": begin, "till": till}

if __name__ == "__main__":
    STEPS[sys.argv[1]](*sys.argv[2:])
