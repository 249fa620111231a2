"""The project's files, for the tests that read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("orchestrator", "sql", "triggers", "tests", "tools", "docs", "compose", "monitoring", ".ci")
TEXT = {".py", ".sql", ".md", ".toml", ".template", ".sh", ".lock", ".yml", ".yaml", ".service", ".conf", ".txt"}


def text_files() -> Iterator[Path]:
    """Everything that a person wrote: code, SQL, documents, settings."""
    for path in ROOT.iterdir():
        if path.is_file() and (path.suffix in TEXT or path.name in {"Makefile", "LICENSE", ".gitignore"}):
            yield path
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and (path.suffix in TEXT or not path.suffix) and "__pycache__" not in path.parts:
                yield path


def python_files(*folders: str) -> Iterator[Path]:
    """The Python files below `folders`."""
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def name(path: Path) -> str:
    """The path as it is written in a message."""
    return path.relative_to(ROOT).as_posix()
