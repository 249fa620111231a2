"""When the relay's newest upload is not the till's: a lost mark, a relay that lost its tail, or a restored till."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import apsw

from orchestrator.core import wire
from orchestrator.core.changes import Position, Shape, decode_upload
from orchestrator.core.protocol import aligned
from orchestrator.core.world import World
from orchestrator.errors import PersonMustDecide
from orchestrator.relay.messages import Hello, UploadPart
from orchestrator.till import changelog, known, state
from orchestrator.till.changelog import settled
from orchestrator.till.database import rows, value
from orchestrator.till.puts import put
from orchestrator.till.relay import Relay
from orchestrator.till.state import State
from orchestrator.till.target import Target, fill, layout
from orchestrator.till.targets import targets_of

Keys = set[tuple[Any, ...]]


class _Lost:
    """What the relay has of tables that only go up and the file, which came back from a backup, has not.

    since: the number of the newest position that is the file's own: it has all up to there, also what its changelog has
    purged; but for uploads that end in `former`. fresh: keys that the application has written since; those stand.
    """

    def __init__(
        self, db: apsw.Connection, since: int, former: Set[Position], fresh: Mapping[str, Keys], world: World
    ) -> None:
        self.db, self.targets = db, targets_of(db)
        self._since, self._former, self._fresh, self._at = since, former, fresh, world.now().isoformat()

    def put_back(self, parts: Iterable[UploadPart]) -> None:
        """Writes the rows as these parts leave them."""
        for part in parts:
            upload = decode_upload(wire.unpack(part.frame))
            for seq, nonce, number, _, old, new in upload.changes:
                shape = upload.shapes[number]
                target = self.targets.get(shape.table)
                is_known = seq <= self._since and part.end not in self._former
                if target is None or target.channel.direction != "up" or is_known:
                    continue
                if changelog.has(self.db, Position(seq, nonce)):
                    continue
                keys = {tuple(image[p] for p in _key_places(shape)) for image in (old, new) if image is not None}
                if not keys & self._fresh.get(shape.table, set()):
                    _redo(self.db, target, shape, old, new, self._at)


def take_back(db: apsw.Connection, relay: Relay, world: World, hello: Hello) -> None:
    """Brings `pushed` in line with the end of the newest upload that the relay has of this till.

    Where that is a position of this file, only the mark moves. Otherwise the file was restored from a backup: what it
    had sent of `up` tables since then is put back from the relay (rows of `both` tables come back with the ticks), and
    everything after the newest upload that this file knows is sent again; central knows each position. What it had
    begun to send, and never will end, is put back in either case.
    """
    top = hello.uploaded
    is_own = changelog.has(db, top)
    if is_own:
        with settled(db):
            state.set_pushed(db, aligned(state.load(db).marks, top, is_own=True).pushed)
        if not has_begun(db, hello):
            return
    sent = list(relay.uploads())
    world.crash("restored.fetched")
    complete = {p.uid for p in sent if p.last}
    whole = [p for p in sent if p.uid in complete]
    former = _former(db, sent)
    _refuse_two_histories(db, [p for p in whole if p.end not in former])
    with settled(db):
        now = state.load(db)
        ends = [p.end for p in whole if changelog.has(db, p.end)]
        since = max(end.seq for end in [*ends, now.ack])
        lost = _Lost(db, since, former, changelog.pending_keys(db, now.pushed), world)
        if not is_own:
            _put_back_whole(db, lost, whole)
            state.set_pushed(db, aligned(now.marks, top, is_own=False, ends=ends).pushed)
        lost.put_back(_begun(sent))  # it is captured anew, and sent
        _note_former(db, {p.end for p in sent if p.end.seq > since and not changelog.has(db, p.end)})
        world.crash("restored.put")


def has_begun(db: apsw.Connection, hello: Hello) -> bool:
    """Whether the relay has the beginning of an upload of a former life, which this file has not looked at."""
    strange = {end for end in hello.begun if not changelog.has(db, end)}
    return bool(strange) and _has_table(db) and not strange <= _former(db)


def _begun(sent: Sequence[UploadPart]) -> Sequence[UploadPart]:
    """The parts of an upload that was never whole. Where a whole one follows, that has it all."""
    return sent[max((i for i, part in enumerate(sent, 1) if part.last), default=0) :]


def _put_back_whole(db: apsw.Connection, lost: _Lost, parts: Sequence[UploadPart]) -> None:
    """What the relay has whole. Capture rests: central gets it, or has it."""
    state.set_applying(db, True)
    known.follow(db)
    lost.put_back(parts)
    for name, memory in known.memories(db).items():
        if name in lost.targets:
            known.remember(db, lost.targets[name], memory, None)
    state.set_applying(db, False)


def _former(db: apsw.Connection, sent: Sequence[UploadPart] = ()) -> set[Position]:
    """Where uploads of former lives end, as far as this file knows, and those that led to them since they parted."""
    if not _has_table(db):
        return set()
    found = {Position(seq, nonce) for seq, nonce in rows(db, "SELECT seq, nonce FROM tillsync_former")}
    oldest = value(db, "SELECT coalesce(min(seq), 0) FROM tillsync_changelog")
    for part in reversed(sent):
        if part.end in found and part.prev.seq >= oldest and not changelog.has(db, part.prev):
            found.add(part.prev)
    return found


def _note_former(db: apsw.Connection, ends: Iterable[Position]) -> None:
    if _has_table(db):
        db.executemany("INSERT OR IGNORE INTO tillsync_former VALUES (?, ?)", ends)


def _has_table(db: apsw.Connection) -> bool:
    """A file that an earlier version installed has none before the plan is read anew."""
    return bool(rows(db, "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'tillsync_former'"))


def _refuse_two_histories(db: apsw.Connection, sent: Iterable[UploadPart]) -> None:
    """A restored file lacks what came after its backup. Where the relay has another change in a place that this file
    has sent, or a former life goes on, somebody else lives from the same past. Raises PersonMustDecide TS-526."""
    now, over = state.load(db), _former(db)
    for part in (p for p in sent if not changelog.has(db, p.end)):
        changes = decode_upload(wire.unpack(part.frame)).changes
        if part.prev in over or any(_is_taken(db, now, Position(seq, nonce)) for seq, nonce, *_ in changes):
            raise PersonMustDecide(
                "TS-526",
                f"another machine sends as {now.node}, with a copy of this till's file",
                hint="stop it, and register it as itself with `tillsync branch add`; nothing that was sold is lost",
            )


def _is_taken(db: apsw.Connection, now: State, position: Position) -> bool:
    """Whether this file has sent another change in that place."""
    seq = position.seq
    return seq <= now.pushed.seq and changelog.has_seq(db, seq) and not changelog.has(db, position)


def _redo(db: apsw.Connection, target: Target, shape: Shape, old: Any, new: Any, at: str) -> None:
    found = layout(target, shape.columns)
    if not found.is_complete:
        return
    bound = [f"?{i}" for i in range(1, len(target.key) + 1)]
    places = _key_places(shape)
    if old is not None and (new is None or [old[p] for p in places] != [new[p] for p in places]):
        sql = fill("cut", table=target.name, is_key=target.is_key("", bound), unless_pending="")
        db.execute(sql, [old[p] for p in places])
    if new is not None:
        put(db, found, [[new[p] for p in found.places]], pending=False, tick=0, at=at)


def _key_places(shape: Shape) -> list[int]:
    return [shape.columns.index(k) for k in shape.key]
