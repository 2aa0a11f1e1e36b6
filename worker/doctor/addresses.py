"""Whether the pools that others run, as `[fastcgi]` names them, can be connected to. It sends nothing."""

import asyncio
from collections.abc import Sequence

from bridge.findings import Finding, ok, wrong
from bridge.foreign_pool import Address, ForeignPoolSettings
from worker.connecting import connect


async def examine(fastcgi: ForeignPoolSettings | None) -> Sequence[Finding]:
    """Connect to every address, all at once; each has some 5 s."""
    addresses = fastcgi.connections_by_address if fastcgi is not None else {}
    return await asyncio.gather(*map(_connected, addresses))


async def _connected(address: Address) -> Finding:
    try:
        transport = await connect(address)
    except BlockingIOError as error:
        step = "more processes there, or fewer connections in [fastcgi]"
        return wrong("pool", f"{address} is there, and as many wait as it takes: {error}", step)
    except PermissionError as error:
        return wrong("pool", f"{address} is not for this user: {error.strerror}", _group_of(address))
    except OSError as error:
        step = "start it (bridge-pool, php-fpm), or correct fastcgi.addresses"
        return wrong("pool", f"{address} cannot be connected to: {error.strerror or error}", step)
    transport.close()
    return ok("pool", f"{address} takes connections")


def _group_of(address: Address) -> str:
    return f"ls -l {address.path}; --socket-group or listen.group, a group that the worker's user is in"
