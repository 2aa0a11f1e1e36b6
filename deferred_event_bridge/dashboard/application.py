"""The app that has the page and nothing else: for `bridge-web`, `bridge-pool`, or any WSGI server."""

from flask import Flask

from app_adapter.extension import DeferredEvents
from bridge.config.settings import Settings
from deferred_event_bridge.dashboard.blueprint import blueprint
from deferred_event_bridge.dashboard.guarding import add_headers


def create_app(settings: Settings | None = None) -> Flask:
    """Return the app, by default with the settings of `bridge.toml` and the environment. Raise `SettingsError` if they
    name no user or no secret."""
    app = Flask("bridge-web", static_folder=None)
    if settings is None:
        DeferredEvents(app)  # bridge-pool serves no app without it
    app.register_blueprint(blueprint(settings=settings))
    app.after_request(add_headers)  # also to the answers of URLs that do not exist
    return app
