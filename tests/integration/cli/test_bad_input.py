"""Bad input: one line that says what, where and what to do; the right exit code; nothing half installed."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.integration.cli.conftest import Command
from tests.integration.cli.place import SECRET, Place

FILTER = 'filter = "store_id = :store_id"'


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("exclude", "exlude", "TS-103", ["exlude", "exclude"]),
        ('direction = "down"', "", "TS-104", ["direction"]),
        ('direction = "down"', 'direction = "sideways"', "TS-105", ["direction"]),
        ("poll_ms = 50", "poll_ms = ", "TS-102", ["tillsync.toml", "line"]),
        ('name = "item"', 'name = "itme"', "TS-131", ["itme", "item"]),
        (
            'exclude = ["purchase_price"]',
            'exclude = ["purchase_prize"]',
            "TS-132",
            ["purchase_prize", "purchase_price"],
        ),
        ('exclude = ["purchase_price"]', 'columns = ["name"]', "TS-136", ["id"]),
        (FILTER, 'filter = "store_id = = 1"', "TS-201", ["item"]),
        (FILTER, 'filter = "sotre_id = :store_id"', "TS-203", ["sotre_id", "store_id"]),
        (FILTER, 'filter = "store_id = :shop"', "TS-204", ["shop"]),
        (FILTER, "filter = \"pg_read_file('x') IS NOT NULL\"", "TS-20", ["pg_read_file"]),
        (FILTER, 'filter = "random() < 0.5"', "TS-206", ["random"]),
        (FILTER, 'filter = "true; DROP TABLE item"', "TS-20", ["item"]),
        (FILTER, 'filter = "name = 3"', "TS-211", ["item", "text = integer"]),
        (FILTER, "filter = \"price LIKE '%1' AND price\"", "TS-211", ["item"]),
    ],
)
def test_a_wrong_setting_installs_nothing(
    place: Place, command: Command, old: str, new: str, code: str, words: list[str]
) -> None:
    place.write_settings((old, new))
    for arguments in (["config", "check"], ["install", "central", "--dry-run"], ["install", "central"]):
        command(*arguments).said(2, code, *words)
    assert place.is_bare()


def test_a_parameter_of_no_type(place: Place, command: Command) -> None:
    place.write_settings(('store_id = "integer"', 'store_id = "integre"'))
    command("install", "central").said(2, "TS-144", "store_id", "integre")
    assert place.is_bare()


def test_no_settings_file(place: Place, command: Command) -> None:
    place.settings.unlink()
    command("install", "central").said(2, "TS-101", "tillsync.toml", "-c")
    command("sync", "till").said(2, "TS-101", "till.toml")
    place.settings.mkdir()
    command("install", "central").said(2, "TS-101")


def test_a_dsn_that_is_none(place: Place, command: Command) -> None:
    place.write_settings(central=f"postgresql://hq:{SECRET}@[/x")
    command("install", "central").said(2, "TS-105", "central.dsn")
    place.write_settings()
    command("install", "relay", "--admin-dsn", f"postgresql://hq:{SECRET}@[/x").said(2, "TS-111")
    assert place.is_bare()


def test_a_host_that_does_not_answer(place: Place, command: Command) -> None:
    dsn = f"postgresql://hq:{SECRET}@127.0.0.1:1/erp?connect_timeout=2"
    place.write_settings(central=dsn, relay=dsn)
    for arguments in (
        ["config", "check"],
        ["install", "central"],
        ["install", "relay"],
        ["branch", "list"],
        ["sync", "central"],
        ["status"],
    ):
        command(*arguments).said(4, "TS-400", "127.0.0.1:1")


def test_a_wrong_password_and_a_wrong_database(place: Place, command: Command) -> None:
    wrong = make_conninfo(place.central_dsn, password="not-it")
    place.write_settings(central=wrong)
    command("install", "central").said(6, "TS-401", "password")
    place.write_settings(central=make_conninfo(place.central_dsn, dbname="nowhere"))
    command("install", "central").said(6, "TS-401", "nowhere")
    assert place.is_bare()


def test_central_and_relay_are_two_databases(place: Place, command: Command) -> None:
    place.install()
    place.write_settings(relay=place.central_dsn)
    command("install", "relay").said(2, "TS-412")
    place.write_settings(central=place.relay_admin_dsn)
    command("install", "central").said(2, "TS-412")
    place.write_settings()
    command("install", "relay", "--admin-dsn", place.central_dsn).said(2, "TS-41")


def test_a_login_that_may_not_install(place: Place, command: Command) -> None:
    name = str(conninfo_to_dict(place.relay_admin_dsn)["dbname"])
    login = f"{name}_guest"
    with psycopg.connect(place.central_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'guest'".encode())
    place.write_settings(central=make_conninfo(place.central_dsn, user=login, password="guest"))
    command("install", "central").said(6, "TS-402")
    command("install", "relay", "--admin-dsn", make_conninfo(place.relay_admin_dsn, user=login, password="guest")).said(
        6, "TS-402"
    )
    assert place.is_bare()


def test_not_installed(place: Place, command: Command) -> None:
    for arguments in (["sync", "central"], ["run", "central"], ["branch", "list"], ["status"]):
        command(*arguments).said(1, "tillsync install")
    command("install", "central")
    # central's login is made by the relay's installation
    command("branch", "add", "T1", "--set", "store_id=1").said(6, "TS-401")
    place.write_settings(relay=place.relay_admin_dsn)
    command("branch", "add", "T1", "--set", "store_id=1").said(1, "TS-403", "tillsync install")
    assert command("branch", "list", "--json").json == {"branches": []}, "half registered"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["T1"], "TS-141", "store_id"),
        (["T1", "--set", "store_id=one"], "TS-142", "one"),
        (["T1", "--set", "store_id=1", "--set", "shop=1"], "TS-140", "shop"),
        (["T1", "--set", "store_id"], "TS-701", "store_id"),
        (["1 T", "--set", "store_id=1"], "TS-732", "1 T"),
        (["T1", "--set", "store_id=1", "--out", "tillsync.toml"], "TS-731", "tillsync.toml"),
        (["T1", "--set", "store_id=1", "--out", "no/such/place"], "TS-731", "no/such/place"),
    ],
)
def test_a_branch_that_cannot_be_registered(
    place: Place, command: Command, arguments: list[str], code: str, word: str
) -> None:
    place.install()
    command("branch", "add", *arguments).said(2, code, word)
    assert command("branch", "list", "--json").json == {"branches": []}
    assert place.on_relay("SELECT count(*) FROM relay.account WHERE kind = 'branch'") == [(0,)]


def test_a_branch_that_is_not_there(place: Place, command: Command) -> None:
    place.install()
    for verb in (["set", "T9", "--set", "store_id=1"], ["retire", "T9"], ["rotate", "T9"]):
        command("branch", *verb).said(2, "TS-143", "T9")


def test_a_branch_is_added_once(place: Place, command: Command) -> None:
    place.install("T1")
    command("branch", "add", "T1", "--set", "store_id=1").said(2, "TS-730", "T1")


def test_a_till_file_that_is_not_sqlite(place: Place, command: Command) -> None:
    place.install("T1")
    (place.directory / "T1" / "pos.db").write_bytes(
        b"this is no database at all, but long enough to be taken for one" * 99
    )
    for verb in (["install", "till"], ["sync", "till"], ["status"], ["run", "till"]):
        command(*verb, "-c", "T1/till.toml").said(1, "TS-501", "pos.db")
    (place.directory / "T1" / "pos.db").unlink()
    for verb in (["install", "till"], ["sync", "till"], ["status"], ["run", "till"]):
        command(*verb, "-c", "T1/till.toml").said(1, "TS-502", "pos.db")
    assert not (place.directory / "T1" / "pos.db").exists(), "no file is made where there was none"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("DROP TABLE item", "TS-510", ["item"]),
        ("ALTER TABLE item DROP COLUMN price", "TS-511", ["price"]),
        ("DROP TABLE item; CREATE TABLE item (id, name, price, store_id)", "TS-512", ["item"]),
        ("ALTER TABLE item ADD COLUMN shelf TEXT NOT NULL DEFAULT ''", "", []),
    ],
)
def test_a_till_that_does_not_fit(place: Place, command: Command, change: str, code: str, words: list[str]) -> None:
    place.install()
    till = place.till("T1")
    command("branch", "add", "T1", "--set", "store_id=1", "--out", str(till / "till.toml"))
    place.on_till("T1", change)
    ended = command("install", "till", "-c", "T1/till.toml")
    ours = place.on_till("T1", "SELECT count(*) FROM sqlite_master WHERE name LIKE 'tillsync%'")
    if code:
        ended.said(2, code, *words)
        assert ours == [(0,)], "half installed"
    else:
        assert ended.code == 0, ended


def test_a_till_with_another_tills_account(place: Place, command: Command) -> None:
    place.install("T1")
    file = place.directory / "T1" / "till.toml"
    file.write_text(file.read_text().replace('node = "T1"', 'node = "T2"'))
    command("install", "till", "-c", str(file)).said(6, "TS-521", "T1", "T2")


def test_a_till_that_was_retired(place: Place, command: Command) -> None:
    place.install("T1")
    assert command("branch", "retire", "T1").code == 0
    command("sync", "till", "-c", "T1/till.toml").said(6, "TS-401")
    command("run", "till", "-c", "T1/till.toml").said(6, "TS-401")


def test_the_settings_of_the_other_side(place: Place, command: Command) -> None:
    place.install("T1")
    command("sync", "till", "-c", "tillsync.toml").said(2, "TS-10")
    command("sync", "central", "-c", "T1/till.toml").said(2, "TS-10")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["instal"], ["instal", "install"]),
        (["install"], []),
        (["install", "centre"], ["centre", "central"]),
        (["install", "central", "--what"], ["--what", "tillsync install central --help"]),
        (["branch", "add"], ["node"]),
        (["sync", "till", "--timeout", "soon"], ["--timeout"]),
    ],
)
def test_a_command_that_is_none(command: Command, arguments: list[str], words: list[str]) -> None:
    ended = command(*arguments)
    if words:
        ended.said(2, "TS-700", *words)
    else:
        assert (ended.code, ended.err) == (2, "")
        assert "Usage" in ended.out


def test_a_traceback_is_there_only_when_it_is_asked_for(place: Place, command: Command, tmp_path: Path) -> None:
    place.settings.unlink()
    assert "Traceback" not in command("install", "central").err
    assert "Traceback" in command("install", "central", "-v").err


def test_a_table_that_somebody_holds(place: Place, command: Command) -> None:
    text = place.settings.read_text().replace("[relay]", "lock_timeout_seconds = 0.2\n\n[relay]", 1)
    place.settings.write_text(text)
    with psycopg.connect(place.central_dsn) as other:
        other.execute("UPDATE item SET price = 9 WHERE id = 1")
        command("install", "central").said(5, "TS-405")
    assert place.is_bare()
