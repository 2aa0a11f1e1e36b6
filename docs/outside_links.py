"""Turns links to files outside of docs/ into their paths: the site has only the pages, the repository has the files."""

import re

_LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(?:#[^)\s]*)?\)")


def without_outside_links(text: str) -> str:
    """Return a page's text in which each link to a file of the repository is the name of the file."""
    return _LINK.sub(_named, text)


def _named(link: re.Match[str]) -> str:
    text, path = link.groups()
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}` in the repository)"
