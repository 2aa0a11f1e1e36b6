"""docker-compose.yml without Docker: every service's command as a process, in the order and by the health checks that
the file says, with its environment, its volumes and its mounted files. What has to be another (paths, hosts, ports) is
one table, `Stack.elsewhere`. Not a compose of its own: it knows what this one file uses, and refuses the rest.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.guard import Guard
from tests.journey.web_servers import nginx_user
from tests.ports import free_port
from tests.rabbitmq_node import RabbitNode, RabbitNodeError

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
PATHS = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
HANG = 60.0
KNOWN = {
    *("build", "command", "depends_on", "environment", "healthcheck", "hostname", "image", "init", "ports"),
    *("stop_grace_period", "user", "volumes"),
}


@dataclass(frozen=True)
class Service:
    """A service as the file has it."""

    name: str
    command: Sequence[str]
    image: str
    user: str | None = None
    depends_on: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Mapping[str, Any] | None = None
    ports: Sequence[str] = ()
    volumes: Sequence[str] = ()

    @property
    def mounts(self) -> dict[str, str]:
        """What is mounted, by where it is mounted."""
        return {volume.split(":")[1]: volume.split(":")[0] for volume in self.volumes}


def services() -> dict[str, Service]:
    """Return the file's services."""
    described = YAML(typ="safe").load(COMPOSE)["services"]
    found = {}
    for name, keys in described.items():
        assert set(keys) <= KNOWN, f"{name}: nothing tests {set(keys) - KNOWN}"
        wanted = {key: value for key, value in keys.items() if key in Service.__dataclass_fields__}
        found[name] = Service(name, **wanted)
    return found


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last_stage() -> list[tuple[str, str]]:
    """Return the instructions of the image that runs."""
    every = instructions()
    return every[max(at for at, (word, _) in enumerate(every) if word == "FROM") :]


class Stack:
    """The services as processes, in a directory that stands for the containers' file systems."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._guard = Guard(root)
        self.services = services()
        self.web, self._downstream = free_port(), free_port()
        self._node = RabbitNode(self.services["rabbitmq"].environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.elsewhere = {
            "/run/bridge": f"{root}/run/bridge",
            "/data/": f"{root}/data/",
            "/app/": f"{root}/app/",
            "/tmp/": f"{root}/tmp/",
            "@rabbitmq/": f"@127.0.0.1:{self._node.port}/",
            "http://nginx:8081/": f"http://127.0.0.1:{self._downstream}/",
            "http://127.0.0.1:8080/": f"http://127.0.0.1:{self.web}/",
            "listen 8080;": f"listen 127.0.0.1:{self.web};",
            "listen 8081;": f"listen 127.0.0.1:{self._downstream};",
        }
        self.moved: set[str] = set()
        """What of `elsewhere` was met."""

    def up(self) -> None:
        """Do what `docker compose up` does, as far as it can be seen from inside."""
        self._make_file_systems()
        for service in self._in_order():
            for name, dependency in service.depends_on.items():
                self._await(self.services[name], dependency["condition"])
            if service.name == "rabbitmq":
                self._node.start()
            else:
                self._running[service.name] = self._start(service)
        for service in self.services.values():
            if service.healthcheck is not None:
                self._await(service, "service_healthy")

    def down(self) -> dict[str, int]:
        """End every service as `docker compose down` does, and return the exit codes."""
        codes = {}
        for name, process in reversed(self._running.items()):
            process.terminate()
            codes[name] = process.wait(HANG)
        self._running.clear()
        return codes

    def remove(self) -> None:
        """End whatever is left, and remove it."""
        self._guard.clear()
        for process in self._running.values():
            process.wait(HANG)
        self._node.remove()

    def log(self, name: str) -> str:
        """What a service has printed."""
        return (self._root / f"{name}.log").read_text(errors="backslashreplace")

    def path(self, inside: str) -> Path:
        """Return where a container's file is."""
        return self._root / inside.lstrip("/")

    def _make_file_systems(self) -> None:
        for name in ("tmp", "etc", "own"):
            self._root.joinpath(name).mkdir()
        for word, rest in last_stage():
            if word == "COPY" and not rest.startswith("--from"):
                source, target = rest.split()
                shutil.copytree(ROOT / source, self.path(target), ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
        for service in self.services.values():
            for target, source in service.mounts.items():
                self.path(target).parent.mkdir(parents=True, exist_ok=True)
                if source.startswith("./"):
                    self.path(target).write_text(self._moved((ROOT / source).read_text()))
                else:
                    self.path(target).mkdir(exist_ok=True)

    def _in_order(self) -> Iterator[Service]:
        waiting = dict(self.services)
        while waiting:
            free = [service for service in waiting.values() if not set(service.depends_on) & set(waiting)]
            assert free, f"these wait for each other: {', '.join(waiting)}"
            for service in free:
                yield waiting.pop(service.name)

    def _start(self, service: Service) -> subprocess.Popen[bytes]:
        command = [self._moved(part) for part in service.command]
        if service.name == "nginx":  # where its image looks by itself
            configuration = self.path("/etc/nginx/nginx.conf")
            configuration.write_text(nginx_user() + configuration.read_text())
            command += ["-e", "stderr", "-p", str(self._root), "-c", str(configuration)]
        with (self._root / f"{service.name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, **self._place(service))

    def _place(self, service: Service) -> dict[str, Any]:
        """Return the environment and the working directory of a service's processes: nothing of ours but the paths."""
        (directory,) = [rest for word, rest in last_stage() if word == "WORKDIR"]
        told = {key: self._moved(value) for key, value in service.environment.items()}
        own = {"PATH": PATHS, "XDG_RUNTIME_DIR": str(self._root / "own"), **self._guard.environment}
        return {"env": {**own, **told}, "cwd": self.path(directory)}

    def _await(self, service: Service, condition: str) -> None:
        if condition == "service_completed_successfully":
            assert self._running.pop(service.name).wait(HANG) == 0, self.log(service.name)
            return
        assert condition == "service_healthy", condition
        assert service.healthcheck is not None, f"{service.name} has no healthcheck"
        end = time.monotonic() + HANG
        while not self._is_healthy(service, *service.healthcheck["test"]):
            process = self._running.get(service.name)
            assert process is None or process.poll() is None, self.log(service.name)
            assert time.monotonic() < end, f"{service.name} is not healthy; {self.log(service.name)}"
            time.sleep(0.1)

    def _is_healthy(self, service: Service, kind: str, *test: str) -> bool:
        assert kind == "CMD", f"{service.name}: nothing tests {kind}"
        if service.name == "rabbitmq":
            try:
                self._node.tool(*test)
            except RabbitNodeError:
                return False
            return True
        command = [self._moved(part) for part in test]
        return subprocess.run(command, capture_output=True, check=False, **self._place(service)).returncode == 0

    def _moved(self, text: str) -> str:
        def replacement(match: re.Match[str]) -> str:
            self.moved.add(match[0])
            return self.elsewhere[match[0]]

        return re.sub("|".join(map(re.escape, self.elsewhere)), replacement, str(text))
