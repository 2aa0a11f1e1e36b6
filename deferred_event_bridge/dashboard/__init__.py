"""The page: a blueprint for an app of yours, and an app of its own. See docs/dashboard.md."""

from deferred_event_bridge.hidden_packages import PACKAGES, check

check(PACKAGES)

from bridge.config.dashboard_settings import Role  # noqa: E402  # after the check, which explains a failing import
from deferred_event_bridge.dashboard.access import User  # noqa: E402
from deferred_event_bridge.dashboard.application import create_app  # noqa: E402
from deferred_event_bridge.dashboard.blueprint import blueprint  # noqa: E402

__all__ = ["Role", "User", "blueprint", "create_app"]
