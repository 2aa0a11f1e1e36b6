"""Ports of 127.0.0.1 for servers that tests start."""

import random
import socket

# Below Linux's ephemeral ports (32768 and up): there, while a server restarts, a client that tries to reconnect could
# be given the server's own port as its source, and would be connected to itself.
_PORTS = range(20_000, 32_000)

_GIVEN: set[int] = set()
"""What this process has given out: who asked may not listen there yet."""


def free_port() -> int:
    """Return a port that nobody uses now, and that no client is given as its own."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return such ports, each another one. Raise `OSError` where there are not so many."""
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
