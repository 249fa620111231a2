"""The leaves: errors, assets, world, log."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator import assets, errors, log
from orchestrator.core.world import KILLED, real_world


def test_an_error_is_one_line_with_code_and_hint() -> None:
    error = errors.ConfigError("TS-100", "a.toml:\n  no   such key", hint="did you\nmean b?")
    assert str(error) == "TS-100 a.toml: no such key; did you mean b?"
    assert str(errors.Busy("TS-100", "held")) == "TS-100 held"


@pytest.mark.parametrize(
    ("kind", "exit_code", "retry"),
    [
        (errors.TillsyncError, 1, False),
        (errors.UsageError, 2, False),
        (errors.ConfigError, 2, False),
        (errors.Findings, 3, False),
        (errors.Unreachable, 4, True),
        (errors.Busy, 5, False),
        (errors.PersonMustDecide, 6, False),
        (errors.RowFault, 1, False),
    ],
)
def test_an_error_knows_its_exit_code(kind: type[errors.TillsyncError], exit_code: int, retry: bool) -> None:
    error = pickle.loads(pickle.dumps(kind("TS-100", "message", hint="hint")))
    assert (type(error), error.exit_code, error.retry) == (kind, exit_code, retry)
    assert str(error) == "TS-100 message; hint"


def test_query_blocks_are_cut_out_without_their_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sql" / "house").mkdir(parents=True)
    (tmp_path / "sql" / "house" / "queries.sql").write_text(
        "-- About all of them.\n\n-- name: one\n-- Purpose.\nSELECT 1;\n\n-- name: two\nSELECT 2;\n"
    )
    monkeypatch.setattr(assets, "root", lambda: tmp_path)
    assert assets.query("house.one") == "SELECT 1;"
    assert assets.query("house.two") == "SELECT 2;"
    with pytest.raises(KeyError, match="-- name: three"):
        assets.query("house.three")


def test_assets_of_this_checkout() -> None:
    assert assets.path("sql/retail").is_dir()
    assert assets.text("sql/retail/central.sql")


def test_the_real_world() -> None:
    world = real_world()
    assert world.now().utcoffset() == timedelta(0)
    assert all(1 <= world.random63() < 2**63 for _ in range(1000))
    before = world.monotonic()
    world.sleep(0.001)
    assert world.monotonic() > before
    world.crash("anywhere")


@pytest.mark.parametrize(("skip", "printed"), [("0", []), ("2", ["0", "1"])])
def test_the_world_ends_at_the_named_point(skip: str, printed: list[str]) -> None:
    code = """
from orchestrator.core.world import real_world
world = real_world()
for i in range(9):
    world.crash("other")
    world.crash("here")
    print(i, flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={"TILLSYNC_CRASH_AT": "here", "TILLSYNC_CRASH_SKIP": skip},
    )
    assert (ended.returncode, ended.stdout.split()) == (KILLED, printed)


def test_logs_are_json_unless_a_person_looks() -> None:
    out = io.StringIO()
    log.configure(level="warning", stream=out)
    logger = log.logger("central.publish")
    logger.info("quiet")
    try:
        raise errors.Busy("TS-100", "held")
    except errors.Busy:
        logger.exception("failed", tick=7)
    (line,) = out.getvalue().splitlines()
    record = json.loads(line)
    assert (record["event"], record["part"], record["tick"], record["level"]) == (
        "failed",
        "central.publish",
        7,
        "error",
    )
    assert "TS-100 held" in record["exception"]


def test_a_log_line_has_no_password_and_the_labels_of_what_it_is_about() -> None:
    out = io.StringIO()
    log.configure(stream=out, form="json")
    logger = log.logger("central")
    with log.bound(branch="T1", tick=7):
        logger.info("lost", error="postgresql://hq:s3cr3t@relay/x and password='s3 cr3t' or https://a:s3cr3t@hook/")
    logger.info("after")
    log.configure(level="warning", stream=sys.stderr)
    first, last = map(json.loads, out.getvalue().splitlines())
    assert "cr3t" not in out.getvalue()
    assert (first["branch"], first["tick"], "branch" in last) == ("T1", 7, False)
    assert "postgresql://hq:***@relay/x" in first["error"]


def test_the_settings_say_how_lines_look() -> None:
    for form, is_json in (("json", True), ("pretty", False), ("auto", True)):
        out = io.StringIO()
        log.configure(stream=out, form=form)  # type: ignore[arg-type]
        log.logger("x").info("said")
        assert out.getvalue().startswith("{") == is_json, form
    log.configure(level="warning", stream=sys.stderr)
