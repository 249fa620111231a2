"""What a service shows over HTTP, around real rounds: health, status, metrics; and that nothing asked of it does harm."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.core.world import World, real_world
from orchestrator.errors import Unreachable
from orchestrator.service import http, metrics, seeing
from orchestrator.service.health import SILENT_SECONDS, Health
from orchestrator.settings_watch import HttpSettings
from tests.integration.cases.shop import Shop

HTTP = {"http": HttpSettings(listen="127.0.0.1:0")}


def get(port: int | None, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


def raw(port: int | None, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port or 0), 10) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65_536), b""))


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One chain for all, with one till."""
    with closing(Shop(module_database, real_world(), tmp_path_factory.mktemp("shop"))) as made:
        made.till("T1", "B1")
        made.settle()
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def test_head_office_and_a_till_are_seen(shop: Shop, stack: ExitStack) -> None:
    till = shop.tills["T1"]
    office = stack.enter_context(seeing.beside("central", shop.settings.model_copy(update=HTTP), shop.world))
    beside_till = stack.enter_context(seeing.beside("T1", till.settings.model_copy(update=HTTP), shop.world))
    assert get(office.port, "/live")[0] == 200
    assert get(office.port, "/ready") == (503, "no round has ended yet\n")
    agent, till_agent = office.health.agent(shop.agent), beside_till.health.agent(till.agent)
    till.sql("INSERT INTO closure VALUES (1, '2026-11-25', 10)")
    for each in (till_agent, agent, till_agent):
        each.round()
    assert get(office.port, "/ready") == get(beside_till.port, "/ready") == (200, "ready\n")

    status = json.loads(get(office.port, "/status")[1])
    assert status["rounds"]["is_ready"]
    assert status["branches"][0]["node"] == "T1"
    assert json.loads(get(beside_till.port, "/status")[1])["node"] == "T1"

    shown = families(get(office.port, "/metrics")[1])
    assert shown["tillsync_moved_total", "merged"] == 1
    assert shown["tillsync_branch_clock_skew_seconds", "T1"] == pytest.approx(0, abs=1)
    assert shown["tillsync_branches", "active"] == 1
    assert shown["tillsync_troubles", "silent"] == 0
    assert shown["tillsync_status_up"] == shown["tillsync_relay_up"] == 1
    at_till = families(get(beside_till.port, "/metrics")[1])
    assert at_till["tillsync_moved_total", "sent"] == 1
    assert at_till["tillsync_till_unsent_changes"] == 0
    strict = get(office.port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")[1]
    read: Any = openmetrics.text_string_to_metric_families
    names = {family.name for family in read(strict)}
    assert names == {*metrics.OF_ROUNDS, *metrics.OF_CENTRAL}, "one file names them all"


def families(page: str) -> dict[Any, float]:
    """Name, or name and first label's value, -> value."""
    return {
        (sample.name, next(iter(sample.labels.values()))) if sample.labels else sample.name: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def test_a_fault_is_seen_and_its_end(shop: Shop, stack: ExitStack) -> None:
    class Failing:
        def round(self) -> Any:
            raise Unreachable("TS-400", "the relay does not answer")

        def close(self) -> None: ...

    away = shop.settings.model_copy(
        update=HTTP
        | {"central": shop.settings.central.model_copy(update={"dsn": "postgresql://hq:s3cr3t@127.0.0.1:1/x"})}
    )
    seen = stack.enter_context(seeing.beside("central", away, shop.world))
    seen.health.agent(shop.agent).round()
    with pytest.raises(Unreachable):
        seen.health.agent(Failing()).round()
    assert get(seen.port, "/ready") == (503, "TS-400 the relay does not answer\n")
    assert get(seen.port, "/live")[0] == 200, "a relay that is away is no reason to start the service anew"
    code, said = get(seen.port, "/status")
    assert (code, "TS-400" in said, "s3cr3t" in said) == (503, True, False)
    shown = get(seen.port, "/metrics")[1]
    assert "s3cr3t" not in shown
    assert families(shown)["tillsync_status_up"] == 0
    assert families(shown)["tillsync_rounds_total", "failed"] == 1
    seen.health.agent(shop.agent).round()
    assert get(seen.port, "/ready")[0] == 200


def test_what_only_the_rounds_know_is_a_trouble_too(shop: Shop, stack: ExitStack) -> None:
    till = shop.tills["T1"]
    seen = stack.enter_context(seeing.beside("central", shop.settings.model_copy(update=HTTP), shop.world))
    till.sql("INSERT INTO closure VALUES (2, '2026-11-25', 10)")
    till.sync()
    shop.sql("UPDATE tillsync.node SET state = 'retired'")
    seen.health.agent(shop.agent).round()
    with pytest.raises(Unreachable), seen.health.step():
        raise Unreachable("TS-400", "it does not answer")
    found = {t["cause"]: t["what"] for t in json.loads(get(seen.port, "/status")[1])["troubles"]}
    assert "TS-312" in found["refused"]
    assert "TS-400" in found["rounds"]
    shown = families(get(seen.port, "/metrics")[1])
    assert shown["tillsync_troubles", "refused"] == shown["tillsync_troubles", "rounds"] == 1
    shop.sql("UPDATE tillsync.node SET state = 'active'")
    shop.restart()
    seen.health.agent(shop.agent).round()
    assert seen.health.added_to({"troubles": [], "relay": {}})["troubles"] == []


def test_a_service_whose_rounds_are_not_made_any_more_is_not_live(world: World) -> None:
    now = 0.0
    clock = World(world.now, lambda: now, world.random63, world.sleep, world.crash)
    health: Any = Health(clock, metrics.Rounds(CollectorRegistry(), "T1"))
    now = SILENT_SECONDS
    assert health.is_live
    with health.round():
        now += 3_600
        assert health.is_live, "a long round is at work"
        now += 1
        assert not health.is_live
    assert health.is_live
    now += SILENT_SECONDS + 1
    assert not health.is_live


@pytest.fixture
def server() -> Iterator[http.Http]:
    def broken(_: object) -> http.Page:
        raise KeyError("a bug")

    made = http.Http("127.0.0.1:0", {"/live": lambda _: http.text(200, "yes"), "/bug": broken})
    yield made
    made.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50,
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /live HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n",
        b"DELETE /live HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /live HTTP/9.9\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /live HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /bug HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /žluťoučký HTTP/1.1\r\n\r\n".encode(),
    ],
)
def test_bad_requests_are_harmless(server: http.Http, request_: bytes) -> None:
    answer = raw(server.port, request_)
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert b"Traceback" not in answer
    assert b"KeyError" not in answer
    assert get(server.port, "/live") == (200, "yes\n")


def test_a_page_of_a_browser_cannot_read_along(server: http.Http) -> None:
    for host in ("localhost", "localhost:9470", "127.0.0.1:80", "[::1]:80", "LOCALHOST"):
        assert get(server.port, "/live", Host=host)[0] == 200
    for host in ("evil.example", "evil.example:9470", "10.0.0.1", "localhost.evil.example"):
        assert get(server.port, "/live", Host=host)[0] == 403


def test_head_has_no_body_and_others_are_not_found(server: http.Http) -> None:
    assert get(server.port, "/live", "HEAD") == (200, "")
    assert get(server.port, "/live?x=1")[0] == 200
    assert get(server.port, "/") == (404, "there are /live /bug\n")


def test_too_many_at_a_time_are_sent_away(server: http.Http) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(http.REQUESTS_MAX)]
    try:
        with socket.create_connection(("127.0.0.1", server.port), 10) as late:
            assert b" 503 " in late.recv(1_000)
    finally:
        for line in idle:
            line.close()
    for _ in range(100):
        if get(server.port, "/live")[0] == 200:
            break
        threading.Event().wait(0.05)
    else:
        raise AssertionError("its places are not free again")


def test_a_port_that_is_taken_does_not_stop_the_service(
    shop: Shop, server: http.Http, stack: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = {"http": HttpSettings(listen=f"127.0.0.1:{server.port}")}
    seen = stack.enter_context(seeing.beside("central", shop.settings.model_copy(update=taken), shop.world))
    assert seen.port is None
    assert "TS-860" in "".join(capsys.readouterr())
    seen.health.agent(shop.agent).round()
    assert seen.health.is_ready
