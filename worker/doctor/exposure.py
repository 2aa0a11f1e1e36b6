"""The doctor's check of what travels to RabbitMQ and as whom: a plain connection beyond this machine, and `guest`."""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

from bridge.brokers.contract.findings import Finding, ok, some, wrong
from bridge.config.amqp_url import parts_of
from bridge.config.sqlite_url import is_sqlite

_LOOK_UP_WITHIN = 3.0
_UNNAMED = "guest"
"""The user as whom RabbitMQ's client library connects if the URL names none."""


async def examine(url: str) -> Sequence[Finding]:
    """Judge the URL of the broker; for SQLite there is nothing to judge. The names of hosts are looked up."""
    if is_sqlite(url):
        return []
    parts = parts_of(url)
    hosts = [urlsplit(f"//{host}").hostname or "" for host in parts.hosts]
    local = dict(zip(hosts, await asyncio.gather(*map(_is_local, hosts)), strict=True))
    user = unquote(parts.login.partition(":")[0]) or _UNNAMED
    return judge(parts.scheme, user, local)


def judge(scheme: str, user: str, hosts: Mapping[str, bool]) -> Sequence[Finding]:
    """Judge a connection with this scheme, as this user, to these hosts; True for a host that is this machine."""
    away = [host for host, local in hosts.items() if not local]
    if not away:
        return [ok("exposure", f"the connection as user '{user}' does not leave this machine")]
    found = []
    if scheme != "amqps":
        sentence = f"amqp:// to {some(away)}: the password and all events cross the network in clear text"
        found.append(wrong("exposure", sentence, "amqps:// in broker_url, and a TLS listener in rabbitmq.conf"))
    if user == "guest":
        sentence = f"user 'guest', an administrator whose password is known, is allowed to connect to {some(away)}"
        step = "a user of the site's own: bridge-doctor --permissions worker; when all programs have one: "
        step += "rabbitmqctl delete_user guest"
        found.append(wrong("exposure", sentence, step))
    return found or [ok("exposure", f"TLS to {some(away)}, as user '{user}'")]


async def _is_local(host: str) -> bool:
    """Return True if all addresses of the host are loopback addresses. A host that cannot be looked up in time is not
    this machine."""
    try:
        async with asyncio.timeout(_LOOK_UP_WITHIN):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)
