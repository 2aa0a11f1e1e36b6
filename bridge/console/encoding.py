"""Texts on a terminal whose encoding is not UTF-8: characters that it lacks, and arguments in another encoding."""

import codecs
import os

PLAIN = "bridge.plain"
"""The name of the error handler that writes a plain character for one that the encoding lacks."""

_PLAIN_FOR = {"…": "...", "→": "->", "×": "x"}
"""The characters that the programs themselves print."""


def argument_text(text: str) -> str:
    """Return the text of a command line's argument. Bytes that are not in the encoding of the locale, which Python
    keeps as surrogates, are read as UTF-8, or else as Latin-1."""
    try:
        text.encode()
    except UnicodeEncodeError:
        octets = os.fsencode(text)
        try:
            return octets.decode()
        except UnicodeDecodeError:
            return octets.decode("latin-1")
    return text


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = (_PLAIN_FOR.get(each) or each.encode("ascii", "backslashreplace").decode() for each in lacking)
    return "".join(plain), error.end


codecs.register_error(PLAIN, _plain)
