"""The word that stands for a model in the names of its events: `BlogPost` is `blog_post`."""

import re

from bridge.topics import RESERVED, is_reserved

_WORD = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NEW_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def word_of(model: type, given: str | None = None) -> str:
    """Return the word of a model: the given one, or the class's name in lower case, with `_` between its words. Raise
    `ValueError` for one that is no word of an event name."""
    word = _NEW_WORD.sub("_", model.__name__).lower() if given is None else given
    if not isinstance(word, str) or not _WORD.fullmatch(word) or is_reserved(f"{word}."):
        raise ValueError(
            f"model {model.__qualname__}: name {word!r:.100}: expected one word of A-Z a-z 0-9 _ -, at most 100 "
            f"characters, and not {RESERVED[:-1]!r}; pass name="
        )
    return word
