"""Every cell of docs/policies.md: the page says what the policies say, and head office does what the page says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg

from orchestrator import postgres
from orchestrator.central import catalog, schema
from orchestrator.central.collect import collect
from orchestrator.core import wire
from orchestrator.core.changes import ORIGIN, Position, Row, Shape, encode_upload
from orchestrator.core.plan import Channel, Column, Plan, Table
from orchestrator.core.world import World
from orchestrator.policies.merging import Image
from orchestrator.policies.table import ASKED, MEETINGS, Meeting, cell, page, said
from orchestrator.relay.messages import FetchedUpload, UploadPart
from tests.integration.merge.conftest import MemoryRelay
from tests.tidy.files import ROOT

HOUR_MS = 3_600_000
RESOLVE = """CREATE FUNCTION resolve(base jsonb, theirs jsonb, ours jsonb) RETURNS jsonb LANGUAGE sql
             AS $$ SELECT '{"a": "8"}'::jsonb $$"""


def test_the_page_is_made_of_the_code() -> None:
    said_there = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    assert said_there == page(), "run `python -m orchestrator.policies.table > docs/policies.md`"


def test_every_cell_of_the_page_is_what_head_office_does(database: Callable[..., str], world: World) -> None:
    plan = Plan(1, {}, (Channel("all", "both", tuple(table(number) for number in range(len(ASKED)))),))
    with postgres.connect(database("central"), "tillsync test") as conn:
        conn.execute(RESOLVE)
        for t in plan.channels[0].tables:
            conn.execute(f"CREATE TABLE {t.name} (id text PRIMARY KEY, a {t.columns[1].type}, b text)".encode())
        schema.install(conn, schema.derived(plan, catalog.read(conn)))
        conn.execute("INSERT INTO tillsync.node (node) VALUES ('T1')")
        relay = MemoryRelay()
        relay.uploads.append(upload(plan, world))
        for t in plan.channels[0].tables:
            for number, meeting in enumerate(MEETINGS):
                put(conn, t.name, f"m{number}", meeting.ours)
            conn.execute(f"UPDATE tillsync.log_{t.till} SET at = at - interval '1 hour'".encode())
            # What head office deleted it changed, too: the deletion is among what its log tells of.
            for number, meeting in enumerate(MEETINGS):
                if meeting.ours is None and meeting.base is not None:
                    put(conn, t.name, f"m{number}", meeting.base)
                    conn.execute(f"DELETE FROM {t.name} WHERE id = %s".encode(), (f"m{number}",))
            conn.execute(
                f"UPDATE tillsync.log_{t.till} SET at = at - interval '1 hour' WHERE at > now() - interval '30 minutes'".encode()
            )
        collect(conn, relay, plan, world)
        done = {
            (m.till, m.office, a.title): outcome(conn, plan, n, m, i)
            for n, a in enumerate(ASKED)
            for i, m in enumerate(MEETINGS)
        }
    assert done == {(m.till, m.office, a.title): cell(m, a) for a in ASKED for m in MEETINGS}


def table(number: int) -> Table:
    """The table of one column of the page."""
    kind = "numeric" if ASKED[number].spec.policy == "additive" else "text"
    columns = (Column("id", "text", "text", "id"), Column("a", kind, kind, "a"), Column("b", "text", "text", "b"))
    return Table(f"public.p{number}", f"p{number}", ("id",), columns, ASKED[number].spec)


def put(conn: psycopg.Connection, tab: str, key: str, row: Image | None) -> None:
    if row is not None:
        conn.execute(f"INSERT INTO {tab} VALUES (%s, %s, %s)".encode(), (key, *row[1:]))


def upload(plan: Plan, world: World) -> FetchedUpload:
    """All of the till's changes in one, made an hour and a half ago, or half an hour."""
    now = round(world.now().timestamp() * 1000)
    shapes = [Shape(t.name, t.column_names, ("id",)) for t in plan.channels[0].tables]
    changes = list(_changes())
    stamps = [now - HOUR_MS // 2 if ASKED[shape].newer else now - 3 * HOUR_MS // 2 for _, _, shape, *_ in changes]
    frame = wire.pack(encode_upload(shapes, changes, (0, now), stamps))
    return FetchedUpload(1, "T1", UploadPart(1, 0, True, ORIGIN, Position(changes[-1][0], 1), frame))


def _changes() -> Iterator[tuple[int, int, int, str, Row | None, Row | None]]:
    seq = 0
    for shape in range(len(ASKED)):
        for number, m in enumerate(MEETINGS):
            base, theirs = _row(number, m.base), _row(number, m.theirs)
            steps = [(base, theirs)]
            if m.till == "changed and back":
                steps = [(base, (f"m{number}", "7", "x")), ((f"m{number}", "7", "x"), base)]
            for old, new in steps:
                seq += 1
                yield seq, 1, shape, "I" if old is None else "D" if new is None else "U", old, new


def _row(number: int, image: Image | None) -> Row | None:
    return None if image is None else (f"m{number}", *image[1:])


def outcome(conn: psycopg.Connection, plan: Plan, number: int, meeting: Meeting, place: int) -> str:
    """What became of a row at head office, in the page's words."""
    tab, key = plan.channels[0].tables[number].name, f"m{place}"
    row = conn.execute(f"SELECT '1', a::text, b FROM {tab} WHERE id = %s".encode(), (key,)).fetchone()
    recorded = conn.execute("SELECT FROM tillsync.conflict WHERE tab = %s AND key->>'id' = %s", (tab, key)).fetchall()
    return said(meeting, row) + (" !" if recorded else "")
