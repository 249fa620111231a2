"""The documents keep up with the program: every setting is in docs/settings.md, every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orchestrator.settings import CentralSettings, Common, TillSettings, json_schema
from tests.tidy.files import ROOT, name, text_files


def keys(kind: type[Common]) -> Iterator[str]:
    schema = json_schema(kind)
    yield from schema["properties"]
    for part in schema["$defs"].values():
        yield from part.get("properties", ())


@pytest.mark.parametrize("kind", [CentralSettings, TillSettings])
def test_every_setting_is_explained(kind: type[Common]) -> None:
    said = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [key for key in keys(kind) if not re.search(rf"\b{key}\b", said)] == []


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{name(path)}: {target}"
        for path in text_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []
