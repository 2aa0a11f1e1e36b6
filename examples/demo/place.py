"""The files and settings of one run of the demo, and the environment and commands that follow from them."""

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
    """The directory, broker, namespace and secret of one run."""

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
        """Return the commands to type next, each with a sentence."""
        settings = {"BRIDGE_BROKER_URL": self.broker_url}
        if self.namespace != DEFAULT_NAMESPACE:
            settings["BRIDGE_NAMESPACE"] = self.namespace
        prefix = " ".join(f"{key}={shlex.quote(value)}" for key, value in settings.items())
        commands = [
            ("List the dead letters and their errors:", f"{prefix} {_typed(PROGRAMS / 'bridge-dlq')} list"),
            ("Run the demo again, and see it all in a browser:", "make demo PAGE=1"),
        ]
        if not self.broker_url.startswith("sqlite:"):
            again = f"{_typed(Path(sys.executable))} -m examples.demo --broker-url {shlex.quote(self.broker_url)}"
            commands.append(("Remove the objects of this run from the broker:", f"{again} --remove {self.namespace}"))
        return commands


def _typed(program: Path) -> str:
    """Return the program as a user types it in this directory: relative if the program is below it."""
    with contextlib.suppress(ValueError):
        return str(program.relative_to(Path.cwd()))
    return str(program)
