"""The service and the commands as real processes: end to end, one run at a time, a clean stop, faults that pass."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.integration.cli.place import Place

WAIT_SECONDS = 30
STOP_SECONDS_MAX = 5.0


def until(what: Callable[[], bool]) -> None:
    """Waits for something that agents bring about."""
    end = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@contextmanager
def running(place: Place, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A service that has begun its rounds; killed at the end where it still runs."""
    process = place.start(*arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> list[dict[str, Any]]:
    """End a service in order; its log."""
    process.send_signal(number)
    begun = time.monotonic()
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert time.monotonic() - begun < STOP_SECONDS_MAX
    assert process.returncode == 0, err
    return [json.loads(line) for line in err.splitlines()]


def test_end_to_end_by_hand(place: Place) -> None:
    """The first hour: every command as a process of its own."""

    def does(*arguments: str) -> str:
        ended = place.run(*arguments)
        assert ended.code == 0, ended
        return ended.out

    till = place.till("T1")
    does("config", "check")
    does("install", "central")
    does("install", "relay", "--admin-dsn", place.relay_admin_dsn)
    does("branch", "add", "T1", "--set", "store_id=1", "--out", "T1/till.toml")
    assert (till / "till.toml").stat().st_mode & 0o777 == 0o600
    does("install", "till", "-c", "T1/till.toml")
    place.on_till("T1", "INSERT INTO sale VALUES (1, '12.50')")
    does("sync", "till", "-c", "T1/till.toml", "--until-idle")
    does("sync", "central", "--until-idle")
    does("sync", "till", "-c", "T1/till.toml", "--until-idle")
    assert place.on_till("T1", "SELECT id, name, price FROM item ORDER BY id") == [
        (1, "apple", "1.5000"),
        (3, "plum", "3.5000"),
    ]
    assert [(t, i, str(v)) for t, i, v in place.on_central("SELECT * FROM sale")] == [("T1", 1, "12.50")]
    status = json.loads(does("status", "--json"))
    branch = status["branches"][0]
    assert (branch["node"], branch["lag_ticks"], branch["waiting_uploads"], branch["pending"]) == ("T1", 0, 0, 0)
    assert json.loads(does("status", "-c", "T1/till.toml", "--json"))["pending"] == 0


def test_the_services_carry_rows_and_stop_in_order(place: Place) -> None:
    place.install("T1")
    with running(place, "run", "central") as central, running(place, "run", "till", "-c", "T1/till.toml") as till:
        until(lambda: place.on_till("T1", "SELECT count(*) FROM item") == [(2,)])
        place.on_central("UPDATE item SET price = 7 WHERE id = 1")
        place.on_till("T1", "INSERT INTO sale VALUES (1, '1'), (2, '2')")
        until(lambda: place.on_till("T1", "SELECT price FROM item WHERE id = 1") == [("7.0000",)])
        until(lambda: place.on_central("SELECT count(*) FROM sale") == [(2,)])
        logs = {"central": stopped(central), "T1": stopped(till, signal.SIGINT)}
    for node, log in logs.items():
        events = [line["event"] for line in log]
        assert events[0] == "started"
        assert events[-1] == "stopped"
        assert "round" in events
        assert {line["node"] for line in log} == {node}
        assert len({line["run"] for line in log}) == 1
        assert [line for line in log if line["level"] in ("error", "warning")] == []
    assert any("tick" in line for line in logs["central"])


@pytest.mark.parametrize("side", [["central"], ["till", "-c", "T1/till.toml"]])
def test_b49_one_run_at_a_time(place: Place, side: list[str]) -> None:
    place.install("T1")
    with running(place, "run", *side) as first:
        assert '"started"' in (first.stderr.readline() if first.stderr else "")
        for verb in ("run", "sync"):
            ended = place.run(verb, *side)
            ended.said(5, "TS-720", "another run")
        first.kill()
        first.wait()
        # a killed run leaves nothing behind that keeps the next one out
        assert place.run("sync", *side).code == 0


def test_an_unreachable_relay_is_waited_for_and_told_once(place: Place) -> None:
    place.install("T1")
    name = conninfo_to_dict(place.relay_admin_dsn)["dbname"]
    with psycopg.connect(place.central_dsn, autocommit=True) as server:

        def relay(*, there: bool) -> None:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {there}".encode())
            if not there:
                server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

        relay(there=False)
        with running(place, "run", "till", "-c", "T1/till.toml") as till, running(place, "run", "central") as central:
            time.sleep(2)
            assert till.poll() is None, "an unreachable relay at the start is waited for"
            relay(there=True)
            until(lambda: place.on_till("T1", "SELECT count(*) FROM item") == [(2,)])
            relay(there=False)
            place.on_till("T1", "INSERT INTO sale VALUES (1, '1')")
            time.sleep(2)
            relay(there=True)
            until(lambda: place.on_central("SELECT count(*) FROM sale") == [(1,)])
            logs = stopped(till), stopped(central)
    for log in logs:
        errors = [line["error"] for line in log if line["event"] == "round failed"]
        assert 2 <= len(errors) <= 8, errors
        assert all(said != after for said, after in itertools.pairwise(errors)), "told once per change"
        assert [line["event"] for line in log].count("working again") >= 1


def test_central_goes_on_with_a_newer_plan(place: Place) -> None:
    place.install("T1")
    with running(place, "run", "central") as central, running(place, "run", "till", "-c", "T1/till.toml") as till:
        until(lambda: place.on_till("T1", "SELECT count(*) FROM item") == [(2,)])
        place.write_settings(('filter = "store_id = :store_id"', 'filter = "store_id <> :store_id"'))
        place.does("install", "central")
        until(lambda: place.on_till("T1", "SELECT id FROM item") == [(2,)])
        place.does("branch", "set", "T1", "--set", "store_id=2")
        until(lambda: place.on_till("T1", "SELECT id FROM item ORDER BY id") == [(1,), (3,)])
        stopped(central)
        stopped(till)


def test_a_central_server_that_restarts(place: Place) -> None:
    """Every session is ended: the lease, too, which has to be taken again."""
    place.install("T1")
    with running(place, "run", "central") as central:
        until(lambda: place.on_central("SELECT max(n) FROM tillsync.intent") != [(None,)])
        for _ in range(3):
            place.on_central(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            time.sleep(0.4)
        place.on_till("T1", "INSERT INTO sale VALUES (1, '1')")
        place.does("sync", "till", "-c", "T1/till.toml")
        until(lambda: place.on_central("SELECT count(*) FROM sale") == [(1,)])
        assert place.on_central("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == [(1,)]
        log = stopped(central)
    assert all(line["error"].startswith("TS-400") for line in log if line["level"] == "error"), log


def test_a_long_round_is_broken_off_and_done_again(place: Place) -> None:
    place.install("T1")
    place.on_till("T1", "INSERT INTO sale VALUES (1, '1')")
    place.does("sync", "till", "-c", "T1/till.toml")
    with psycopg.connect(place.central_dsn) as other:
        other.execute("LOCK TABLE sale")  # the merge waits for it
        with running(place, "run", "central") as central:
            until(lambda: place.on_central("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
            stopped(central)
    place.does("sync", "central", "--until-idle")
    assert place.on_central("SELECT count(*) FROM sale") == [(1,)]


def test_a_relay_that_takes_the_call_and_says_nothing(place: Place) -> None:
    place.install("T1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        file = place.directory / "T1" / "till.toml"
        dsn = f"postgresql://hq:x@127.0.0.1:{port}/relay?connect_timeout=60"
        lines = [f'dsn = "{dsn}"' if line.startswith("dsn") else line for line in file.read_text().splitlines()]
        file.write_text("\n".join(lines))
        with running(place, "run", "till", "-c", "T1/till.toml") as till, silent.accept()[0]:
            log = stopped(till)
    assert (log[-1]["event"], log[-1]["in_order"]) == ("stopped", False)


def test_a_branch_rotated_and_retired(place: Place) -> None:
    place.install("T1")
    old = (place.directory / "T1" / "till.toml").rename(place.directory / "T1" / "old.toml")
    place.does("branch", "rotate", "T1", "--out", "T1/till.toml")
    place.run("sync", "till", "-c", str(old)).said(6, "TS-401")
    place.does("sync", "till", "-c", "T1/till.toml")
    place.does("sync", "central")
    place.does("sync", "till", "-c", "T1/till.toml")
    assert place.on_till("T1", "SELECT count(*) FROM item") == [(2,)]
    assert place.on_relay("SELECT count(*) FROM relay.account WHERE node = 'T1'") == [(1,)]
    place.does("branch", "retire", "T1")
    assert place.command("branch", "list", "--json").json["branches"][0]["state"] == "retired"
    # and it may come back
    place.does("branch", "add", "T1", "--set", "store_id=2", "--out", "T1/again.toml")
    place.does("sync", "central")
    place.does("sync", "till", "-c", "T1/again.toml", "--until-idle")
    place.does("sync", "central", "--until-idle")
    place.does("sync", "till", "-c", "T1/again.toml", "--until-idle")
    assert place.on_till("T1", "SELECT id FROM item") == [(2,)]
