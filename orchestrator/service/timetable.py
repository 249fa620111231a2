"""The schedules of channels: when head office publishes what goes down, and when a till sends what goes up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Generic

import apsw
import msgspec
import psycopg

from orchestrator.core.jobs import Job
from orchestrator.core.plan import Channel, Plan
from orchestrator.core.world import World
from orchestrator.service import jobs, schedules
from orchestrator.service.jobs import C, Place
from orchestrator.till import changelog, schema, state

MARK = "channel:"
"""What has been done on a cron's schedule is kept among the jobs, under this name."""


class Timetable(Generic[C]):
    """Knows of each channel when its time came last. An interval begins anew with the process; a cron does not."""

    def __init__(self, place: Place[C], world: World) -> None:
        self._place, self._world = place, world
        self._since: dict[tuple[str, str], datetime] = {}

    def due(self, conn: C, plan: Plan) -> frozenset[str] | None:
        """The channels whose time it is; None where none has a schedule."""
        if not any(_is_scheduled(channel) for channel in plan.channels):
            return None
        now = self._world.now()
        return frozenset(c.name for c in plan.channels if self._is_due(conn, c, plan.timezone, now))

    def done(self, conn: C, plan: Plan, channels: frozenset[str]) -> None:
        """Their time has been used."""
        now = self._world.now()
        for channel in plan.channels:
            if channel.name in channels and _is_scheduled(channel):
                if channel.cron is not None and self._rang(conn, channel, plan.timezone, now):
                    self._note(conn, channel, plan.timezone, now)
                self._since[_key(channel)] = now

    def _is_due(self, conn: C, channel: Channel, zone: str, now: datetime) -> bool:
        if channel.window is not None and not schedules.in_window(channel.window, zone, now):
            return False
        if channel.cron is not None:
            return self._rang(conn, channel, zone, now)
        if channel.every_seconds is None:
            return True
        since = self._since.get(_key(channel))
        if since is None or since > now:  # a clock that was set back
            return True
        return now - since >= timedelta(seconds=channel.every_seconds)

    def _rang(self, conn: C, channel: Channel, zone: str, now: datetime) -> bool:
        """Whether the cron has been due since it was last heard. Of a channel that is new it has not."""
        assert channel.cron is not None
        since = self._since.get(_key(channel))
        if since is None:
            since = self._place.newest_due(conn, _job(channel))
            if since is None:
                self._note(conn, channel, zone, now)
                since = now
            self._since[_key(channel)] = since
        due = schedules.next_due(channel.cron, zone, min(since, now))
        return due is not None and due <= now

    def _note(self, conn: C, channel: Channel, zone: str, now: datetime) -> None:
        job = _job(channel)
        self._place.begin(conn, job, schedules.slot(job, zone, now)._replace(key=""))


class TillGate:
    """A till sends when something that waits is of a channel whose time it is; whatever waits beside it goes along."""

    def __init__(self, node: str, world: World) -> None:
        self._timetable: Timetable[apsw.Connection] = Timetable(jobs.till_place(node, world), world)
        self._plan: Plan | None = None

    def may_send(self, db: apsw.Connection) -> bool:
        plan, now = self._read(db), state.load(db)
        due = self._timetable.due(db, plan) if plan is not None else None
        if plan is None or due is None or now.resend is not None:
            return True
        found = (plan.find(name) for name in changelog.tables_after(db, now.pushed.seq))
        return any(place is None or place[0].name in due for place in found)

    def sent(self, db: apsw.Connection) -> None:
        if self._plan is not None:
            due = self._timetable.due(db, self._plan)
            self._timetable.done(db, self._plan, due or frozenset())

    def _read(self, db: apsw.Connection) -> Plan | None:
        if self._plan is None or self._plan.version != state.load(db).plan_version:
            self._plan = _upwards(schema.stored_plan(db))
        return self._plan


def of_central(world: World) -> Timetable[psycopg.Connection]:
    """Head office's timetable, kept in its database."""
    return Timetable(jobs.central_place(world), world)


def _upwards(plan: Plan | None) -> Plan | None:
    """What a till has to time: a schedule of what only goes down is head office's business."""
    if plan is None:
        return None
    return msgspec.structs.replace(plan, channels=tuple(c for c in plan.channels if c.goes_up))


def _is_scheduled(channel: Channel) -> bool:
    return (channel.cron or channel.every_seconds or channel.window) is not None


def _key(channel: Channel) -> tuple[str, str]:
    """Another schedule begins anew."""
    return channel.name, f"{channel.cron} {channel.every_seconds}"


def _job(channel: Channel) -> Job:
    return Job(MARK + channel.name, "", cron=channel.cron)
