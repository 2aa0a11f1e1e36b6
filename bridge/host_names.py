"""The names of hosts in addresses and URLs. They are checked where they are read: a name that cannot be encoded would
raise a `UnicodeError` at each look-up, where programs expect an `OSError`. Pure.
"""

from urllib.parse import SplitResult

_EXPECTED = "expected a host name, with 1 to 63 characters between its dots"


def host_name(text: str) -> str:
    """Return the name of a host, or an IP address. Raise `ValueError` if it cannot be encoded for a look-up."""
    if not text.isprintable() or " " in text or not _can_be_encoded(text):
        raise ValueError(_EXPECTED)
    return text


def check_server(parts: SplitResult) -> None:
    """Check the host and the port of a URL, which may be missing. There may be several hosts with commas between them.
    Raise `ValueError`."""
    for host in (parts.hostname or "").split(","):
        host_name(host)
    try:
        usable = parts.port is None or parts.port > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("expected a port from 1 to 65535 after the host")


def _can_be_encoded(text: str) -> bool:
    if text.isascii():  # the codec is imported for other names alone: a process may have no descriptor left for it
        *labels, last = text.split(".")
        return all(0 < len(label) < 64 for label in labels) and len(last) < 64
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True
