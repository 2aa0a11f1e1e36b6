"""How a program secures its connections to a broker. Values only: `bridge/brokers/rabbitmq/connection/` uses them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """The files in PEM format that TLS uses, and whether the broker's certificate is verified.

    `ca` has the certificates of the authorities that are trusted (None: those of the system), or `ca_directory` or
    `ca_data` has. `cert` and `key` identify this program to the broker.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True
    ca_directory: str | None = None
    ca_data: bytes | None = None


DEFAULT_TLS = Tls()
"""The broker's certificate is verified with the authorities of the system, and this program has none."""
