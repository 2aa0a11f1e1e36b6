"""The tables of the outbox, for migrations and tests: `from deferred_event_bridge import outbox`. Needs SQLAlchemy 2,
the extra `sqlalchemy`. docs/outbox.md describes them."""

from deferred_event_bridge.hidden_packages import IN_APP, check

check(IN_APP)

from app_adapter.sqlalchemy.tables import metadata, statements  # noqa: E402  # the check comes first

__all__ = ["metadata", "statements"]
