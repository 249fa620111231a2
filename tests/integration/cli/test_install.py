"""Installing and removing: again changes nothing, the script does the same as the command, nothing is left behind."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from orchestrator.report import objects
from tests.integration.cli.conftest import Command
from tests.integration.cli.place import CENTRAL_TABLES, Place

# Rights as they count: an empty list means the default one.
WHOLE_CATALOG = """
SELECT 'class', n.nspname || '.' || c.relname, c.relkind::text, c.relacl::text FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\\_t%'
UNION ALL SELECT 'function', p.oid::regprocedure::text, md5(coalesce(p.prosrc, '')),
       (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a)
  FROM pg_proc p
UNION ALL SELECT 'trigger', t.tgrelid::regclass || '.' || t.tgname, t.tgenabled::text, '' FROM pg_trigger t
UNION ALL SELECT 'schema', n.nspname, '',
       (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a)
  FROM pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_t%'
UNION ALL SELECT 'language', l.lanname, '',
       (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) a)
  FROM pg_language l
UNION ALL SELECT 'database', 'this', '',
       (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a)
  FROM pg_database d WHERE d.datname = current_database()
UNION ALL SELECT 'role', r.rolname, '', '' FROM pg_roles r
ORDER BY 1, 2
"""

GROUPS = ("relay", "central", "branch")


def listed(dsn: str, schema: str) -> objects.Objects:
    with psycopg.connect(dsn) as connection:
        return objects.listing(connection, schema)


def test_again_changes_nothing(place: Place, command: Command) -> None:
    place.install("T1")
    versions = place.on_central("SELECT version, body FROM tillsync.plan")
    till = place.on_till("T1", "SELECT type, name, sql, rowid FROM sqlite_master ORDER BY rowid")
    for arguments in (
        ["central"],
        ["relay", "--admin-dsn", place.relay_admin_dsn],
        ["till", "-c", str(place.directory / "T1" / "till.toml")],
    ):
        assert command("install", *arguments, "--json").json["changed"] is False
        assert "nothing changed" in command("install", *arguments).out
    assert place.on_central("SELECT version, body FROM tillsync.plan") == versions
    assert place.on_till("T1", "SELECT type, name, sql, rowid FROM sqlite_master ORDER BY rowid") == till


def test_a_rehearsal_says_what_and_does_nothing(place: Place, command: Command) -> None:
    ended = command("install", "central", "--dry-run", "--json")
    assert "table log_item" in str(ended.json["created"])
    assert ended.json["dry_run"] is True
    assert command("install", "relay", "--admin-dsn", place.relay_admin_dsn, "--dry-run").code == 0
    assert place.is_bare()
    place.install()
    command("branch", "add", "T1", "--set", "store_id=1", "--out", str(place.till("T1") / "till.toml"))
    assert command("install", "till", "-c", "T1/till.toml", "--dry-run").code == 0
    assert place.on_till("T1", "SELECT count(*) FROM sqlite_master WHERE name LIKE 'tillsync%'") == [(0,)]


def test_the_script_installs_what_the_command_does(place: Place, command: Command) -> None:
    scripts = {part: command("install", part, "--sql") for part in ("central", "relay")}
    assert all(ended.code == 0 and not ended.err for ended in scripts.values()), scripts
    assert place.is_bare()
    place.install()
    by_command = listed(place.central_dsn, "tillsync"), listed(place.relay_admin_dsn, "relay")
    plan = place.on_central("SELECT version, body FROM tillsync.plan")
    captured = place.on_central("SELECT * FROM tillsync.captured ORDER BY tab")
    assert command("uninstall", "central").code == 0
    assert command("uninstall", "relay", "--admin-dsn", place.relay_admin_dsn).code == 0
    assert place.is_bare()
    for _ in range(2):  # a script can be run again
        place.on_central(scripts["central"].out)
        place.on_relay(scripts["relay"].out)
        assert (listed(place.central_dsn, "tillsync"), listed(place.relay_admin_dsn, "relay")) == by_command
        assert place.on_central("SELECT version, body FROM tillsync.plan") == plan
        assert place.on_central("SELECT * FROM tillsync.captured ORDER BY tab") == captured
    assert place.on_relay("SELECT node, kind FROM relay.account") == [("central", "central")]


def test_the_relays_script_makes_the_login_without_a_password(place: Place, command: Command) -> None:
    script = command("install", "relay", "--sql").out
    place.on_relay(script)
    user = conninfo_to_dict(place.relay_dsn)["user"]
    found = place.on_relay(f"SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = '{user}'")
    assert found == [(True, None)]


def test_the_tills_script_installs_what_the_command_does(place: Place, command: Command) -> None:
    place.install("T1")
    till = place.till("T2")
    command("branch", "add", "T2", "--set", "store_id=1", "--out", str(till / "till.toml"))
    place.on_till("T2", command("install", "till", "-c", "T2/till.toml", "--sql").out)
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name LIKE 'tillsync%' ORDER BY type, name"
    assert place.on_till("T1", query) == place.on_till("T2", query)
    assert command("sync", "till", "-c", "T2/till.toml", "--until-idle").code == 0


def whole(place: Place) -> list[Any]:
    return [place.on_central(WHOLE_CATALOG), place.on_relay(WHOLE_CATALOG)]


def test_nothing_is_left_behind(place: Place, command: Command) -> None:
    user = conninfo_to_dict(place.relay_dsn)["user"]
    place.on_relay(f"CREATE ROLE {user} LOGIN PASSWORD 'x'")  # central's login is not ours to remove
    before = whole(place)
    place.till("T1")
    files = sorted(p.name for p in (place.directory / "T1").iterdir())
    till_before = place.on_till("T1", "SELECT type, name, sql FROM sqlite_master")
    place.on_relay(f"ALTER ROLE {user} PASSWORD '{conninfo_to_dict(place.relay_dsn)['password']}'")
    place.install("T1")
    sync_all(place, command)
    assert whole(place) != before
    assert command("uninstall", "till", "-c", "T1/till.toml").code == 0
    assert command("uninstall", "central").code == 0
    assert command("uninstall", "relay", "--admin-dsn", place.relay_admin_dsn).code == 0
    for now, then in zip(whole(place), before, strict=True):
        assert set(now) - set(then) == set(), "left behind"
        # the groups go where no relay of the cluster needs them, be they of an earlier one
        assert {name for kind, name, *_ in set(then) - set(now)} <= {f"tillsync_{g}" for g in GROUPS}
    assert place.on_till("T1", "SELECT type, name, sql FROM sqlite_master") == till_before
    assert sorted(p.name for p in (place.directory / "T1").iterdir()) == sorted([*files, "till.toml"])
    # the application's rows are its own
    assert place.on_till("T1", "SELECT count(*) FROM item") == [(2,)]
    # and once more, where there is nothing
    for arguments in (["central"], ["relay", "--admin-dsn", place.relay_admin_dsn], ["till", "-c", "T1/till.toml"]):
        assert command("uninstall", *arguments).code == 0


def sync_all(place: Place, command: Command) -> None:
    for _ in range(2):
        assert command("sync", "till", "-c", "T1/till.toml", "--until-idle").code == 0
        assert command("sync", "central", "--until-idle").code == 0
    assert command("sync", "till", "-c", "T1/till.toml", "--until-idle").code == 0


def test_what_would_be_lost_is_not_removed(place: Place, command: Command) -> None:
    place.install("T1")
    place.on_till("T1", "INSERT INTO sale VALUES (1, '9.90')")
    command("uninstall", "till", "-c", "T1/till.toml").said(6, "TS-524", "1 change")
    command("sync", "till", "-c", "T1/till.toml")
    command("uninstall", "relay", "--admin-dsn", place.relay_admin_dsn).said(6, "TS-722", "1 upload")
    assert command("uninstall", "till", "-c", "T1/till.toml", "--dry-run").code == 0
    assert place.on_till("T1", "SELECT count(*) FROM tillsync_state") == [(1,)]
    assert command("uninstall", "till", "-c", "T1/till.toml", "--force").code == 0
    assert command("uninstall", "relay", "--admin-dsn", place.relay_admin_dsn, "--force").code == 0


def test_a_changed_plan_is_a_new_version(place: Place, command: Command) -> None:
    place.install("T1")
    place.write_settings(('exclude = ["purchase_price"]', 'exclude = ["purchase_price", "price"]'))
    ended = command("install", "central", "--json").json
    assert (ended["plan_version"], ended["changed"]) == (2, True)
    assert command("install", "central", "--json").json["changed"] is False
    place.write_settings(('name = "item"', 'name = "sale"'), ('exclude = ["purchase_price"]', 'exclude = ["till"]'))
    assert command("install", "central").code == 2
    assert place.on_central("SELECT max(version) FROM tillsync.plan") == [(2,)]


def test_a_table_that_is_no_longer_replicated_loses_its_triggers(place: Place, command: Command) -> None:
    place.on_central(CENTRAL_TABLES.split(";")[0].replace("item", "spare"))
    place.write_settings(
        ('[[channel]]\nname = "sales"', '[[channel.table]]\nname = "spare"\n\n[[channel]]\nname = "sales"')
    )
    assert "spare" in str(command("install", "central", "--json").json["created"])
    place.write_settings()
    dropped = command("install", "central", "--json").json["dropped"]
    assert len([name for name in dropped if name.startswith("trigger") and name.endswith("on spare")]) == 5


def test_sqlite3_shell_form(place: Place, command: Command) -> None:
    """The till's script is plain SQL of the oldest SQLite that the design allows: no statement needs our connection."""
    place.install("T1")
    script = command("install", "till", "-c", "T1/till.toml", "--sql").out
    copy = sqlite3.connect(place.directory / "T1" / "pos.db")
    with copy:
        copy.executescript(script)
    copy.close()


@pytest.mark.parametrize("side", ["central", "relay"])
def test_a_script_is_one_transaction(command: Command, side: str) -> None:
    script = command("install", side, "--sql").out
    assert script.startswith("BEGIN;")
    assert script.rstrip().endswith("COMMIT;")
