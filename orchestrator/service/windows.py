"""A till's service under Windows' service manager, which needs `pywin32` (`pip install 'tillsync[windows]'`).

Windows starts a process of pywin32's own, `pythonservice.exe`, which imports `TillService` from here. Its settings are
named in the registry, with the service. Logs go to the file beside the settings, since a service has no stderr.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError

OPTION = "settings"
CLASS = "orchestrator.service.windows.TillService"


def modules() -> Any:
    """pywin32's module for services. Raises ConfigError TS-847 where it is not installed."""
    try:
        return import_module("win32serviceutil")
    except ImportError:
        raise ConfigError(
            "TS-847", "services of Windows need pywin32", hint="pip install 'tillsync[windows]'"
        ) from None


def name_of(node: str) -> str:
    return f"Tillsync-{node}"


def install(node: str, config: Path) -> list[str]:
    """Makes the service, which Windows starts with the machine and again when it ends by itself, and starts it."""
    util, service = modules(), import_module("win32service")
    name = name_of(node)
    util.InstallService(
        CLASS,
        name,
        f"Tillsync, till {node}",
        startType=service.SERVICE_AUTO_START,
        description="Keeps this till in step with head office",
    )
    util.SetServiceCustomOption(name, OPTION, str(config.absolute()))
    util.StartService(name)
    return [f"service {name} is installed and started"]


def uninstall(node: str) -> list[str]:
    """Stops the service and takes it away."""
    util = modules()
    name = name_of(node)
    util.StopService(name)
    util.RemoveService(name)
    return [f"service {name} is removed"]


class _Base:
    """What stands for pywin32's class where there is none, so that this file can be read everywhere."""

    def __init__(self, args: Any) -> None:
        modules()


def _base() -> Any:
    return import_module("win32serviceutil").ServiceFramework if sys.platform == "win32" else _Base


class TillService(_base()):  # type: ignore[misc]  # its base is Windows'
    """What Windows starts, stops, and asks to read its settings anew."""

    _svc_name_ = "Tillsync"
    _svc_display_name_ = "Tillsync, till"

    def __init__(self, args: Any) -> None:
        super().__init__(args)
        self._name = args[0]
        self._stopping = threading.Event()

    def SvcStop(self) -> None:
        """The manager wants it to end: rounds end as they do at SIGTERM."""
        self.ReportServiceStatus(import_module("win32service").SERVICE_STOP_PENDING)
        self._stopping.set()

    SvcShutdown = SvcStop

    def SvcDoRun(self) -> None:
        """Runs until it is stopped; a fault ends it, and Windows does with it what its recovery says."""
        config = Path(modules().GetServiceCustomOption(self._name, OPTION))
        run(config, self._stopping)


def run(config: Path, stopping: threading.Event) -> None:
    """The service of the till whose settings these are, until `stopping`."""
    from orchestrator.service import running
    from orchestrator.settings import TillSettings

    with config.with_suffix(".log").open("a", encoding="utf-8", buffering=1) as log:
        running.run(lambda: running.till(TillSettings.load(config)), stopping=stopping, stream=log)
