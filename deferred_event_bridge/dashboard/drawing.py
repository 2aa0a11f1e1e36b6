"""Draws the pages: the templates of this package, in an environment of their own.

The host app's templates, filters and globals cannot change them. Every value is escaped for HTML, and its unprintable
characters (control characters, overrides of the text direction) are shown as escapes.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import url_for
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bridge.console.printable import printable
from bridge.console.quantities import duration_text, size_text

STATIC = Path(__file__).with_name("static")
DASH = "–"


def draw(template: str, values: Mapping[str, Any]) -> str:
    """Return a page."""
    return _environment().get_template(template).render(values)


def prepare() -> None:
    """Compile the templates, which takes longer than most screens."""
    for name in _environment().list_templates():
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": _number,
        "rate": _rate,
        "duration": lambda seconds: DASH if seconds is None else duration_text(seconds, 1 if seconds >= 60 else 0),
        "size": lambda size: DASH if size is None else size_text(size),
        "lines": lambda text: Markup.escape(printable(str(text), lines=True)),
        "ago": _ago,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=True, default=str),
        "moment": _moment,
    }
    made.globals |= {"url_for": url_for, "asset": _asset}
    return made


def _finalize(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: int | None) -> str:
    return DASH if value is None else f"{value:,}"


def _rate(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:,.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"


def _moment(text: str | None) -> str:
    """Return a time of a document to the second, in UTC."""
    return "unknown" if text is None else f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _ago(text: str | None) -> str:
    if text is None:
        return "at an unknown time"
    return f"{duration_text((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())} ago"


def _asset(name: str) -> str:
    """Return the URL of a static file, which changes with its content."""
    return url_for(".static_file", name=name, v=_version(name))


@cache
def _version(name: str) -> str:
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]
