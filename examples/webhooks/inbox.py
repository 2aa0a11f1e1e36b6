"""The web side: checks a webhook, defers it unchanged, and answers at once. The listeners do the work."""

import json
import re
import time

from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue

from deferred_event_bridge import DeferError, defer

from .database import database
from .signature import NotSigned, verified_id

hooks = Blueprint("hooks", __name__)

_TYPE = re.compile(r"[a-z][a-z_]{0,49}(\.[a-z][a-z_]{0,49})?")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")


@hooks.post("/hooks")
def receive() -> ResponseReturnValue:
    """Accept one webhook: answer 202 with the event's id, 401 without a valid signature, else 400 or 415.

    A webhook that the sender repeats, because it did not hear the answer, gets the id of the first one's event.
    """
    body = request.get_data()
    lowered = {name.lower(): value for name, value in request.headers}
    try:
        webhook_id = verified_id(current_app.config["SECRET"], lowered, body, time.time())
    except NotSigned as error:
        abort(401, str(error))
    if request.mimetype != "application/json":
        abort(415, f"Content-Type: expected application/json, got {request.mimetype!r:.100}")
    name, repository = described(body)
    # Commit before `defer()`, because a listener may run before this function ends, and its row refers to this one.
    with database() as rows:
        rows.execute("INSERT INTO repositories VALUES (?, ?) ON CONFLICT DO NOTHING", (repository, time.time()))
        earlier = rows.execute("SELECT event_id FROM webhooks WHERE id = ?", (webhook_id,)).fetchone()
    if earlier is not None:
        return {"event": earlier[0]}, 202
    event_id = defer(name, body, content_type=request.mimetype)
    # Noted after `defer()`: if this process ends in between, the webhook is deferred twice rather than not at all.
    with database() as rows:
        rows.execute("INSERT INTO webhooks VALUES (?, ?) ON CONFLICT DO NOTHING", (webhook_id, event_id))
    return {"event": event_id}, 202


def described(body: bytes) -> tuple[str, str]:
    """Return the event's name, `hook.<type>`, and the repository.

    Answer 400 if the body does not have them. Text that becomes a part of a name is checked even from a trusted sender.
    """
    try:
        content = json.loads(body)
        kind = content["type"]
        repository = content["repository"]["full_name"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        why = f"{type(error).__name__}: {error}"
        abort(400, f"the body: expected a JSON object with type and repository.full_name ({why})")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        abort(400, f"type: expected one or two words such as 'push' or 'issues.opened', got {kind!r:.200}")
    if not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
        abort(400, f"repository.full_name: expected a name such as 'octo/hello', got {repository!r:.200}")
    return f"hook.{kind}", repository


@hooks.errorhandler(DeferError)
def not_deferred(error: DeferError) -> ResponseReturnValue:
    """Ask the sender to send the webhook again. After a `DeferUnconfirmed` the event may then run twice."""
    current_app.logger.error("a webhook could not be deferred; asking the sender to send it again: %s", error)
    return {"error": "not accepted, send it again"}, 503, {"Retry-After": "10"}
