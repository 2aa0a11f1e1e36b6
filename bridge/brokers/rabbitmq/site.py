"""Whose RabbitMQ is examined, and the commands that mend it: written to be copied into a shell."""

import shlex
from dataclasses import dataclass

from bridge.brokers.rabbitmq.management import Management
from bridge.brokers.rabbitmq.topology import Names

_FILE = "/tmp/bridge.json"  # absolute, for rabbitmqctl may run in a directory of its own


@dataclass(frozen=True, slots=True)
class Site:
    """The names of a site, its virtual host, its user, and whether its programs declare what they need."""

    names: Names
    vhost: str
    user: str
    declares: bool
    management: Management

    @property
    def make_anew(self) -> str:
        """How what is not there comes to be there."""
        if self.declares:
            return "start bridge-worker, which declares what is not there"
        return f"bridge-doctor --definitions > {_FILE}; {self.ctl('import_definitions', _FILE)}"

    def ctl(self, command: str, *words: str) -> str:
        """Return a command of RabbitMQ's own tool."""
        vhost = [] if command == "import_definitions" else ["-p", self.vhost]
        return shlex.join(["rabbitmqctl", command, *vhost, *words])

    def delete(self, kind: str, *names: str) -> str:
        """Return a command that deletes what rabbitmqctl cannot: an exchange, a binding. It asks for a password."""
        return f"curl -u {shlex.quote(self.management.user)} -X DELETE {shlex.quote(self.management.url(kind, *names))}"
