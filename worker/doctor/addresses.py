"""The doctor's check of the addresses in `[fastcgi]`: can they be connected to? Nothing is sent."""

import asyncio
from collections.abc import Sequence

from bridge.brokers.contract.findings import Finding, ok, wrong
from bridge.config.foreign_pool import Address, ForeignPoolSettings
from worker.slots.connecting import connect


async def examine(fastcgi: ForeignPoolSettings | None) -> Sequence[Finding]:
    """Connect to all addresses at the same time, for up to some 5 s."""
    addresses = fastcgi.connections_by_address if fastcgi is not None else {}
    return await asyncio.gather(*map(_connected, addresses))


async def _connected(address: Address) -> Finding:
    try:
        sock = await connect(address)
    except BlockingIOError as error:
        step = "more processes there, or fewer connections in [fastcgi]"
        return wrong("pool", f"{address} listens, but takes no more connections: {error}", step)
    except PermissionError as error:
        return wrong("pool", f"this user may not connect to {address}: {error.strerror}", _group_of(address))
    except OSError as error:
        step = "start it (bridge-pool, php-fpm), or correct fastcgi.addresses"
        return wrong("pool", f"{address} cannot be connected to: {error.strerror or error}", step)
    sock.close()
    return ok("pool", f"{address} takes connections")


def _group_of(address: Address) -> str:
    return f"ls -l {address.path}; --socket-group or listen.group, a group that the worker's user is in"
