"""Error codes: each in its own hundred, raised where it belongs, and explained in docs/errors.md."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.tidy.files import ROOT, name, python_files

CODE = re.compile(r"TS-(\d)\d\d")
ERRORS = {
    "TillsyncError",
    "UsageError",
    "ConfigError",
    "Findings",
    "Unreachable",
    "Busy",
    "PersonMustDecide",
    "RowFault",
}


def raised() -> dict[str, set[Path]]:
    """Every code that the program can say, with the files that say it."""
    codes: dict[str, set[Path]] = defaultdict(set)
    for path in python_files("orchestrator"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                codes[node.value].add(path)
    return codes


def test_an_error_is_made_with_a_code() -> None:
    for path in python_files("orchestrator"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    assert CODE.fullmatch(str(first.value)), f"{name(path)}:{node.lineno}"


def test_a_code_is_said_by_one_part_of_the_program() -> None:
    for code, paths in raised().items():
        parts = {path.relative_to(ROOT / "orchestrator").parts[0].removesuffix(".py").split("_")[0] for path in paths}
        assert len(parts) == 1, f"{code} is said by {sorted(parts)}: two meanings need two codes"


def test_every_code_is_explained_once_and_only_real_ones_are() -> None:
    explained = re.findall(
        r"^\| (TS-\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(explained) == len(set(explained))
    assert sorted(explained) == sorted(raised())
