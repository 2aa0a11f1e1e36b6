"""The shop: each paid order puts a label into the mailbox `labels`.

flask --app examples.mailbox.shop run
"""

from flask import Flask, request
from flask.typing import ResponseReturnValue

from deferred_event_bridge import DeferError, DeferredEvents, mailbox

events = DeferredEvents()


def create_app() -> Flask:
    """Make the app."""
    app = Flask(__name__)
    events.init_app(app)
    app.add_url_rule("/orders/<int:number>/paid", view_func=paid, methods=["POST"])
    return app


def paid(number: int) -> ResponseReturnValue:
    """Take a paid order. Express orders are printed first."""
    try:
        mailbox("labels").put(f"order {number}".encode(), priority="high" if request.form.get("express") else "normal")
    except DeferError as error:
        return {"error": str(error)}, 503
    return "", 202
