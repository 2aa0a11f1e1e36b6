"""Escape texts of events, apps, brokers and paths, so that they are safe on a terminal, in a log and in JSON lines."""

import json
from typing import Any


def printable(text: str, *, lines: bool = False) -> str:
    """Return the text with its unprintable characters escaped: control characters, overrides of the text direction,
    lone surrogates. With `lines`, line ends and tabs are kept."""
    if text.isprintable():
        return text
    allowed = "\n\t" if lines else ""
    if lines:
        text = text.replace("\r\n", "\n")
    return "".join(each if each.isprintable() or each in allowed else _escaped(each) for each in text)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return the value as JSON in ASCII without control characters. Values of types that JSON lacks become text."""
    return json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f")


def readable_json(value: Any, indent: int) -> str:
    """Return the value as JSON for people to read and edit: only characters that cannot be printed are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
