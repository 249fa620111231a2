"""Notifications through a real mail server and a real webhook, with a clock that is moved by hand: each trouble is told once
when it comes and once when it goes, whatever happens to the service and to the servers meanwhile."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from orchestrator.core.world import World, real_world
from orchestrator.errors import ConfigError, Unreachable
from orchestrator.service import seeing
from orchestrator.service.health import Health
from orchestrator.service.metrics import Rounds
from orchestrator.service.notify import tried
from orchestrator.service.watcher import Watcher
from orchestrator.settings import CentralSettings
from orchestrator.settings_watch import (
    AppriseSettings,
    ClosureSettings,
    MailSettings,
    NotifySettings,
    WatchSettings,
    WebhookSettings,
)
from tests.integration.cases.post import Hook, Mailbox, free_port, mail_server, web_server
from tests.integration.cases.shop import Shop

LOOK_SECONDS, HOUR = 60, 3600
AGED = "UPDATE relay.report SET at = at + interval '{}' WHERE node = 'T1'"
SAID = "UPDATE relay.report SET body = body || '{}' WHERE node = 'T1'"


@dataclass
class Post:
    """A shop with one till, whose head office tells a mailbox and a webhook. Looked at by hand, every minute of its clock."""

    shop: Shop
    box: Mailbox
    hook: Hook
    mail_port: int
    settings: CentralSettings
    seconds: float = 0.0

    def __post_init__(self) -> None:
        real = self.shop.world
        self.world = World(
            lambda: real.now() + timedelta(seconds=self.seconds),
            lambda: real.monotonic() + self.seconds,
            real.random63,
            real.sleep,
            real.crash,
        )
        self.restart()

    def restart(self) -> None:
        """The service ends and comes again."""
        self.close()
        counted = Rounds(CollectorRegistry(), "central")
        self.health = Health(self.world, counted)
        self.watcher = Watcher(self.settings, self.world, self.health, counted)

    def close(self) -> None:
        if hasattr(self, "watcher"):
            self.watcher.close()

    def look(self, minutes: float = 3, step: float = LOOK_SECONDS) -> None:
        for _ in range(round(minutes * 60 / step)):
            self.seconds += step
            self.watcher.look()

    def new(self) -> list[str]:
        """What came since it was last asked; the same both ways."""
        assert self.box.titles == self.hook.titles
        titles = [title.removeprefix("[Shop] ") for title in self.box.titles]
        self.last = list(self.hook.got)
        self.box.mails.clear()
        self.hook.got.clear()
        return titles

    def at_relay(self, statement: str) -> None:
        with psycopg.connect(self.shop.relay_dsn, autocommit=True) as conn:
            conn.execute(statement.encode())


@pytest.fixture(scope="module")
def shop(module_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One chain for all, with one till; what a test breaks there is mended before the next."""
    with closing(Shop(module_database, real_world(), tmp_path_factory.mktemp("shop"))) as made:
        made.till("T1", "B1").sql("INSERT INTO closure VALUES (1, '2020-01-01', 10)")
        made.settle()
        yield made


@pytest.fixture
def post(shop: Shop) -> Iterator[Post]:
    box, hook, port = Mailbox(), Hook(), free_port()
    for table in ("alert", "message", "notified", "conflict", "parked"):
        shop.sql(f"DELETE FROM tillsync.{table}")
    shop.sql("DELETE FROM tillsync.node WHERE node <> 'T1'")
    shop.restart()
    shop.tills["T1"].restart()
    shop.sync()
    with mail_server(box, port), web_server(hook):
        notify = NotifySettings(
            name="Shop",
            mail=MailSettings(
                server=f"127.0.0.1:{port}", security="none", sender="hq@shop.example", to=["it@shop.example"]
            ),
            webhook=WebhookSettings(url=hook.url),
            timeout_seconds=3,
        )
        # The clock is moved by hand, which is no trouble here.
        watch = WatchSettings(clock_seconds_max=10**9)
        settings = shop.settings.model_copy(update={"notify": notify, "watch": watch})
        made = Post(shop, box, hook, port, settings)
        yield made
        made.close()


TROUBLES = {
    "silent": ("relay", AGED.format("-16 minutes"), AGED.format("16 minutes")),
    "failing": ("relay", SAID.format('{"errors": ["TS-503 locked"]}'), SAID.format('{"errors": []}')),
    "schema": ("relay", SAID.format('{"lacks": ["no column"]}'), SAID.format('{"lacks": []}')),
    "disk": ("relay", SAID.format('{"disk_free_bytes": 1000}'), SAID.format('{"disk_free_bytes": 1e12}')),
    "backup": ("relay", SAID.format('{"backup_at": "2020-01-01T00:00:00Z"}'), SAID.format('{"backup_at": null}')),
    "certificate": (
        "relay",
        SAID.format('{"certificate_ends_at": "2020-01-01T00:00:00Z"}'),
        SAID.format('{"certificate_ends_at": "2199-01-01T00:00:00Z"}'),
    ),
    "clock": ("relay", SAID.format('{"clock_skew_seconds": -2e9}'), SAID.format('{"clock_skew_seconds": 0}')),
    "machine": (
        "relay",
        "UPDATE relay.machine SET other = 'x', other_at = now()",
        "UPDATE relay.machine SET other = NULL, other_at = NULL",
    ),
    "parked": (
        "central",
        "INSERT INTO tillsync.parked (node, uid, seq, nonce, tab, key, op, reason, sqlstate)"
        " VALUES ('T1', 1, 1, 1, 'public.closure', '[1]', 'I', 'no', '22003')",
        "UPDATE tillsync.parked SET state = 'dropped'",
    ),
    "forbidden": (
        "central",
        "INSERT INTO tillsync.parked (node, uid, seq, nonce, tab, key, op, reason, sqlstate)"
        " VALUES ('T1', 1, 2, 2, 'public.contact', '[1]', 'U', 'no', 'TS540')",
        "UPDATE tillsync.parked SET state = 'dropped'",
    ),
    "conflicts": (
        "central",
        "INSERT INTO tillsync.conflict (node, uid, seq, nonce, tab, key, policy, columns, winner)"
        " VALUES ('T1', 1, 1, 1, 'public.contact', '[1]', 'column_merge', '{name}', 'central')",
        "UPDATE tillsync.conflict SET at = at - interval '61 minutes'",
    ),
    "undecided": (
        "central",
        "INSERT INTO tillsync.conflict (at, node, uid, seq, nonce, tab, key, policy, columns, winner, state)"
        " VALUES ('2020-01-01', 'T1', 1, 1, 1, 'public.contact', '[1]', 'manual', '{name}', 'central', 'open')",
        "UPDATE tillsync.conflict SET state = 'closed'",
    ),
    "drift": (
        "central",
        "ALTER TABLE item DISABLE TRIGGER USER",
        "ALTER TABLE item ENABLE TRIGGER USER; UPDATE tillsync.seen s SET guard = w.guard FROM tillsync.watched w WHERE w.tab = s.tab",
    ),
    "relay": ("relay", "ALTER SCHEMA relay RENAME TO away", "ALTER SCHEMA away RENAME TO relay"),
    "office": ("central", "ALTER SCHEMA tillsync RENAME TO away", "ALTER SCHEMA away RENAME TO tillsync"),
}


def test_each_trouble_is_told_once_and_its_end_once(post: Post) -> None:
    post.look()
    assert post.new() == []
    for cause, (where, breaks, mends) in TROUBLES.items():
        do = post.at_relay if where == "relay" else lambda statement: post.shop.conn.execute(statement.encode())
        do(breaks)
        post.look()
        (came,) = post.new()
        assert post.last[0]["cause"] == cause
        assert post.last[0]["kind"] == "trouble"
        post.look(60, step=HOUR)
        assert post.new() == [], f"{cause} is told again"
        do(mends)
        post.look()
        who, _, what = came.partition(": ")
        assert post.new() == [f"{who}: over: {what}"], cause
        post.look(60, step=HOUR)
        assert post.new() == [], cause


def test_the_services_own_rounds_and_a_closure(post: Post) -> None:
    with pytest.raises(Unreachable), post.health.round():
        raise Unreachable("TS-400", "it does not answer")
    post.look()
    assert post.new() == ["central: head office's rounds fail"]
    post.health.succeeded(post.shop.agent.round())
    post.look()
    assert post.new() == ["central: over: head office's rounds fail"]
    shop = post.shop
    shop.sql("UPDATE tillsync.node SET created_at = created_at - interval '2 days'")
    watch = post.settings.watch.model_copy(update={"closure": ClosureSettings(table="closure", due="00:00")})
    post.settings = post.settings.model_copy(update={"watch": watch})
    post.restart()
    post.look()
    assert post.new() == ["T1: closure missing"]
    (day,) = {t["what"].split()[-1] for t in post.last[0]["troubles"]}
    shop.tills["T1"].sql("INSERT INTO closure VALUES (2, ?, 10)", day)
    shop.settle()
    post.look()
    assert post.new() == ["T1: over: closure missing"]


def test_twenty_tills_silent_at_once_are_one_message(post: Post) -> None:
    post.shop.sql(
        "INSERT INTO tillsync.node (node, created_at) SELECT 'S' || n, now() - interval '1 day' FROM generate_series(1, 20) n"
    )
    post.look()
    assert post.new() == ["S1, S10, S11, S12, S13 and 15 more: silent while the shop is open"]
    assert "20 of 21 branches at once: the relay, its line" in post.last[0]["text"]
    post.shop.sql("UPDATE tillsync.node SET state = 'retired' WHERE node LIKE 'S%'")
    post.look()
    assert post.new() == ["S1, S10, S11, S12, S13 and 15 more: over: silent while the shop is open"]


def test_a_restart_neither_repeats_nor_forgets(post: Post) -> None:
    _, breaks, mends = TROUBLES["disk"]
    post.at_relay(breaks)
    post.look(1.5)
    post.restart()
    post.look(1)
    assert post.new() == ["T1: disk nearly full"], "how long it had stood is remembered"
    post.restart()
    post.look(120, step=HOUR)
    assert post.new() == []
    post.at_relay(mends)
    post.restart()
    post.look()
    assert post.new() == ["T1: over: disk nearly full"]


def test_while_the_relay_is_away_its_tills_are_neither_silent_nor_well(post: Post) -> None:
    post.at_relay(TROUBLES["disk"][1])
    post.look()
    post.at_relay(TROUBLES["relay"][1])
    post.look()
    post.look(120, step=HOUR)
    post.at_relay(TROUBLES["relay"][2])
    post.look()
    assert [title.split(": ", 1)[1] for title in post.new()] == [
        "disk nearly full",
        "the relay does not answer",
        "over: the relay does not answer",
    ]


def test_a_mail_server_that_is_away_stops_nothing_and_gets_its_mails_later(post: Post, shop: Shop) -> None:
    mail = post.settings.notify.mail
    assert mail is not None
    elsewhere = mail.model_copy(update={"server": f"127.0.0.1:{free_port()}"})
    well = post.settings
    post.settings = well.model_copy(update={"notify": well.notify.model_copy(update={"mail": elsewhere})})
    post.restart()
    post.at_relay(TROUBLES["disk"][1])
    post.look()
    post.look(60, step=300)
    assert post.hook.titles == ["[Shop] T1: disk nearly full"]
    assert shop.agent.round() is not None
    ((tries, error),) = shop.sql("SELECT tries, error FROM tillsync.message WHERE way = 'mail'")
    assert 4 < tries < 10, "later and later"
    assert "refused" in error
    post.settings = well
    post.restart()
    post.look(120, step=HOUR)
    assert post.new() == ["T1: disk nearly full"]
    assert shop.sql("SELECT count(*) FROM tillsync.message WHERE sent_at IS NULL") == [(0,)]


def test_a_server_that_answers_and_refuses_is_asked_again(post: Post, shop: Shop) -> None:
    post.box.refuses, post.hook.answers = True, 302
    post.at_relay(TROUBLES["disk"][1])
    post.look()
    faults = dict(shop.sql("SELECT way, error FROM tillsync.message"))
    assert "come again" in faults["mail"]
    assert faults["webhook"] == "127.0.0.1 answers 302", "it does not go elsewhere, and the address stays secret"
    post.box.refuses, post.hook.answers = False, 200
    post.look(20, step=300)
    assert post.new() == ["T1: disk nearly full"]


def test_b81_the_days_summary_is_sent_once_a_day_and_names_conflicts(post: Post, shop: Shop) -> None:
    at = (post.world.now() + timedelta(hours=2)).strftime("%H:%M")
    notify = post.settings.notify.model_copy(update={"digest": at})
    post.settings = post.settings.model_copy(update={"notify": notify})
    post.restart()
    post.look(60, step=600)
    assert post.new() == [], "a start is no day"
    shop.sql(TROUBLES["conflicts"][1])
    shop.sql(TROUBLES["parked"][1])
    post.at_relay(TROUBLES["disk"][1])
    post.look()
    post.look(70, step=600)
    *_, summary = post.new()
    assert summary == "the day: 3 troubles"
    text = post.last[-1]["text"]
    assert "conflicts since yesterday: T1 1" in text
    assert "changes parked: T1 1" in text
    assert "disk" in text
    post.restart()
    post.look(60, step=600)
    assert post.new() == [], "once a day, over restarts"
    post.seconds += 22 * 3600
    post.look(180, step=HOUR)
    assert [title for title in post.new() if title.startswith("the day")] == ["the day: 3 troubles"]


SECRETS = ("s3cr3t-of-mail", "t0ken-of-the-hook", "s3cr3t-in-a-dsn")


def test_mail_in_tls_with_a_login_and_no_secret_anywhere(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key, pem, port = tmp_path / "key.pem", tmp_path / "pem", free_port()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    asked = [*command.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(asked, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem, key)
    mail = MailSettings(
        server=f"localhost:{port}", sender="hq@shop.example", to=["it@shop.example"], user="hq", password=SECRETS[0]
    )
    post.settings = post.settings.model_copy(update={"notify": post.settings.notify.model_copy(update={"mail": mail})})
    post.restart()
    said = json.dumps({"errors": ["TS-400 postgresql://till:s3cr3t-in-a-dsn@relay/x does not answer"]})
    post.at_relay(SAID.format(said))
    with mail_server(post.box, port, tls=tls, login=("hq", SECRETS[0])):
        post.look()
        assert post.box.mails == [], "nobody vouches for this server"
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        post.look(20, step=300)
    assert post.box.titles == ["[Shop] T1: rounds fail"]
    assert post.box.mails[0]["Message-ID"].endswith("@tillsync>")
    told = [*post.box.texts, json.dumps(post.hook.got), *capsys.readouterr()]
    told += [str(row) for row in post.shop.sql("SELECT title, body, error FROM tillsync.message")]
    told += [repr(post.settings)]
    assert [secret for secret in SECRETS if any(secret in text for text in told)] == []
    assert "postgresql://till:***@relay/x" in post.box.texts[0]


def test_beside_a_service_it_runs_by_itself_and_ends_with_it(post: Post, shop: Shop) -> None:
    at_once = post.settings.notify.model_copy(update={"every_seconds": 0.05, "hold_seconds": 0})
    settings = post.settings.model_copy(update={"notify": at_once})
    post.at_relay(TROUBLES["disk"][1])
    with ExitStack() as stack:
        seen = stack.enter_context(seeing.beside("central", settings, shop.world))
        for _ in range(200):
            if post.hook.got:
                break
            seen.health.agent(shop.agent).round()
        assert post.hook.titles == ["[Shop] T1: disk nearly full"]
    assert post.watcher is not None
    before = len(shop.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'tillsync status'"))
    assert before <= 1


def test_a_test_message_says_which_way_does_not_go(post: Post) -> None:
    notify = post.settings.notify
    assert tried(notify, post.world) == {"mail": "", "webhook": ""}
    assert post.new() == ["a test"]
    post.hook.answers = 500
    assert tried(notify, post.world) == {"mail": "", "webhook": "127.0.0.1 answers 500"}
    with pytest.raises(ConfigError, match="TS-865"):
        tried(NotifySettings(), post.world)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the package's own
def test_apprise_is_asked_for_where_it_is_needed(post: Post) -> None:
    asked = NotifySettings(apprise=AppriseSettings(urls=[post.hook.url.replace("http://", "json://")]))
    if find_spec("apprise") is None:
        with pytest.raises(ConfigError, match=r"pip install 'tillsync\[apprise\]'"):
            tried(asked, post.world)
        pytest.skip("NO APPRISE HERE: pip install apprise to have a message go through it as well")
    assert tried(asked, post.world) == {"apprise": ""}
    assert post.hook.got[0]["title"] == "[Tillsync] a test"
    with pytest.raises(ConfigError, match="TS-863"):
        tried(NotifySettings(apprise=AppriseSettings(urls=["nonsense://x"])), post.world)


def test_a_server_that_hangs_is_waited_for_once_a_look(post: Post, shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mail = post.settings.notify.mail
        assert mail is not None
        elsewhere = mail.model_copy(update={"server": f"127.0.0.1:{silent.getsockname()[1]}"})
        notify = post.settings.notify.model_copy(update={"mail": elsewhere, "timeout_seconds": 0.2, "hold_seconds": 0})
        post.settings = post.settings.model_copy(update={"notify": notify})
        post.restart()
        for table in ("disk", "parked", "conflicts"):
            where, breaks, _ = TROUBLES[table]
            post.at_relay(breaks) if where == "relay" else shop.sql(breaks)
        post.look(1)
    assert len(post.hook.titles) == 3
    tries = "SELECT count(*) FILTER (WHERE tries > 0), count(*) FROM tillsync.message WHERE way = 'mail'"
    assert shop.sql(tries) == [(1, 3)], "the others wait for the next look"
