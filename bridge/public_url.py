"""The public URL of an app: the beginning of the URLs at which its users reach it, as CGI parameters have it."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from bridge.host_names import check_server

UNKNOWN_HOST = "unknown-host.invalid"
"""The host of replays where no setting names a host. The domain `.invalid` never exists (RFC 2606), so a URL with this
host is known to be wrong, unlike one with `localhost`."""


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """Scheme, host with its port where it has one, and the path below which the app is mounted ("" or "/shop")."""

    scheme: str = "http"
    host: str = UNKNOWN_HOST
    mount: str = ""

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Return the public URL of a text such as `https://shop.example/office`. Raise `ValueError` for others."""
        parts = urlsplit(text)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username is not None
            or parts.query
            or parts.fragment
            or not text.isascii()
            or not text.isprintable()
            or " " in text
        ):
            raise ValueError(
                "expected a URL such as 'https://shop.example' or 'https://shop.example:8443/mounted/here'"
            )
        check_server(parts)
        return cls(parts.scheme, parts.netloc, parts.path.rstrip("/"))

    def parameters(self, path: str) -> dict[str, str]:
        """Return the CGI parameters of a request for `path`, the path below the mount."""
        name, _, port = self.host.rpartition(":")
        if not port.isdecimal():
            name, port = self.host, "443" if self.scheme == "https" else "80"
        return {
            "HTTP_HOST": self.host,
            "SERVER_NAME": name,
            "SERVER_PORT": port,
            "REQUEST_SCHEME": self.scheme,
            "SCRIPT_NAME": self.mount,
            "PATH_INFO": path,
            "REQUEST_URI": f"{self.mount}{path}",
            **({"HTTPS": "on"} if self.scheme == "https" else {}),
        }


NO_PUBLIC_URL = PublicUrl()
