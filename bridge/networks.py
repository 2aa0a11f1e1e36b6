"""Networks of IP addresses, in the notation of CIDR: which addresses are in them. It opens no connection."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Networks:
    """Some networks. Without any, every address is in them."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parsed(cls, texts: Iterable[str]) -> Self:
        """Return the networks of texts such as `10.0.0.0/8`, `192.0.2.7` and `fd00::/8`. Raise `ValueError` for any
        other text."""
        return cls(tuple(ipaddress.ip_network(text) for text in texts))

    def have(self, address: str) -> bool:
        """Return whether an address is in these networks. An IPv4 address may be written as an IPv6 one."""
        if not self.networks:
            return True
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)


def is_loopback(address: str) -> bool:
    """Return whether an IP address reaches only programs on this machine."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
