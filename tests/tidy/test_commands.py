"""The commands: each has an example in its help and a place in docs/commands.md, and the command line starts quickly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from orchestrator.cli import main
from tests.tidy.files import ROOT

DOCUMENT = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
READS = {
    *(
        "config check",
        "config show",
        "branch list",
        "status",
        "check",
        "verify",
        "sync central",
        "sync till",
        "demo",
        "explain",
        "notices list",
        "labels",
        "backup",
    ),
    *(f"bench {what}" for what in ("down", "up", "capture", "latency", "locks", "chain", "memory")),
    "reload",
    "service install",
    "service uninstall",
    "notify test",
    "conflicts list",
    "conflicts show",
    "parked list",
}
WRITES = {
    "service install",
    "service uninstall",
    *(f"{verb} {side}" for verb in ("install", "uninstall") for side in ("central", "relay", "till")),
    "repair-triggers",
    "notices ack",
    "labels",
    "backup",
    "restore",
    "config apply",
    "conflicts restore",
    "conflicts close",
    "parked retry",
    "parked drop",
    *(f"branch {verb}" for verb in ("add", "set", "rotate", "rejoin", "retire")),
    "reload",
}
TOO_HEAVY = {"psycopg", "pydantic", "sqlglot", "apscheduler", "apsw", "rich.console", "structlog", "msgspec"}


def commands() -> list[tuple[str, Any]]:
    """(words, command) of everything that can be run."""
    group: Any = typer.main.get_command(main.app)
    found = []
    for name in main.COMMANDS:
        command = group.get_command(None, name)
        below = getattr(command, "commands", None)
        found += [(name, command)] if below is None else [(f"{name} {verb}", one) for verb, one in below.items()]
    return found


@pytest.mark.parametrize(("words", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_says_what_it_does_and_shows_how(words: str, command: Any) -> None:
    assert "Examples:" in command.help
    assert f"tillsync {words}" in command.help.split("Examples:")[1], "an example of another command"
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--verbose" in options
    if words in READS:
        assert "--json" in options
    if words in WRITES:
        assert "--dry-run" in options
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{parameter.name} is not explained"


def test_the_documentation_has_every_command_with_an_example() -> None:
    documented = re.findall(r"^### tillsync (.+)$", DOCUMENT, re.MULTILINE)
    assert sorted(documented) == sorted(words for words, _ in commands())
    for words in documented:
        part = DOCUMENT.split(f"### tillsync {words}\n")[1].split("\n##")[0]
        assert f"\n    tillsync {words}" in part, f"{words} has no example"


def test_documented_options_are_there() -> None:
    known = {words: {o for p in command.params for o in p.opts} for words, command in commands()}
    for line in DOCUMENT.splitlines():
        if line.startswith("    tillsync "):
            words = max((w for w in known if line.startswith(f"    tillsync {w}")), key=len)
            used = set(re.findall(r"(?<=\s)(--?[a-z][a-z-]*)", line.split(" | ")[0]))
            assert used <= known[words], line


def test_the_command_line_starts_without_the_heavy_parts() -> None:
    code = "import sys, orchestrator.cli.main, orchestrator.cli.options; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert TOO_HEAVY & set(ended.stdout.split()) == set()


def test_the_shell_can_complete() -> None:
    environment = {
        **os.environ,
        "_TILLSYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": "tillsync branch ",
        "COMP_CWORD": "2",
    }
    command = [sys.executable, "-m", "orchestrator.cli.main"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert ended.stdout.split() == ["add", "list", "set", "rotate", "rejoin", "retire"]
