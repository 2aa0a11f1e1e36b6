"""Where one run of the demo keeps its things, and how its processes and its reader are told."""

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CONFIG = EXAMPLES / "webhooks" / "bridge.toml"
APP = "webhooks:create_app()"
DEFAULT_NAMESPACE = "bridge"
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run keeps its things."""

    directory: Path
    broker_url: str
    namespace: str
    secret: str

    @property
    def database(self) -> Path:
        return self.directory / "inbox.db"

    @property
    def logs(self) -> str:
        return f"the logs of all processes are in {self.directory}"

    def environment(self, downstream_port: int) -> Mapping[str, str]:
        """Return the environment of the processes."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BRIDGE_", "INBOX_"))}
        return inherited | {
            "BRIDGE_CONFIG": str(CONFIG),
            "BRIDGE_BROKER_URL": self.broker_url,
            "BRIDGE_NAMESPACE": self.namespace,
            "INBOX_SECRET": self.secret,
            "INBOX_DATABASE": str(self.database),
            "INBOX_DOWNSTREAM": f"http://127.0.0.1:{downstream_port}/",
            "no_proxy": "127.0.0.1",
        }

    def commands(self) -> list[tuple[str, str]]:
        """Return what to type next."""
        settings = {"BRIDGE_BROKER_URL": self.broker_url}
        if self.namespace != DEFAULT_NAMESPACE:
            settings["BRIDGE_NAMESPACE"] = self.namespace
        prefix = " ".join(f"{key}={shlex.quote(value)}" for key, value in settings.items())
        commands = [("See what died, and of what:", f"{prefix} {_typed(PROGRAMS / 'bridge-dlq')} list")]
        if not self.broker_url.startswith("sqlite:"):
            again = f"{_typed(Path(sys.executable))} -m examples.demo --broker-url {shlex.quote(self.broker_url)}"
            commands.append(("Remove what this run left on the broker:", f"{again} --remove {self.namespace}"))
        return commands


def _typed(program: Path) -> str:
    """Return the program as one types it here: relative where that is shorter."""
    with contextlib.suppress(ValueError):
        return str(program.relative_to(Path.cwd()))
    return str(program)
