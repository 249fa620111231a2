"""Pulling: from the relay's ticks to the till's rows. Streams are loaded by snapshots that pass in the ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw

from orchestrator.core import plan as plans
from orchestrator.core.world import World
from orchestrator.errors import ConfigError, PersonMustDecide
from orchestrator.log import bound, logger
from orchestrator.relay.messages import Hello, Part, TickHead
from orchestrator.till import asked, drift, reconcile, schema, staging, state, watch
from orchestrator.till.apply import apply
from orchestrator.till.changelog import settled
from orchestrator.till.database import rows, transaction
from orchestrator.till.fitness import check_age
from orchestrator.till.large import apply_large
from orchestrator.till.relay import Relay
from orchestrator.till.target import Target
from orchestrator.till.targets import targets_of
from orchestrator.till.ticks import Tick, decode_early, read_tick

TICKS_MAX = 500
"""Ticks asked for at once; the relay also bounds them by bytes."""

ROWS_BYTES_MAX = 256 * 1024
"""Ticks are applied together up to about so many bytes, so that a till that was away does not sync for each of them."""


log = logger("till.pull")

LOCK_MS_MAX = 200

FETCH_SECONDS_MAX = 10
"""So long one pull goes on, over many ticks or the parts of a large one. The next round goes on with it, when what the
till has to say is sent: sales do not wait behind a catalogue."""


def pull(
    db: apsw.Connection, relay: Relay, world: World, hello: Hello | None = None, *, lock_ms_max: float = LOCK_MS_MAX
) -> int:
    """Brings the till up to the relay's newest tick. Returns how many rows were put or cut, and 1 for a new plan, and 1
    for a large tick of which more is to be fetched, and 1 for each answer to a comparison.

    Returns early, having asked for snapshots, where the till cannot go on without them.
    """
    hello = hello or relay.hello()
    check_node(db, hello)
    moved = 0
    now = state.load(db)
    staging.tidy(db, now.tick)
    reconcile.answer(db)  # what the last run was asked and did not come to
    if not watch.plan_is_read(db, hello.plan_version, hello.plan_digest):
        moved += _take_plan(db, relay, world, hello.top_n)
    _subscribe(db, hello)
    if now.tick and not _is_on_course(relay, hello, now):
        _start_over(db)
    moved += _follow(db, relay, world, hello, lock_ms_max)
    return moved + reconcile.send(db, relay)


def check_node(db: apsw.Connection, hello: Hello) -> None:
    """The relay's account and the till's file must mean the same node. Raises PersonMustDecide TS-521."""
    mine = state.load(db).node
    if mine is not None and mine != hello.node:
        raise PersonMustDecide(
            "TS-521",
            f"{db.filename} belongs to node {mine}, the relay's account to {hello.node}",
            hint="put the account of the node into the till's settings, or register this till as itself",
        )


def _take_plan(db: apsw.Connection, relay: Relay, world: World, top: int, *, is_lost: bool = False) -> int:
    """The relay's plan becomes the till's. An older one does where head office has lost the till's (is_lost); else the
    relay came back from a backup, and head office publishes the newer one again."""
    body = relay.plan()
    if body is None:
        return 0
    plan, before = plans.decode(body), schema.stored_plan(db)
    mine = state.load(db).plan_version
    if plan.version < mine and not is_lost:
        watch.bring_on(db)
        return 0
    check_age(db, plan)
    if plan.version < mine:
        log.warning("head office has lost this till's plan, and works by an older one", lost=mine, plan=plan.version)
    digest = watch.digest_of(body)
    is_another = watch.noted_digest(db) not in (None, digest)
    with transaction(db):
        report = schema.install_within(db, plan, instance=str(world.random63()))
        watch.note_plan(db, digest, top)
        if is_another and plan.version <= mine:  # what lies between the two nobody knows
            _want_everything(db)
    drift.tell(report)
    world.crash("pull.plan")
    return int(plan != before)


def _subscribe(db: apsw.Connection, hello: Hello) -> None:
    """Streams that are new need a snapshot, and those that head office says. Rows of streams that are gone stay until
    their successor's snapshot."""
    have = {s for (s,) in rows(db, "SELECT stream FROM tillsync_stream")}
    before = {c for (c,) in rows(db, "SELECT channel FROM tillsync_stream WHERE loaded_tick IS NOT NULL")}
    want = dict(hello.streams)
    tick = state.load(db).tick
    for stream, channel, n in hello.moves:
        if tick < n and rows(db, "SELECT 1 FROM tillsync_stream WHERE stream = ? AND loaded_tick > 0", (stream,)):
            # It is still to come to the tick in which it moves, and gets there what differs.
            want = {s: c for s, c in want.items() if c != channel} | {stream: channel}
    late = "SELECT stream FROM tillsync_stream WHERE stream = ? AND loaded_tick BETWEEN 1 AND ? - 1"
    if asked := [stream for stream, n in hello.reloads if rows(db, late, (stream, n))]:
        with settled(db):
            db.executemany("UPDATE tillsync_stream SET loaded_tick = 0 WHERE stream = ?", [(s,) for s in asked])
    if have == want.keys():
        return
    with settled(db):
        db.executemany("DELETE FROM tillsync_stream WHERE stream = ?", [(s,) for s in have - want.keys()])
        new = [(s, channel, 0 if channel in before else None) for s, channel in want.items() if s not in have]
        db.executemany("INSERT INTO tillsync_stream (stream, channel, loaded_tick) VALUES (?, ?, ?)", new)


def _is_on_course(relay: Relay, hello: Hello, now: state.State) -> bool:
    """Whether the till's last tick is one of this relay's, and of its epoch, and the relay has the till's plan."""
    if hello.epoch != now.epoch or hello.plan_version < now.plan_version:
        return False
    return (now.tick, now.token) == (hello.top_n, hello.top_token) or relay.knows(now.tick, now.token)


def _start_over(db: apsw.Connection) -> None:
    """The till's history and the relay's have parted: every stream needs a snapshot again. The epoch stays as it is,
    because the first tick of another one has more to settle."""
    with settled(db):
        _want_everything(db)


def _want_everything(db: apsw.Connection) -> None:
    db.execute("UPDATE tillsync_stream SET loaded_tick = 0 WHERE loaded_tick IS NOT NULL")
    db.execute("UPDATE tillsync_state SET tick = 0, token = 0")


def _follow(db: apsw.Connection, relay: Relay, world: World, hello: Hello, lock_ms_max: float) -> int:
    moved = 0
    targets: dict[str, Target] | None = None
    until = world.monotonic() + FETCH_SECONDS_MAX
    while True:
        unloaded = [s for (s,) in rows(db, "SELECT stream FROM tillsync_stream WHERE coalesce(loaded_tick, 0) = 0")]
        now = state.load(db)
        if now.tick >= hello.top_n and not unloaded:
            return moved
        after = _start(db, relay, hello, now, unloaded)
        fetched = relay.pull(after, unloaded, TICKS_MAX) if after is not None else []
        world.crash("pull.fetched")
        if not fetched:
            return moved
        if now.tick and fetched[0][0].n > now.tick + 1 and not relay.knows(now.tick, now.token):
            _start_over(db)  # the relay has purged what lies between since it was asked
            return moved + 1
        newest = max(hello.top_n, fetched[-1][0].n)
        since = watch.plan_top(db, hello.top_n)
        if any(head.plan_version < now.plan_version and head.n > since for head, _ in fetched):
            older = _take_plan(db, relay, world, newest, is_lost=True)
            if older:
                return moved + older
        if any(head.plan_version > now.plan_version for head, _ in fetched):
            moved, targets = moved + _take_plan(db, relay, world, newest), None
            _refuse_to_guess(state.load(db).plan_version, [head for head, _ in fetched])
        targets = targets if targets is not None else targets_of(db)
        large = fetched.pop() if _is_listed(fetched[-1][1]) else None
        for group in _groups([read_tick(head, parts, targets) for head, parts in fetched]):
            decode_early(group)
            with bound(tick=group[-1].head.n):
                moved += apply(db, targets, group, world)
            reconcile.answer(db)
        if large is not None:
            taken = _take_large(db, relay, world, targets, *large, lock_ms_max)
            if taken is None:
                return moved + 1
            moved += taken
            reconcile.answer(db)
        if world.monotonic() >= until:
            return moved


def _is_listed(parts: Sequence[Part]) -> bool:
    return any(not p.frame for p in parts)


def _take_large(
    db: apsw.Connection,
    relay: Relay,
    world: World,
    targets: Mapping[str, Target],
    head: TickHead,
    listed: Sequence[Part],
    lock_ms_max: float,
) -> int | None:
    """Fetches and applies a large tick. Returns how many rows were put or cut, None where it is not whole yet."""
    until = world.monotonic() + FETCH_SECONDS_MAX
    with staging.opened(db) as stage:
        if not stage.fetch(relay, head, listed, lambda: world.monotonic() < until):
            return None
        world.crash("pull.staged")
        tick = stage.lay_out(head, targets)
        world.crash("apply.compared")
        with bound(tick=head.n):
            moved = apply_large(db, targets, tick, world, lock_ms_max)
    staging.discard(db)
    return moved


def _refuse_to_guess(have: int, heads: Sequence[TickHead]) -> None:
    newest = max(h.plan_version for h in heads)
    if have < newest:
        raise ConfigError(
            "TS-531", f"a tick has plan {newest}, the relay's newest plan is {have}", hint="look at central"
        )


def _start(db: apsw.Connection, relay: Relay, hello: Hello, now: state.State, unloaded: Sequence[int]) -> int | None:
    """The tick after which to pull; None where snapshots have to be waited for. Asks for those that are missing."""
    if not unloaded:
        return now.tick or hello.top_n - 1  # a till that takes no streams begins with the newest tick: its ack
    have = relay.snapshots()
    since = now.tick
    if hello.plan_version < now.plan_version:  # a new one shows by which plan head office works
        since = max(since, watch.plan_top(db, hello.top_n))
    missing = [s for s in unloaded if have.get(s, 0) <= since]
    if missing:
        relay.want_snapshot(missing)
    if now.tick:
        return now.tick if hello.top_n > now.tick else None
    if missing:
        return None
    first = min(have[s] for s in unloaded)
    begun = staging.waiting_tick(db)
    if begun is not None and begun[0] < first and relay.knows(*begun):  # parts of it are here already
        first = begun[0]
    return first - 1


def _groups(ticks: Sequence[Tick]) -> list[list[Tick]]:
    """Ticks that are applied in one transaction: a large one alone, small ones together up to one that asks something,
    which is answered as of it."""
    groups: list[list[Tick]] = []
    size = 0
    for tick in ticks:
        own = sum(p.size for p in tick.pieces)
        if not groups or size + own > ROWS_BYTES_MAX or asked.is_asked(groups[-1][-1].news):
            groups.append([])
            size = 0
        groups[-1].append(tick)
        size += own
    return groups
