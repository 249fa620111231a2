"""The lab as the Docker engine sees it: what runs, and what is done to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import TillsyncError, Unreachable, UsageError
from orchestrator.lab.compose import PROJECT

PROJECT_LABEL, SERVICE_LABEL = "com.docker.compose.project", "com.docker.compose.service"
LINE = "wan"
"""The network between the shops and head office."""


@dataclass(frozen=True, slots=True)
class Service:
    """One container of the lab. health: `healthy`, `unhealthy`, `starting`, or None where nothing is checked.
    is_cut_off: it was taken out of the network between shops and head office."""

    name: str
    state: str
    health: str | None
    is_cut_off: bool
    restarts: int


class Lab:
    """The lab's containers, by the names of their services."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def services(self) -> list[Service]:
        """Everything that compose made, by name."""
        found = self._client.containers.list(all=True, filters={"label": f"{PROJECT_LABEL}={PROJECT}"})
        return sorted((_service(c.attrs) for c in found), key=lambda s: s.name)

    def partition(self, service: str) -> None:
        """Takes a container off the line. What it has open there hangs: nobody tells the other end."""
        container, line = self._container(service), self._line()
        if LINE in _networks(container.attrs):
            line.disconnect(container)

    def heal(self, service: str) -> None:
        """Puts it back, under its name."""
        container, line = self._container(service), self._line()
        if LINE not in _networks(container.attrs):
            line.connect(container, aliases=[service])

    def kill(self, service: str) -> None:
        """kill -9, and started again, as a supervisor would."""
        container = self._container(service)
        if container.status == "running":
            container.kill("SIGKILL")
            container.wait()
        container.start()

    def execute(self, service: str, *command: str) -> tuple[int, str, str]:
        """Runs a command in a container; its exit code, stdout and stderr."""
        code, (out, err) = self._container(service).exec_run(list(command), demux=True)
        return int(code), (out or b"").decode(), (err or b"").decode()

    def _container(self, service: str) -> Any:
        labels = [f"{PROJECT_LABEL}={PROJECT}", f"{SERVICE_LABEL}={service}"]
        found = self._client.containers.list(all=True, filters={"label": labels})
        if not found:
            known = ", ".join(s.name for s in self.services())
            hint = f"it has {known}" if known else "start it with `tillsync lab up`"
            raise UsageError("TS-903", f"the lab has no {service}", hint=hint)
        return found[0]

    def _line(self) -> Any:
        labels = [f"{PROJECT_LABEL}={PROJECT}", f"com.docker.compose.network={LINE}"]
        return self._client.networks.list(filters={"label": labels})[0]


@contextmanager
def opened() -> Iterator[Lab]:
    """The lab on the engine that DOCKER_HOST names, or this machine's. Raises TS-900 without the SDK or the engine."""
    try:
        import docker
    except ImportError:
        raise TillsyncError(
            "TS-900", "the Docker SDK is not installed", hint="pip install 'tillsync[docker]'"
        ) from None
    try:
        client = docker.from_env()
        client.ping()
    except (docker.errors.DockerException, OSError) as e:
        raise Unreachable("TS-900", f"no Docker engine answers: {e}", hint="start it, or name it in DOCKER_HOST") from e
    try:
        yield Lab(client)
    except docker.errors.APIError as e:
        raise TillsyncError("TS-902", f"the engine refuses: {e.explanation}", hint="see `tillsync lab status`") from e
    finally:
        client.close()


def _service(attributes: dict[str, Any]) -> Service:
    state, labels = attributes["State"], attributes["Config"]["Labels"]
    declared = attributes["HostConfig"]["NetworkMode"].removeprefix(f"{PROJECT}_")
    return Service(
        name=labels[SERVICE_LABEL],
        state=state["Status"],
        health=state.get("Health", {}).get("Status"),
        is_cut_off=declared == LINE and LINE not in _networks(attributes),
        restarts=int(attributes["RestartCount"]),
    )


def _networks(attributes: dict[str, Any]) -> set[str]:
    return {name.removeprefix(f"{PROJECT}_") for name in attributes["NetworkSettings"]["Networks"]}
