"""Style as tests: sizes, docstrings, SQL in its own files, nothing of the machine on which a line was written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.files import ROOT, name, python_files, text_files

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 60
SQL_LINES_MAX = 3
SELF_SAYING_LINES_MAX = 8

SOMEBODYS_MACHINE = re.compile(r"(?<![\w.])/(?:root|home|Users|work)/\w|[A-Z]:\\Users\\")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK|WIP)\b")
SQL = re.compile(r"^\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|MERGE)\b", re.IGNORECASE)
SHORT_NAMES = {"src", "dst", "tmp", "foo", "bar"}


def parsed(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in python_files(*folders):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_files_fit_the_mind() -> None:
    long = {
        name(path): lines
        for path in python_files("orchestrator")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX
    }
    assert not long, f"over {FILE_LINES_MAX} lines: split them"


def test_functions_fit_a_screen() -> None:
    long = [
        f"{name(path)}: {node.name}"
        for path, tree in parsed("orchestrator")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long, f"over {FUNCTION_LINES_MAX} lines: split them"


def says_itself(node: ast.AST) -> bool:
    """Is it so short that its name and its body are the documentation?"""
    return (
        isinstance(node, ast.FunctionDef | ast.ClassDef)
        and (node.end_lineno or 0) - node.lineno < SELF_SAYING_LINES_MAX
    )


def test_every_module_class_and_public_function_says_what_it_is() -> None:
    silent = [
        f"{name(path)}: {getattr(node, 'name', 'module')}"
        for path, tree in parsed("orchestrator")
        for node in (tree, *tree.body)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and not getattr(node, "name", "").startswith("_")
        and ast.get_docstring(node) is None
        and path.stat().st_size > 0
        and not says_itself(node)
    ]
    assert not silent


def test_sql_lives_in_its_own_files() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path, tree in parsed("orchestrator")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SQL.match(node.value)
        and (node.value.count("\n") >= SQL_LINES_MAX or (node.end_lineno or 0) - node.lineno >= SQL_LINES_MAX)
    ]
    assert not found, f"SQL longer than {SQL_LINES_MAX} lines belongs to sql/ or triggers/"


def test_sql_files_say_what_they_are_for() -> None:
    silent = [
        name(path)
        for folder in ("sql", "triggers")
        for path in (ROOT / folder).rglob("*.sql")
        if not path.read_text(encoding="utf-8").lstrip().startswith(("--", "/*"))
    ]
    assert not silent


def test_names_are_words() -> None:
    found = {
        f"{name(path)}: {node.id}"
        for path, tree in parsed("orchestrator")
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in SHORT_NAMES
    }
    assert not found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [(SOMEBODYS_MACHINE, "a path of somebody's machine"), (UNFINISHED, "an unfinished thing belongs in an issue")],
)
def test_no_line_has(pattern: re.Pattern[str], why: str) -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, why


def test_text_files_are_clean() -> None:
    for path in text_files():
        text = path.read_text(encoding="utf-8")
        assert "\r" not in text, f"{name(path)} has Windows line ends"
        assert not text or text.endswith("\n"), f"{name(path)} has no line end at its end"
        untidy = [number for number, line in enumerate(text.splitlines(), 1) if line != line.rstrip()]
        assert not untidy, f"{name(path)} has white space at the end of lines {untidy[:5]}"


def test_the_lock_pins_all_and_names_no_place() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    packages = [line for line in lock.splitlines() if line and not line.startswith(("#", " "))]
    assert len(packages) > 30
    assert all("==" in line for line in packages)
    assert lock.count("--hash=sha256:") >= len(packages)
