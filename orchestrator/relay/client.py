"""The relay as its two kinds of callers see it: one method is one call of one function of `sql/relay/functions/`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator import assets
from orchestrator.core import reported
from orchestrator.core.changes import ORIGIN, Position
from orchestrator.postgres import place_of, translated
from orchestrator.relay.link import PatientConnection, open_link
from orchestrator.relay.messages import Ack, FetchedUpload, Head, Hello, Part, TickHead, UploadPart

PULL_BYTES_MAX = 2 * 1024 * 1024
INLINE_BYTES_MAX = 64 * 1024
"""A tick of more bytes than this comes part by part, so that a slow link keeps what it has fetched."""

PARTS_BYTES_MAX = 256 * 1024
FETCH_BYTES_MAX = 16 * 1024 * 1024


class _Relay:
    """A connection that is opened when it is needed and again after it broke."""

    def __init__(self, dsn: str, application: str) -> None:
        self._dsn, self._application = dsn, application
        self._place = place_of(dsn)
        self._conn: psycopg.Connection | None = None

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        if self._conn is None or self._conn.closed:
            self._conn = open_link(self._dsn, self._application)
        with translated(self._place):
            yield self._conn

    def _rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        with self._connection() as conn, conn.cursor(row_factory=dict_row, binary=True) as cursor:
            return cursor.execute(_sql(name), values).fetchall()

    def _value(self, name: str, **values: Any) -> Any:
        return next(iter(self._rows(name, **values)[0].values()))

    def interrupt(self) -> None:
        """Have a call that waits fail, and the connection end; called from another thread."""
        if isinstance(self._conn, PatientConnection):
            self._conn.is_given_up = True

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None


class BranchRelay(_Relay):
    """A till's calls."""

    def hello(self) -> Hello:
        h = self._value("hello")
        n, token = h["top"] or (0, 0)
        return Hello(
            node=h["node"],
            epoch=h["epoch"],
            plan_version=h["plan_version"],
            top_n=n,
            top_token=token,
            streams=tuple((s, c) for s, c in h["streams"]),
            uploaded=Position(*h["uploaded"]) if h["uploaded"] else ORIGIN,
            machine=h["machine"],
            reloads=tuple((s, n) for s, n in h["reloads"]),
            moves=tuple((s, c, n) for s, c, n in h["moves"]),
            now=h.get("now"),
            begun=tuple(Position(*end) for end in h.get("begun", ())),
            plan_digest=h.get("plan_digest"),
        )

    def plan(self) -> str | None:
        """The published plan as JSON, None where there is none yet."""
        body: str | None = self._value("get_plan")
        return body

    def push(self, part: UploadPart) -> None:
        """Hand over one part; the same part again changes nothing."""
        self._value(
            "push",
            uid=part.uid,
            part=part.part,
            last=part.last,
            prev_seq=part.prev.seq,
            prev_nonce=part.prev.nonce,
            end_seq=part.end.seq,
            end_nonce=part.end.nonce,
            frame=part.frame,
        )

    def uploads(self) -> Iterator[UploadPart]:
        """The node's own uploads that the relay keeps, oldest first."""
        after = 0
        while rows := self._rows("uploads", after=after):
            for row in rows:
                yield _upload_part(row)
            after = rows[-1]["id"]

    def knows(self, n: int, token: int) -> bool:
        """Whether the relay still has this very tick."""
        return bool(self._value("knows", n=n, token=token))

    def snapshots(self) -> dict[int, int]:
        """Subscribed stream -> the newest tick of the current epoch that carries its snapshot."""
        return {row["stream"]: row["n"] for row in self._rows("snapshots")}

    def pull(self, after: int, snapshot_streams: Sequence[int], ticks_max: int) -> list[tuple[TickHead, list[Part]]]:
        """Ticks above `after`, in order, bounded by count and by bytes, with what concerns this node. The last may
        be one above INLINE_BYTES_MAX, whose parts are only listed."""
        bounds = {"ticks_max": ticks_max, "bytes_max": PULL_BYTES_MAX, "inline_bytes": INLINE_BYTES_MAX}
        rows = self._rows("pull", after=after, snapshot_streams=list(snapshot_streams), **bounds)
        ticks: list[tuple[TickHead, list[Part]]] = []
        for row in rows:
            if not ticks or ticks[-1][0].n != row["n"]:
                ack = Position(row["ack_seq"], row["ack_nonce"])
                head = TickHead(row["n"], row["epoch"], row["token"], row["plan_version"], ack, row["gap"])
                ticks.append((head, []))
            if row["kind"] is not None:
                ticks[-1][1].append(Part(row["stream"], row["kind"], row["part"], row["frame"] or b""))
        return ticks

    def parts(self, n: int, first: Part) -> list[Part]:
        """Parts of a large tick from a listed one on, bounded by bytes; none where the relay has purged them."""
        at = {"n": n, "stream": first.stream, "kind": first.kind, "first": first.part}
        found = self._rows("parts", **at, bytes_max=PARTS_BYTES_MAX)
        return [Part(first.stream, first.kind, row["part"], row["frame"]) for row in found]

    def claim(self, identity: str) -> None:
        """This machine is the branch, unless another one was before."""
        self._value("claim", identity=identity)

    def want_snapshot(self, streams: Sequence[int]) -> None:
        self._value("want_snapshot", streams=list(streams))

    def report(self, body: dict[str, Any]) -> None:
        """Leave the till's account of itself for central's `status`."""
        self._value("report_status", body=Jsonb(body))

    def put_result(self, frame: bytes) -> None:
        """Leave an answer for central. A relay of an earlier version takes none: central asks again when it does."""
        with suppress(psycopg.errors.UndefinedFunction):
            self._value("put_result", frame=frame)


class CentralRelay(_Relay):
    """Central's calls."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is put within is there whole or not at all."""
        with self._connection() as conn, conn.transaction():
            yield

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """Calls within are sent without waiting for each answer."""
        with self._connection() as conn, conn.pipeline():
            yield

    def head(self) -> Head:
        h = self._value("head")
        n, token = h["top"] or (0, 0)
        return Head(
            h["epoch"],
            n,
            token,
            h["plan_version"],
            tuple(h["wants"]),
            h["uploads"],
            h.get("now"),
            h.get("results", False),
            h.get("plan_digest"),
        )

    def hold_lease(self, holder: str, seconds: int) -> str | None:
        """Be the head office that publishes here, for so many seconds; None, or who else it is."""
        other: str | None = self._value("hold_lease", holder=holder, seconds=seconds)
        return other

    def put_tick(self, n: int, epoch: int, token: int, plan_version: int, served: Sequence[int]) -> None:
        self._call("put_tick", n=n, epoch=epoch, token=token, plan_version=plan_version, served=list(served))

    def put_payload(self, stream: int, n: int, kind: str, part: int, frame: bytes) -> None:
        self._call("put_payload", stream=stream, n=n, kind=kind, part=part, frame=frame)

    def put_echo(self, node: str, n: int, part: int, frame: bytes) -> None:
        self._call("put_echo", node=node, n=n, part=part, frame=frame)

    def put_move(self, node: str, channel: str, old_stream: int, new_stream: int, n: int) -> None:
        """With tick n the branch takes another stream of the channel."""
        self._call("put_move", node=node, channel=channel, old_stream=old_stream, new_stream=new_stream, n=n)

    def put_ack(self, n: int, ack: Ack) -> None:
        self._call("put_ack", node=ack.node, n=n, seq=ack.position.seq, nonce=ack.position.nonce, gap=ack.gap)

    def fetch_uploads(self, bytes_max: int = FETCH_BYTES_MAX) -> Iterator[FetchedUpload]:
        """Parts of complete groups that are not marked taken, each node's in its order; fetched as consumed."""
        after: tuple[str, int] = ("", 0)
        while rows := self._rows("fetch_uploads", after_node=after[0], after_id=after[1], bytes_max=bytes_max):
            for row in rows:
                yield FetchedUpload(row["id"], row["node"], _upload_part(row))
            after = (rows[-1]["node"], rows[-1]["id"])

    def mark_taken(self, node: str, uids: Sequence[int]) -> None:
        self._value("mark_taken", node=node, uids=list(uids))

    def taken_lately(self) -> list[tuple[str, int]]:
        """Groups that were marked taken since the newest tick. A relay of an earlier version does not say."""
        with suppress(psycopg.errors.UndefinedFunction):
            return [(row["node"], row["uid"]) for row in self._rows("taken_lately")]
        return []

    def offer_again(self, node: str, uids: Sequence[int]) -> None:
        """They are not taken after all."""
        self._value("offer_again", node=node, uids=list(uids))

    def purge(self, before_n: int, snapshots_before: datetime, uploads_before: datetime, rows_max: int) -> int:
        """Removes what is older; how many rows went, 0 when there are no more."""
        at = {"snapshots_before": snapshots_before, "uploads_before": uploads_before}
        return int(self._value("purge", before_n=before_n, **at, rows_max=rows_max))

    def new_epoch(self, epoch: int) -> None:
        self._value("new_epoch", epoch=epoch)

    def put_plan(self, version: int, body: str) -> None:
        self._value("put_plan", version=version, body=body)

    def put_subscription(self, node: str, streams: Sequence[tuple[int, str]]) -> None:
        """Set the streams (with their channels) of a node; what is not named is taken away."""
        self._call("put_subscription", node=node, streams=[s for s, _ in streams], channels=[c for _, c in streams])

    def put_account(self, node: str, role: str, password: str) -> None:
        """Make or renew a branch's login. The password leaves this process only as a SCRAM verifier."""
        with self._connection() as conn:
            verifier = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        self._value("put_account", node=node, role=role, verifier=verifier)

    def release(self, node: str) -> None:
        """The next machine that comes as this branch is the branch."""
        self._value("release", node=node)

    def put_reload(self, node: str, streams: Sequence[int], n: int) -> None:
        """The branch takes snapshots of these streams, of tick n or later."""
        self._value("put_reload", node=node, streams=list(streams), n=n)

    def drop_account(self, node: str) -> None:
        self._value("drop_account", node=node)

    def reports(self) -> list[dict[str, Any]]:
        """Each branch's newest report: node, at, body as far as it can be believed, waiting_uploads."""
        return [{**row, "body": reported.read(row["body"])} for row in self._rows("reports")]

    def results(self, rows_max: int) -> list[dict[str, Any]]:
        """Answers of tills that wait: node, id, at, frame."""
        return self._rows("results", rows_max=rows_max)

    def drop_result(self, node: str, id: int) -> None:
        self._value("drop_result", node=node, id=id)

    def _call(self, name: str, **values: Any) -> None:
        with self._connection() as conn:
            conn.execute(_sql(name), values, binary=True)


def connect_branch(dsn: str) -> BranchRelay:
    """A till's relay. Nothing is opened before the first call."""
    return BranchRelay(dsn, "tillsync till")


def connect_central(dsn: str) -> CentralRelay:
    """Central's relay. Nothing is opened before the first call."""
    return CentralRelay(dsn, "tillsync central")


def _sql(name: str) -> LiteralString:
    return assets.query(f"relay.{name}")


def _upload_part(row: dict[str, Any]) -> UploadPart:
    return UploadPart(
        uid=row["uid"],
        part=row["part"],
        last=row["last"],
        prev=Position(row["prev_seq"], row["prev_nonce"]),
        end=Position(row["end_seq"], row["end_nonce"]),
        frame=row["frame"],
    )
