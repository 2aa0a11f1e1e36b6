"""The app that takes events over HTTP and has no pages of its own: for `bridge-pool`, or any WSGI server."""

from flask import Flask
from werkzeug.exceptions import HTTPException

from app_adapter.extension import DeferredEvents
from app_adapter.ingress.problems import answer_to_http_error
from app_adapter.ingress.routes import blueprint


def create_app() -> Flask:
    """Return the app, with the settings of `bridge.toml` and the environment. Raise `SettingsError` without tokens."""
    app = Flask("ingress")
    DeferredEvents(app)
    app.register_blueprint(blueprint())
    app.register_error_handler(HTTPException, answer_to_http_error)
    return app
