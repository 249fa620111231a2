"""Dashboard and alert rules: every metric and label that they ask for is one that the service has, and they are valid."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client import CollectorRegistry

from orchestrator.report import troubles
from orchestrator.service import metrics
from tests.tidy.files import ROOT

RULES = ROOT / "monitoring" / "alerts.yml"
DASHBOARD = ROOT / "monitoring" / "tillsync-dashboard.json"
OF_PROMETHEUS = {"up": {"job", "instance"}}
ABOUT = {**metrics.OF_ROUNDS, **metrics.OF_CENTRAL, **metrics.OF_TILL}
COUNTERS = {"tillsync_rounds", "tillsync_moved", "tillsync_notifications"}
HISTOGRAMS = {"tillsync_round_duration_seconds"}


def samples() -> dict[str, set[str]]:
    """Every series that a service may have, with its labels; `instance` and `job` are Prometheus's."""
    found = dict(OF_PROMETHEUS)
    for name, about in ABOUT.items():
        labels = {"instance", "job", *about.labels}
        if name in COUNTERS:
            found[f"{name}_total"] = labels
        elif name in HISTOGRAMS:
            found |= {f"{name}_count": labels, f"{name}_sum": labels, f"{name}_bucket": labels | {"le"}}
        else:
            found[name] = labels
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$branch", ".*")


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_there(where: str, expression: str) -> None:
    known = samples()
    promql.parse(expression)  # raises for what is no PromQL
    without_texts = re.sub(r'"[^"]*"', '""', expression)
    asked = set(re.findall(r"\b(?:tillsync_\w+|up)\b", without_texts))
    assert asked, f"{where} asks for nothing"
    assert asked <= known.keys(), where
    for name, selector in re.findall(r"\b(tillsync_\w+|up)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=|!)", selector)) <= known[name], where
    grouped = {
        label for by in re.findall(r"\bby \(([^)]*)\)", without_texts) for label in by.replace(" ", "").split(",")
    }
    assert all(any(label in known[name] for name in asked) for label in grouped), where
    for state in re.findall(r'outcome="(\w+)"', expression):
        assert state in {"ok", "failed", "sent"}
    for causes in re.findall(r'cause=~"([^"]*)"', expression):
        assert set(causes.split("|")) <= set(metrics.CAUSES)


def test_the_kinds_that_are_told_apart_here_are_those_of_the_service() -> None:
    registry = CollectorRegistry()
    metrics.Rounds(registry, "central").succeeded(object())
    kinds = {family.name: family.type for family in registry.collect()}
    assert {name for name, kind in kinds.items() if kind == "counter"} == COUNTERS
    assert {name for name, kind in kinds.items() if kind == "histogram"} == HISTOGRAMS


def test_every_metric_has_a_unit_or_is_a_count_and_its_help_is_a_sentence() -> None:
    units = (
        "_seconds",
        "_bytes",
        "_ticks",
        "_changes",
        "_rows",
        "_streams",
        "_uploads",
        "_conflicts",
        "_labels",
        "_info",
        "_up",
    )
    counts = {
        "tillsync_tick",
        "tillsync_plan_version",
        "tillsync_branches",
        "tillsync_troubles",
        "tillsync_branch_open",
    }
    for name, about in ABOUT.items():
        assert name.endswith(units) or name in counts | COUNTERS, name
        assert about.help.endswith("."), name


def test_every_cause_is_a_metric_a_title_and_a_line_of_the_documentation() -> None:
    from orchestrator.core.messages import TITLES

    source = (ROOT / "orchestrator" / "report" / "troubles.py").read_text(encoding="utf-8")
    said = set(re.findall(r'Trouble\(\s*"(\w+)"', source)) | {"closure", "refused", "rounds"}
    assert said == set(metrics.CAUSES)
    assert said | {"office"} == TITLES.keys()
    assert said >= troubles.OF_REPORTS
    documented = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8").split("| cause |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", documented)) >= said


def test_alerts_say_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        for label in re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())):
            assert any(label in labels for labels in samples().values()), rule["alert"]


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip(
            "NO PROMTOOL HERE: install Debian's prometheus to have the rules checked by Prometheus itself as well"
        )
    ended = subprocess.run([promtool, "check", "rules", str(RULES)], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert f"{len(rules())} rules found" in ended.stdout


def test_the_panels_do_not_overlap() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        g = panel["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert not cells & taken, panel["title"]
        assert g["x"] + g["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
