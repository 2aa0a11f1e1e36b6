"""Events over HTTP: `from deferred_event_bridge.ingress import blueprint`, and `create_app()` for `bridge-pool`."""

from deferred_event_bridge.hidden_packages import IN_APP, check

check(IN_APP)

from app_adapter.ingress import blueprint, create_app  # noqa: E402  # after the check, which explains a failing import

__all__ = ["blueprint", "create_app"]
