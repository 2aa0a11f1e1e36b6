"""The environment variables of a private RabbitMQ node, so that it shares nothing with a broker that already runs."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def new_cookie(home: Path) -> None:
    """Write a new Erlang cookie into this home directory."""
    cookie = home / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(16))
    cookie.chmod(0o400)


def environment(directory: Path, name: str, port: int, distribution_port: int, epmd_port: int) -> Mapping[str, str]:
    """Return the environment of a node with this directory, name and ports."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
    return inherited | {
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": f"{directory}/rabbitmq-env.conf",
        "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{directory}/advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{directory}/data",
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": f"{directory}/pid",
        # Makes the start script exec the Erlang VM, so that the pid of our child process is the node's.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
