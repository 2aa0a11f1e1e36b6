"""An inbox for signed webhooks, a typical use of deferring: accept a webhook, answer at once, do the work later.

Settings come from the environment: `INBOX_SECRET` (shared with the sender), `INBOX_DATABASE` (a SQLite file) and
`INBOX_DOWNSTREAM` (the URL that webhooks are forwarded to). The bridge's settings are in `bridge.toml`. With these set,
in `examples/`:

    export BRIDGE_CONFIG=webhooks/bridge.toml
    flask --app "webhooks:create_app()" init-database
    gunicorn --threads 4 "webhooks:create_app()"
    bridge-worker "webhooks:create_app()"
"""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import database
from .inbox import hooks
from .listeners import events

MAX_BODY = 1024**2


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the app. `config` overrides the environment. Raise `KeyError` for a missing setting."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config.from_prefixed_env("INBOX", loads=str)
    app.config.from_mapping(config or {})
    for name in ("SECRET", "DATABASE", "DOWNSTREAM"):
        if not app.config.get(name):
            raise KeyError(f"INBOX_{name}: expected a value in the environment")
    database.init_app(app)
    events.init_app(app)
    app.register_blueprint(hooks)
    return app
