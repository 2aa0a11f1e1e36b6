"""The import of what needs SQLAlchemy, with an error that says what to install."""

from importlib import import_module
from typing import Any

from bridge.config.store_settings import NEEDS_SQLALCHEMY
from bridge.errors import DeferError


def imported(module: str) -> Any:
    """Return a module of `app_adapter.sqlalchemy`. Raise `DeferError` if SQLAlchemy 2 is not installed."""
    try:
        return import_module(f"app_adapter.sqlalchemy.{module}")
    except ImportError as error:
        raise DeferError(f"{NEEDS_SQLALCHEMY}: {error}") from error
