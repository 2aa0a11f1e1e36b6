"""Ports of 127.0.0.1 for servers that tests start."""

import random
import socket

# Below Linux's ephemeral ports (32768 and up). Otherwise a client that reconnects while a server restarts may get the
# server's port as its source port, and connect to itself.
_PORTS = range(20_000, 32_000)

_GIVEN: set[int] = set()
"""The ports that this process has returned already. Their servers may not listen yet."""


def free_port() -> int:
    """Return a port that is free, and that the kernel does not give to clients."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return this many different free ports. Raise `OSError` if there are not enough."""
    ports: list[int] = []
    for port in random.sample(sorted({*_PORTS} - _GIVEN), len(_PORTS) - len(_GIVEN)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        _GIVEN.add(port)
        if len(ports) == count:
            return ports
    raise OSError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")
