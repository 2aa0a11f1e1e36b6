"""The password of a URL's user from a file, so that it is in no setting, environment or command line."""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from bridge.looking import is_file

_LONGEST = 4096
"""Bytes. A file that is longer is not one that holds a password."""


def with_password(url: str, file: Path, key: str, example: str) -> str:
    """Return a URL with the password from the file. `key` is the setting of the URL, and `example` a URL with a user,
    for messages. Raise `ValueError`, without a part of either, if the file cannot be used or the URL has no user."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, given = login.partition(":")
    if not user:
        raise ValueError(f"expected a user in {key}, as in {example}")
    password = _password(file)
    if given and unquote(given) != password:
        raise ValueError(f"expected no password in {key}, or the same one")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{hosts}").geturl()


def _password(file: Path) -> str:
    try:
        text = _beginning(file).decode()
    except OSError as error:
        raise ValueError(f"expected a file that can be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("expected a file in UTF-8") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or len(text) > _LONGEST or not password.isprintable():
        raise ValueError("expected a file with one line, the password")
    return password


def _beginning(file: Path) -> bytes:
    if not is_file(file):  # a pipe would not end
        raise ValueError("expected a file that exists")
    with file.open("rb") as opened:
        return opened.read(_LONGEST + 1)
