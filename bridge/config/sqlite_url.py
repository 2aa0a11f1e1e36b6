"""The URL of an SQLite file: `sqlite:///relative.db` or `sqlite:////absolute.db`. Its path is percent-encoded."""

from urllib.parse import quote, unquote, urlsplit

EXPECTED = "expected the path of a file, as in sqlite:///bridge.db or sqlite:////var/lib/bridge.db"


def is_sqlite(url: str) -> bool:
    """Return True if the URL is of the embedded broker."""
    return url.partition(":")[0].lower() == "sqlite"


def path_in(url: str) -> str:
    """Return the path in the URL, decoded once. Raise `ValueError` if the URL names no file."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError(f"{EXPECTED}; in a path, write ? as %3F and # as %23")
    path = unquote(parts.path[1:], errors="surrogateescape")
    if (
        not url.startswith("sqlite:///")
        or parts.netloc
        or path in ("", ":memory:")
        or path.endswith("/")
        or "\0" in path
    ):
        raise ValueError(EXPECTED)
    return path


def url_of(path: str) -> str:
    """Return the URL of the file at this path."""
    return f"sqlite:///{quote(path, errors='surrogateescape')}"
