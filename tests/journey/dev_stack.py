"""Runs docker-compose.yml without Docker: every service's command as a process.

The processes have the order, health checks, environment, volumes and mounted files of docker-compose.yml. Paths, hosts
and ports that must differ are in one table, `Stack.elsewhere`. This module supports only the keys that our file uses,
and fails at any other key.
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
from tests.limits import PATIENCE
from tests.ports import free_port
from tests.rabbitmq_node import RabbitNode, RabbitNodeError

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
PATHS = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
KNOWN = {
    *("build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "hostname", "image", "init", "ports"),
    *("read_only", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes"),
}


@dataclass(frozen=True)
class Service:
    """A service of docker-compose.yml."""

    name: str
    command: Sequence[str]
    image: str
    user: str | None = None
    read_only: bool = False
    cap_drop: Sequence[str] = ()
    security_opt: Sequence[str] = ()
    depends_on: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Mapping[str, Any] | None = None
    ports: Sequence[str] = ()
    volumes: Sequence[str] = ()

    @property
    def mounts(self) -> dict[str, str]:
        """The mounted volumes and files, by their paths in the container."""
        return {volume.split(":")[1]: volume.split(":")[0] for volume in self.volumes}


def services() -> dict[str, Service]:
    """Return the services of docker-compose.yml, by name."""
    described = YAML(typ="safe").load(COMPOSE)["services"]
    found = {}
    for name, keys in described.items():
        assert set(keys) <= KNOWN, f"{name}: nothing tests {set(keys) - KNOWN}"
        wanted = {key: value for key, value in keys.items() if key in Service.__dataclass_fields__}
        found[name] = Service(name, **wanted)
    return found


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, with continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last_stage() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile's last stage, which is the image of the services."""
    every = instructions()
    return every[max(at for at, (word, _) in enumerate(every) if word == "FROM") :]


class Stack:
    """The services as processes, in a directory that stands for the containers' file systems."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._guard = Guard(root)
        self.services = services()
        self.web, self.page, self._downstream, self._worker = (free_port() for _ in range(4))
        self._node = RabbitNode(self.services["rabbitmq"].environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.elsewhere = {
            "/run/bridge": f"{root}/run/bridge",
            "/data/": f"{root}/data/",
            "/app/": f"{root}/app/",
            "/tmp/": f"{root}/tmp/",
            "/var/cache/nginx/": f"{root}/cache/",
            "@rabbitmq/": f"@127.0.0.1:{self._node.port}/",
            "http://nginx:8081/": f"http://127.0.0.1:{self._downstream}/",
            "http://127.0.0.1:8080/": f"http://127.0.0.1:{self.web}/",
            "http://127.0.0.1:8090/": f"http://127.0.0.1:{self.page}/",
            "0.0.0.0:8090": f"127.0.0.1:{self.page}",
            "127.0.0.1:9464": f"127.0.0.1:{self._worker}",
            "listen 8080;": f"listen 127.0.0.1:{self.web};",
            "listen 8081;": f"listen 127.0.0.1:{self._downstream};",
        }
        self.moved: set[str] = set()
        """The keys of `elsewhere` that were replaced at least once."""

    def up(self) -> None:
        """Start all services in the order of their dependencies, as `docker compose up` does; return when healthy."""
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
        """End every service by SIGTERM, as `docker compose down` does; return the exit codes."""
        codes = {}
        for name, process in reversed(self._running.items()):
            process.terminate()
            codes[name] = process.wait(PATIENCE)
        self._running.clear()
        return codes

    def remove(self) -> None:
        """End all remaining processes, and remove their files."""
        for process in self._running.values():
            process.terminate()  # the guard does not find nginx, which overwrites its environment
        self._guard.clear()
        for process in self._running.values():
            process.wait(PATIENCE)
        self._node.remove()

    def log(self, name: str) -> str:
        """Return the output of a service."""
        return (self._root / f"{name}.log").read_text(errors="backslashreplace")

    def path(self, inside: str) -> Path:
        """Return the path of a file that has the path `inside` in the container."""
        return self._root / inside.lstrip("/")

    def _make_file_systems(self) -> None:
        for name in ("cache", "etc", "own", "tmp"):
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
        if service.name == "nginx":  # the image finds its configuration by itself
            configuration = self.path("/etc/nginx/nginx.conf")
            configuration.write_text(nginx_user() + configuration.read_text())
            command += ["-e", "stderr", "-p", str(self._root), "-c", str(configuration)]
        with (self._root / f"{service.name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, **self._place(service))

    def _place(self, service: Service) -> dict[str, Any]:
        """Return the environment and the working directory of a service. Only the paths, and a timeout of `defer()` for
        a machine that is busy, come from here."""
        (directory,) = [rest for word, rest in last_stage() if word == "WORKDIR"]
        given = {key: self._moved(value) for key, value in service.environment.items()}
        own = {"PATH": PATHS, "XDG_RUNTIME_DIR": str(self._root / "own"), "BRIDGE_PUBLISH_TIMEOUT": f"{PATIENCE:g}s"}
        return {"env": {**own, **self._guard.environment, **given}, "cwd": self.path(directory)}

    def _await(self, service: Service, condition: str) -> None:
        if condition == "service_completed_successfully":
            assert self._running.pop(service.name).wait(PATIENCE) == 0, self.log(service.name)
            return
        assert condition == "service_healthy", condition
        assert service.healthcheck is not None, f"{service.name} has no healthcheck"
        end = time.monotonic() + PATIENCE
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
