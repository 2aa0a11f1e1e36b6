"""Events over HTTP: a blueprint for an app of yours, and an app of its own. See docs/ingress.md."""

from app_adapter.ingress.application import create_app
from app_adapter.ingress.routes import blueprint

__all__ = ["blueprint", "create_app"]
