"""The service as a unit of systemd, and a till's on Windows as far as another system can tell."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import apsw
import pytest

from orchestrator.service import windows
from orchestrator.service.manager import of_environment
from tests.integration.cli.place import TILLSYNC, Place
from tests.integration.cli.test_service import running, stopped, until

EXPOSURE_MAX = 20
"""Of 100; systemd calls up to 40 well protected. A till's service has an account of its own and writes one directory."""


@pytest.fixture
def till_toml(tmp_path: Path) -> Path:
    (tmp_path / "shop 7").mkdir()
    file = tmp_path / "shop 7" / "till.toml"
    file.write_text('node = "T7"\n[relay]\ndsn = "postgresql://t7@relay/db"\n[till]\ndatabase = "pos.db"\n')
    (tmp_path / "shop 7" / "pos.db").touch()
    return file


@pytest.fixture
def units(tmp_path: Path, place: Place, till_toml: Path) -> dict[str, Path]:
    """Both units, installed into a directory of the test's."""
    place.write_settings()
    target = tmp_path / "units"
    target.mkdir()
    for side, config in (("central", place.settings), ("till", till_toml)):
        place.does("service", "install", side, "-c", str(config), "--directory", str(target))
    return {"central": target / "tillsync-central.service", "till": target / "tillsync-T7.service"}


def test_units_are_installed_again_and_taken_away(place: Place, units: dict[str, Path], till_toml: Path) -> None:
    directory = str(units["till"].parent)
    shown = place.does("service", "install", "till", "-c", str(till_toml), "--directory", directory, "--dry-run").out
    assert shown.strip() == units["till"].read_text().strip()
    assert f"User={getpass.getuser()}" in shown
    assert f'ExecStart={TILLSYNC} run till -c "{till_toml}"' in shown
    assert f'ReadWritePaths="{till_toml.parent}"' in shown
    assert "DynamicUser=yes" in units["central"].read_text()
    assert "$" not in re.sub(r"\$MAINPID", "", units["central"].read_text() + shown)
    place.does("service", "install", "till", "-c", str(till_toml), "--directory", directory)
    place.does("service", "uninstall", "till", "-c", str(till_toml), "--directory", directory)
    assert not units["till"].exists()
    assert (
        "nothing to do"
        in place.does("service", "uninstall", "till", "-c", str(till_toml), "--directory", directory).out
    )


def test_what_is_not_ours_stays(place: Place, units: dict[str, Path], till_toml: Path, tmp_path: Path) -> None:
    units["till"].write_text("[Unit]\nDescription=somebody's\n")
    install = ("service", "install", "till", "-c", str(till_toml))
    place.command(*install, "--directory", str(units["till"].parent)).said(2, "TS-844")
    assert "somebody's" in units["till"].read_text()
    place.command(*install, "--directory", str(tmp_path / "nowhere")).said(2, "TS-843")
    (tmp_path / 'a"b').mkdir()
    odd = tmp_path / 'a"b' / "till.toml"
    odd.write_text(till_toml.read_text())
    place.command("service", "install", "till", "-c", str(odd), "--dry-run").said(2, "TS-846")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NO SYSTEMD-ANALYZE HERE: the units are not verified"
)
def test_systemd_takes_the_units_and_calls_them_protected(units: dict[str, Path]) -> None:
    if getpass.getuser() == "nobody":
        del units["till"]  # systemd warns of that account, whatever else the unit says
    for unit in units.values():
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        ours = [line for line in verified.stderr.splitlines() if unit.name in line]
        assert ours == [], verified.stderr
        judged = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(unit)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert judged.returncode == 0, judged.stdout


def test_the_manager_hears_when_it_is_ready_alive_reloads_and_stops(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """systemd's side of it is a socket; SIGHUP reads the settings anew, wrong ones are said and left alone."""
    place.install("T1")
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")

        def hears(word: str) -> str:
            while word not in (said := manager.recv(4096).decode()):
                pass
            return said

        with running(place, "run", "central") as service:
            hears("READY=1")
            hears("WATCHDOG=1")
            place.write_settings(("poll_ms = 50", "poll_ms = 70"))
            service.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in hears("RELOADING=1")
            hears("READY=1")
            place.settings.write_text("poll_ms = 'soon'")
            service.send_signal(signal.SIGHUP)
            hears("RELOADING=1")
            hears("READY=1")
            log = stopped(service)
            hears("STOPPING=1")
    assert [line["poll_ms"] for line in log if line["event"] == "started"] == [50, 70, 70]
    said = [line for line in log if line["event"].startswith("settings are")]
    assert [line["event"] for line in said] == ["settings are read anew", "settings are not read anew"]
    assert len({line["run"] for line in log if "run" in line}) == 1


def test_another_process_watchdog_is_not_ours(tmp_path: Path) -> None:
    given = {"NOTIFY_SOCKET": "@tillsync", "WATCHDOG_USEC": "3000000"}
    assert of_environment({**given, "WATCHDOG_PID": str(os.getpid())}).watchdog_seconds == 3
    assert of_environment({**given, "WATCHDOG_PID": "1"}).watchdog_seconds == 0
    assert of_environment({"WATCHDOG_USEC": "x"}).watchdog_seconds == 0
    of_environment({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("a manager that does not listen")


class Framework:
    """What pywin32's ServiceFramework does that a service rests on."""

    def __init__(self, args: Any) -> None:
        self.reported: list[int] = []

    def ReportServiceStatus(self, status: int) -> None:
        self.reported.append(status)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for the two modules of pywin32's that are used, and for the registry behind them."""
    kept: dict[str, Any] = {}
    util, service = ModuleType("win32serviceutil"), ModuleType("win32service")
    service.SERVICE_AUTO_START, service.SERVICE_STOP_PENDING = 2, 3  # type: ignore[attr-defined]
    calls: dict[str, Callable[..., Any]] = {
        "InstallService": lambda kind, name, shown, **given: kept.update({name: kind, "start": given["startType"]}),
        "SetServiceCustomOption": lambda name, option, value: kept.update({f"{name}/{option}": value}),
        "GetServiceCustomOption": lambda name, option: kept[f"{name}/{option}"],
        "StartService": lambda name: kept.update(started=name),
        "StopService": lambda name: kept.pop("started"),
        "RemoveService": lambda name: kept.pop(name),
    }
    for name, call in calls.items():
        setattr(util, name, call)
    monkeypatch.setitem(sys.modules, "win32serviceutil", util)
    monkeypatch.setitem(sys.modules, "win32service", service)
    return kept


def items(database: Path) -> int:
    """Counted with the library that the service in this process has: two of them in one process undo each other's locks."""
    with closing(apsw.Connection(str(database))) as db:
        db.set_busy_timeout(5_000)
        return int(db.execute("SELECT count(*) FROM item").get)


def test_a_tills_service_on_windows_runs_and_ends(
    place: Place, registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but Windows itself: the same rounds, in a thread that is not the first, ended by an event."""
    place.install("T1")
    config = place.directory / "T1" / "till.toml"
    windows.install("T1", config)
    assert registry["Tillsync-T1"] == windows.CLASS
    assert registry["started"] == "Tillsync-T1"
    kind = type("Service", (windows.TillService,), {"__init__": windows.TillService.__init__})
    monkeypatch.setattr(windows._Base, "__init__", Framework.__init__)
    monkeypatch.setattr(windows._Base, "ReportServiceStatus", Framework.ReportServiceStatus, raising=False)
    service = kind(["Tillsync-T1"])
    thread = threading.Thread(target=service.SvcDoRun)
    thread.start()
    with running(place, "run", "central"):
        until(lambda: items(place.directory / "T1" / "pos.db") == 2)
    begun = time.monotonic()
    service.SvcStop()
    thread.join(10)
    assert not thread.is_alive()
    assert time.monotonic() - begun < 5
    assert service.reported == [3]
    assert '"started"' in config.with_suffix(".log").read_text()
    windows.uninstall("T1")
    assert "Tillsync-T1" not in registry


def test_without_pywin32_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "win32serviceutil", None)
    with pytest.raises(Exception, match="TS-847"):
        windows.install("T1", Path("till.toml"))
