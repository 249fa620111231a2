"""The lab on a real Docker engine: up, sync, partition, heal, kill, reconcile, down."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.lab.compose import program
from tests.acceptance.docker_engine import checkout, engine, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

DAYS, DAY_SECONDS = 4, 6
WAIT_SECONDS = 600
SETTINGS = "/etc/tillsync/tillsync.toml"


SECRETS = {
    "relay_superuser": "superuser\n",
    "pooler_users": '"tillsync_pooler" "pooler"\n',
    "central__dsn": "postgresql://postgres:superuser@relay-db/erp",
    "relay__dsn": "postgresql://hq:hq-password@pooler:6432/tillsync",
}
PLAN = """
[parameters]
store_id = "integer"
[[channel]]
name = "catalogue"
direction = "down"
[[channel.table]]
name = "item"
filter = "store_id = :store_id"
"""


@dataclass(frozen=True)
class Lab:
    """The lab's commands, and the engine's own for what the lab has no command for."""

    environment: dict[str, str]
    source: Path

    def command(self, *arguments: str) -> str:
        return run([sys.executable, "-m", "orchestrator.cli.main", "lab", *arguments], self.environment, self.source)

    def docker(self, *arguments: str) -> str:
        return run(["docker", *arguments], self.environment)

    def container(self, service: str) -> str:
        labels = ("com.docker.compose.project=tillsync-lab", f"com.docker.compose.service={service}")
        return self.docker("ps", "-aq", *(f"--filter=label={label}" for label in labels)).strip()

    def inside(self, service: str, *command: str) -> str:
        return self.docker("exec", self.container(service), *command)

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.command("status", "--json")))

    def service(self, name: str) -> dict[str, Any]:
        (found,) = (s for s in self.status()["services"] if s["name"] == name)
        return dict(found)

    def wait(self, what: str, there: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while not there():
            assert time.monotonic() < until, f"{what}: {self.status()}"
            time.sleep(2)

    def closures(self) -> dict[str, int]:
        """Till -> closures at head office."""
        query = "SELECT till, count(*) FROM closure GROUP BY till"
        told = self.inside("hq-db", "psql", "-U", "postgres", "-d", "erp", "-At", "-F", "=", "-c", query)
        return {line.split("=")[0]: int(line.split("=")[1]) for line in told.split()}

    def days_of(self, till: int) -> int:
        return self.docker("logs", self.container(f"pos{till}")).count("closed")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip("docker", reason="NO LAB HERE: the Docker SDK is not installed")
    with engine() as environment:
        made = Lab(environment, checkout(tmp_path_factory.mktemp("checkout")))
        made.command("up", "--days", str(DAYS), "--day-seconds", str(DAY_SECONDS))
        try:
            yield made
        finally:
            made.command("down")


def test_a_chain_in_containers_lives_through_a_partition_and_kills_and_reconciles(lab: Lab) -> None:
    agents = ("central", "t1", "t2", "t3")
    lab.wait("the agents are healthy", lambda: all(lab.service(name)["health"] == "healthy" for name in agents))
    lab.wait("the tills opened", lambda: all(lab.days_of(till) > 0 for till in (1, 2, 3)))
    lab.wait("closures came up", lambda: len(lab.closures()) == 3)

    lab.command("partition", "t1")
    assert lab.service("t1")["is_cut_off"]
    before = lab.closures()["T1"]
    lab.wait("a till without a line goes on selling", lambda: lab.days_of(1) == DAYS)
    lab.command("kill", "central")
    lab.command("kill", "relay")
    lab.command("kill", "t2")
    lab.wait("the others are served meanwhile", lambda: lab.closures()["T2"] == lab.closures()["T3"] == DAYS)
    assert lab.closures()["T1"] <= before + 1, "it was cut off"

    lab.command("heal", "t1")
    lab.wait("all came home", lambda: lab.closures() == {"T1": DAYS, "T2": DAYS, "T3": DAYS})
    lab.wait("nothing is on its way", lambda: lab.status()["on_the_way"] == {})
    proofs = json.loads(lab.command("prove", "--json"))["proofs"]
    assert len(proofs) >= 9
    assert [p for p in proofs if p["failures"]] == []
    told = lab.inside("central", "tillsync", "reconcile", "-c", SETTINGS, "--json")
    assert json.loads(told)["equal"] is True


def test_the_lab_has_no_secret_of_anybodys_and_little_right(lab: Lab) -> None:
    (seen,) = json.loads(lab.docker("inspect", lab.container("t3")))
    assert seen["Config"]["User"] == "tillsync"
    assert seen["HostConfig"]["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in seen["HostConfig"]["SecurityOpt"]
    assert lab.inside("t3", "id", "-u").strip() == "10001"
    targets = json.loads(
        lab.inside(
            "central",
            "python3",
            "-c",
            "import urllib.request as u; print(u.urlopen('http://prometheus:9090/api/v1/targets').read().decode())",
        )
    )["data"]["activeTargets"]
    assert {t["labels"]["instance"]: t["health"] for t in targets} == {
        "central:9470": "up",
        "t1:9470": "up",
        "t2:9470": "up",
        "t3:9470": "up",
    }


def test_the_production_files_come_up_with_read_only_roots(lab: Lab, tmp_path: Path) -> None:
    """As docs/deployment.md begins, on the images that the lab built; head office's database is the relay's server's."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, text in SECRETS.items():
        (secrets / name).write_text(text, encoding="utf-8")
    (tmp_path / "tillsync.toml").write_text(PLAN, encoding="utf-8")
    images = {f"{n}_IMAGE": f"tillsync-lab/{n.lower()}" for n in ("POSTGRES", "PGBOUNCER")}
    given = {**images, "TILLSYNC_IMAGE": "tillsync-lab/agent", "SECRETS_DIR": str(secrets)}
    environment = {
        **lab.environment,
        **given,
        "SETTINGS": str(tmp_path / "tillsync.toml"),
        "RELAY_LISTEN": "127.0.0.1:0",
    }

    def compose(*words: str) -> str:
        file = str(lab.source / "compose" / "production.yaml")
        return run([*program(), "-p", "tillsync-production", "-f", file, *words], environment)

    def sql(database: str, text: str) -> str:
        return compose("exec", "-T", "relay-db", "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text)

    def tillsync(*words: str) -> str:
        return compose("run", "--rm", "-T", "central", *words, "-c", SETTINGS)

    try:
        compose("up", "-d", "--no-build", "relay-db", "pooler")
        sql("postgres", "CREATE DATABASE erp")
        sql("erp", "CREATE TABLE item (id int PRIMARY KEY, store_id int, name text)")
        tillsync("install", "relay", "--admin-dsn", "postgresql://postgres:superuser@relay-db/tillsync")
        sql("tillsync", (lab.source / "sql" / "relay" / "pooler.sql").read_text(encoding="utf-8"))
        sql("tillsync", "ALTER ROLE tillsync_pooler PASSWORD 'pooler'")
        tillsync("install", "central")
        assert "user=till_" in tillsync("branch", "add", "T1", "--set", "store_id=1")
        compose("up", "-d", "--no-build", "central")
        central = compose("ps", "-q", "central").strip()

        def health() -> str:
            return lab.docker("inspect", "-f", "{{.State.Health.Status}}", central).strip()

        lab.wait("head office's agent is healthy", lambda: health() == "healthy")
        assert lab.docker("inspect", "-f", "{{.HostConfig.ReadonlyRootfs}}", central).strip() == "true"
        assert "hq-password" not in lab.docker("inspect", central)
        status = json.loads(compose("exec", "-T", "central", "tillsync", "status", "-c", SETTINGS, "--json"))
        assert [b["node"] for b in status["branches"]] == ["T1"]
    finally:
        compose("down", "--volumes")
