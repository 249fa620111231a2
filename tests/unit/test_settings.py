"""Settings: what the files may say, which source counts, and what a person reads when something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import settings_parts as module
from orchestrator.errors import ConfigError
from orchestrator.settings import CentralSettings, TillSettings, json_schema, listing, mask

CENTRAL = """
[central]
dsn = "postgresql://sync:s3cret@hq/erp"
[relay]
dsn = "postgresql://central@relay.example/tillsync"
[parameters]
store_id = "integer"
price_group = "text"
[[channel]]
name = "catalogue"
direction = "down"
every_seconds = 5
priority = 1
[[channel.table]]
name = "public.item"
exclude = ["purchase_price"]
filter = "active AND EXISTS (SELECT 1 FROM item_store s WHERE s.item_id = item.id AND s.store_id = :store_id)"
notice = { kind = "label", columns = ["name", "price"] }
[[channel]]
name = "sales"
direction = "up"
[[channel.table]]
name = "closure"
policy = "append_only"
set = { till = ":node" }
[[channel]]
name = "orders"
direction = "both"
cron = "0 22 * * *"
[[channel.table]]
name = "supplier_order"
filter = "store_id = :store_id"
policy = "column_merge"
column_policy = { status = { policy = "state_machine", states = ["draft", "sent"] } }
"""

TILL = """
node = "T1"
[relay]
dsn = "postgresql://T1:pw@relay.example/tillsync"
[till]
database = "pos.db"
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)  # names in messages are then as short as a person's

    def write(text: str, name: str = "tillsync.toml") -> Path:
        Path(name).write_text(text)
        return Path(name)

    return write


def test_the_sample_of_the_interface_is_understood(write: Write) -> None:
    settings = CentralSettings.load(write(CENTRAL))
    catalogue, sales, orders = settings.channel
    assert settings.parameters == {"store_id": "integer", "price_group": "text"}
    assert (catalogue.every_seconds, catalogue.priority, orders.cron) == (5, 1, "0 22 * * *")
    assert catalogue.table[0].notice is not None
    assert sales.table[0].full_name == "public.closure"
    assert sales.table[0].policy.policy == "append_only"
    assert orders.table[0].column_policy["status"].states == ("draft", "sent")


def test_a_till_needs_its_node_its_account_and_its_file(write: Write, tmp_path: Path) -> None:
    settings = TillSettings.load(write(TILL))
    assert settings.node == "T1"
    assert settings.till.database == tmp_path / "pos.db"
    assert settings.lock_ms_max == 200


def test_each_source_lies_over_the_one_before(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("poll_ms = 200\npart_rows_max = 200\npart_bytes_max = 2000\nlog_level = 'debug'\n" + TILL)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "relay__dsn").write_text("postgresql://T1:from-secrets@relay.example/tillsync\n")
    (secrets / "part_rows_max").write_text("300")
    (secrets / "somebody_elses").write_text("x")
    monkeypatch.setenv("TILLSYNC_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("TILLSYNC_PART_ROWS_MAX", "400")
    monkeypatch.setenv("TILLSYNC_PART_BYTES_MAX", "4000")
    monkeypatch.setenv("TILLSYNC_TILL__DATABASE", "/var/pos.db")
    settings = TillSettings.load(file, part_bytes_max=5000, node=None)
    assert (settings.poll_ms, settings.part_rows_max, settings.part_bytes_max) == (200, 400, 5000)
    assert settings.relay.dsn == "postgresql://T1:from-secrets@relay.example/tillsync"
    assert settings.till.database == Path("/var/pos.db")
    origins = {key: origin for key, _, origin in listing(TillSettings, file, part_bytes_max=5000)}
    assert origins["poll_ms"] == "tillsync.toml"
    assert origins["relay.dsn"] == str(secrets)
    assert origins["part_rows_max"] == "environment"
    assert origins["part_bytes_max"] == "command line"
    assert origins["lock_ms_max"] == "default"


def test_lists_come_from_the_environment_as_json(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSYNC_CHANNEL", '[{"name": "c", "direction": "up", "table": [{"name": "t"}]}]')
    monkeypatch.setenv("TILLSYNC_PARAMETERS__WAREHOUSE", "text")
    settings = CentralSettings.load(write(CENTRAL))
    assert [channel.name for channel in settings.channel] == ["c"]
    assert settings.parameters["warehouse"] == "text"
    monkeypatch.setenv("TILLSYNC_CHANNEL", "[{")
    with pytest.raises(ConfigError, match=r"TS-106 environment: .*JSON"):
        CentralSettings.load(write(CENTRAL))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            'filter = "store',
            'fliter = "store',
            "TS-103 tillsync.toml: channel[orders].table[supplier_order].fliter is not a setting; did you mean filter?",
        ),
        (
            "[central]\ndsn",
            "[central]\ndns",
            "TS-103 tillsync.toml: central.dns is not a setting; did you mean dsn?",
        ),
        (
            "[central]",
            "[centrall]",
            "TS-103 tillsync.toml: centrall is not a setting; did you mean central?",
        ),
        (
            'kind = "label", columns',
            'kind = "label", colums',
            "TS-103 tillsync.toml: channel[catalogue].table[public.item].notice.colums is not a setting;"
            " did you mean columns?",
        ),
        (
            "states = [",
            "state = [",
            "TS-103 tillsync.toml: channel[orders].table[supplier_order].column_policy.status.state is not a setting;"
            " did you mean states?",
        ),
        (
            "every_seconds = 5\n",
            "zzz = 5\n",
            "TS-103 tillsync.toml: channel[catalogue].zzz is not a setting; known: cron,",
        ),
        ('direction = "up"\n', "", "TS-104 tillsync.toml: channel[sales].direction is missing"),
        (
            'direction = "up"',
            'direction = "upp"',
            "TS-105 tillsync.toml: channel[sales].direction = 'upp': input should be 'down', 'up' or 'both'; did you mean up?",
        ),
        (
            "every_seconds = 5",
            "every_seconds = 'soon'",
            "TS-105 tillsync.toml: channel[catalogue].every_seconds = 'soon': input should be a valid number",
        ),
        (
            "append_only",
            "apend_only",
            "TS-105 tillsync.toml: channel[sales].table[closure].policy = 'apend_only': input should be",
        ),
        (
            "every_seconds = 5",
            "every_seconds = 5\ncron = '0 1 * * *'",
            "TS-105 tillsync.toml: channel[catalogue]: every_seconds and cron cannot both be given",
        ),
        ("0 22 * * *", "0 25 * * *", "TS-105 tillsync.toml: channel[orders].cron = '0 25 * * *': "),
        ('name = "sales"', 'name = "orders"', "TS-105 tillsync.toml: channel orders is there twice"),
        ('name = "closure"', 'name = "item"', "TS-105 tillsync.toml: table public.item is there twice"),
        ('":node"', '":warehouse"', "TS-105 tillsync.toml: closure: set.till = ':warehouse' is none of :node, "),
        ('policy = "append_only"', 'policy = "state_machine"', "states belong to the policy state_machine"),
        ('store_id = "integer"', '"Store Id" = "integer"', "TS-105 tillsync.toml: parameters.Store Id"),
        ("exclude = [", 'columns = ["id"]\nexclude = [', "columns and exclude cannot both be given"),
        (
            "every_seconds = 5",
            "every_seconds = 5 5",
            "TS-102 tillsync.toml: Expected newline or end of document after a statement (at line 12,",
        ),
        ('states = ["draft", "sent"] } }', "states = [", "line 34"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write: Write, old: str, new: str, line: str) -> None:
    assert CENTRAL.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        CentralSettings.load(write(CENTRAL.replace(old, new)))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_or_not_text(write: Write, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"TS-101 none.toml: no such file or directory; name the settings file with -c"
    ):
        TillSettings.load("none.toml")
    with pytest.raises(ConfigError, match="TS-101"):
        TillSettings.load(tmp_path)
    Path("latin.toml").write_bytes(b'node = "T1"\n# caf\xe9\n')
    with pytest.raises(ConfigError, match=r"TS-102 latin.toml: line 2 is not UTF-8"):
        TillSettings.load("latin.toml")


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "TILLSYNC_POL_MS",
            "5",
            "TS-103 environment: TILLSYNC_POL_MS is not a setting; did you mean TILLSYNC_POLL_MS?",
        ),
        (
            "TILLSYNC_POLL_MS",
            "often",
            "TS-105 environment: TILLSYNC_POLL_MS = 'often': input should be a valid integer",
        ),
        ("TILLSYNC_RELAY__DNS", "x", "TS-103 environment: TILLSYNC_RELAY__DNS is not a setting; did you mean dsn?"),
        ("TILLSYNC_SECRETS_DIR", "nowhere", "TS-106 the secrets directory nowhere is not there"),
    ],
)
def test_the_environment_is_held_to_the_same(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        TillSettings.load(write(TILL))
    assert line in str(caught.value)


def test_variables_of_others_do_not_matter(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSYNC_TEST_DSN", "x")
    monkeypatch.setenv("TILLSYNC_CRASH_AT", "x")
    TillSettings.load(write(TILL))


def test_no_secret_is_shown(write: Write) -> None:
    file = write(CENTRAL)
    settings = CentralSettings.load(file)
    assert "s3cret" not in repr(settings)
    shown = {key: value for key, value, _ in listing(CentralSettings, file)}
    assert shown["central.dsn"] == "postgresql://sync:***@hq/erp"
    assert shown["channel.0.table.0.notice.columns.1"] == "price"
    with pytest.raises(ConfigError) as caught:
        CentralSettings.load(file, central__dsn="postgresql://sync:s3cret@hq:port:x/erp?nonsense=1")
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).startswith("TS-105 command line: central.dsn: it is not a PostgreSQL connection string")


@pytest.mark.parametrize(
    ("dsn", "masked"),
    [
        ("postgresql://u:p%2Fw@h:5/d", "postgresql://u:***@h:5/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u@h/d?password=x&sslmode=require", "postgresql://u@h/d?password=***&sslmode=require"),
        ("host=h user=u password=secret dbname=d", "host=h user=u password=*** dbname=d"),
        (r"host=h password = 'a b\'c' dbname=d", "host=h password = *** dbname=d"),
    ],
)
def test_mask(dsn: str, masked: str) -> None:
    assert mask(dsn) == masked


@pytest.mark.parametrize("kind", [CentralSettings, TillSettings])
def test_the_schema_names_every_key(kind: type[Any]) -> None:
    schema = json_schema(kind)
    assert set(schema["properties"]) == set(kind.model_fields)
    assert schema["additionalProperties"] is False
    assert module.Part.model_config["extra"] == "forbid"
