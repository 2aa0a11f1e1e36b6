"""A visitor of the dev stack's page, with the user that examples/webhooks/page.toml names."""

import re
import urllib.parse
import urllib.request
from pathlib import Path

from tests.limits import PATIENCE

TABLES = Path(__file__).parents[2] / "examples" / "webhooks" / "page.toml"


class PageVisitor:
    """Keeps the cookies of one visitor. `address` is the page's, without a path."""

    def __init__(self, address: str) -> None:
        self._address = address
        # No proxy of the environment: the page is on this machine.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()
        )

    def text(self, path: str) -> str:
        """Return what a path leads to."""
        return self._fetch(path)

    def sign_in(self) -> None:
        """Sign in with the name and the password in the comment of page.toml."""
        named = re.search(r": (\w+), with the password (\S+)\.", TABLES.read_text())
        assert named is not None
        self._fetch("/sign-in", urllib.parse.urlencode({"name": named[1], "password": named[2]}).encode())

    def _fetch(self, path: str, form: bytes | None = None) -> str:
        with self._opener.open(self._address + path, form, PATIENCE) as answer:
            return str(answer.read().decode())
