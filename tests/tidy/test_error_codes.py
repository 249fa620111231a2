"""Error codes: every error has one, and docs/errors.md explains each."""

from __future__ import annotations

import ast
import re

from tests.tidy.files import ROOT, name, python_files

CODE = re.compile(r"TS-\d{3}")
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


def raised() -> set[str]:
    """Every code that the program can say."""
    return {
        node.value
        for path in python_files("orchestrator")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }


def test_an_error_is_made_with_a_code() -> None:
    for path in python_files("orchestrator"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    assert CODE.fullmatch(str(first.value)), f"{name(path)}:{node.lineno}"


def test_every_code_is_explained_once_and_only_real_ones_are() -> None:
    explained = re.findall(
        r"^\| (TS-\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(explained) == len(set(explained))
    assert sorted(raised() - set(explained)) == [], "docs/errors.md does not explain these"
    assert sorted(set(explained) - raised()) == [], "nobody says these any more: strike them from docs/errors.md"
