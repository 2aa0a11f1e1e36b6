"""Shell commands that repair a site on RabbitMQ, to be copied."""

import shlex
from dataclasses import dataclass

from bridge.brokers.rabbitmq.inspection.management_api import Management
from bridge.brokers.rabbitmq.topology.names import Names


@dataclass(frozen=True, slots=True)
class Remedies:
    """The names of a site, its virtual host, its user, and whether its programs declare what they need."""

    names: Names
    vhost: str
    user: str
    declares: bool
    management: Management

    @property
    def declare_again(self) -> str:
        """The step that declares a missing object."""
        if self.declares:
            return "start bridge-worker, which declares what is not there"
        return f"bridge-doctor --definitions | {self.ctl('import_definitions')}"

    def ctl(self, command: str, *words: str) -> str:
        """Return a command for rabbitmqctl."""
        vhost = [] if command == "import_definitions" else ["-p", self.vhost]
        return shlex.join(["rabbitmqctl", command, *vhost, *words])

    def delete(self, kind: str, *names: str) -> str:
        """Return a command that deletes an exchange or a binding, which rabbitmqctl cannot. It asks for a password."""
        return f"curl -u {shlex.quote(self.management.user)} -X DELETE {shlex.quote(self.management.url(kind, *names))}"
