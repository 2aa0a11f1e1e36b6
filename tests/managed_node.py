"""A private RabbitMQ node with its management."""

import json
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.limits import PATIENCE
from tests.ports import free_port
from tests.rabbitmq_node import RabbitNode

_IMPATIENT = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}]}]."
"""A delay queue tries to hand an event on again after 3 s instead of three minutes."""


@dataclass(frozen=True)
class ManagedNode:
    """A node, and the port of its management."""

    node: RabbitNode
    port: int

    @property
    def management_url(self) -> str:
        """The URL of the management, with the login of guest."""
        return f"http://guest:guest@127.0.0.1:{self.port}"

    def url(self, user: str, vhost: str = "") -> str:
        """Return the AMQP URL of a user whose password is the user's name."""
        return self.node.url.replace("guest:guest", f"{user}:{user}") + vhost

    def add_user(self, name: str, configure: str, write: str, read: str, *, vhost: str = "%2F") -> str:
        """Make a user with these permissions; return the user's AMQP URL."""
        self.request("PUT", f"/api/users/{name}", {"password": name, "tags": ""})
        may = {"configure": configure, "write": write, "read": read}
        self.request("PUT", f"/api/permissions/{vhost}/{name}", may)
        return self.url(name, "" if vhost == "%2F" else vhost)

    def new_vhost(self) -> str:
        """Make an empty virtual host with all permissions for guest; return its name."""
        name = uuid.uuid4().hex
        self.request("PUT", f"/api/vhosts/{name}")
        self.request("PUT", f"/api/permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        return name

    def request(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        """Send a request to the management as guest; return the JSON of the reply. `path` may be a whole URL."""
        url = path.removeprefix(f"http://127.0.0.1:{self.port}")
        logins = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        logins.add_password(None, f"http://127.0.0.1:{self.port}", "guest", "guest")
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(logins))
        body = None if content is None else json.dumps(content).encode()
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{url}", body, kind, method=method)
        with opener.open(request, timeout=PATIENCE) as reply:
            return json.loads(reply.read() or "null")


@contextmanager
def managed_node() -> Iterator[ManagedNode]:
    """Start a node with its management, and remove it at the end of the `with` block."""
    node, port = RabbitNode(advanced=_IMPATIENT), free_port()
    (node.directory / "enabled_plugins").write_text("[rabbitmq_management].")
    (node.directory / "rabbitmq.conf").write_text(f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n")
    with node:
        yield ManagedNode(node, port)
