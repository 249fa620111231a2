"""The compose files: what production gives its containers, where secrets are, and that nothing is open by itself."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from tests.tidy.files import ROOT

FILES = {
    name: (ROOT / "compose" / f"{name}.yaml").read_text(encoding="utf-8") for name in ("lab", "production", "till")
}


def services(name: str) -> dict[str, dict[str, Any]]:
    read = import_module("yaml").safe_load(FILES[name])
    assert isinstance(read, dict)
    return dict(read["services"])


@pytest.mark.parametrize("name", ["production", "till"])
def test_production_gives_its_containers_no_more_than_they_need(name: str) -> None:
    for service, said in services(name).items():
        assert said["read_only"] is True, service
        assert said["cap_drop"] == ["ALL"], service
        assert said["security_opt"] == ["no-new-privileges:true"], service
        assert said["restart"] == "unless-stopped", service
        assert {"pids_limit", "mem_limit", "logging"} <= set(said), service
        assert "privileged" not in said
        assert "cap_add" not in said
        assert "network_mode" not in said


@pytest.mark.parametrize("name", ["production", "till"])
def test_production_has_its_secrets_in_files(name: str) -> None:
    for service, said in services(name).items():
        for key, value in said.get("environment", {}).items():
            assert not re.search(r"PASSWORD|DSN|SECRET|TOKEN", key) or key.endswith(("_FILE", "_DIR")), (
                f"{service}: {key}"
            )
            assert "://" not in str(value), f"{service}: {key}"
    assert re.search(r"^secrets:$", FILES[name], re.MULTILINE)


@pytest.mark.parametrize("name", list(FILES))
def test_nothing_is_reached_from_outside_by_itself(name: str) -> None:
    for service, said in services(name).items():
        for port in said.get("ports", ()):
            assert port.startswith(("127.0.0.1:", "${RELAY_LISTEN:-127.0.0.1:")), f"{service}: {port}"


@pytest.mark.parametrize("name", list(FILES))
def test_every_image_can_be_another_one(name: str) -> None:
    for service, said in services(name).items():
        assert "${" in said["image"], service
        for argument in said.get("build", {}).get("args", {}).values():
            assert argument.startswith("${"), service


def test_the_pooler_is_set_up_as_the_documents_say() -> None:
    settings = (ROOT / "compose" / "pgbouncer" / "pgbouncer.ini").read_text(encoding="utf-8")
    asked = re.search(r"^auth_query = SELECT login, verifier FROM (\S+)\(\$1\)$", settings, re.MULTILINE)
    assert asked
    assert f"FUNCTION {asked[1]}(" in (ROOT / "sql" / "relay" / "pooler.sql").read_text(encoding="utf-8")
    said = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `([a-z_]+)(?: = [^`]*)?`", said, re.MULTILINE)
    assert "pool_mode" in explained
    assert [key for key in explained if not re.search(rf"^{key} = ", settings, re.MULTILINE)] == []
