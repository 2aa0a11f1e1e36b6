"""The web side: check a webhook, defer it as it came, and answer at once. The work is the listeners'."""

import json
import re
import time

from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue

from app_adapter import DeferError, defer

from .database import database
from .signature import HEADER, is_signed

hooks = Blueprint("hooks", __name__)

_WORD = re.compile(r"[a-z][a-z_]{0,49}")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")


@hooks.post("/hooks")
def receive() -> ResponseReturnValue:
    """Take one webhook: 202 with the event's id, 401 for a wrong signature, 400 or 415 for no webhook."""
    body = request.get_data()
    if not is_signed(current_app.config["SECRET"], body, request.headers.get(HEADER)):
        abort(401, f"{HEADER}: expected sha256= and the HMAC of the body")
    if request.mimetype != "application/json":
        abort(415, f"Content-Type: expected application/json, got {request.mimetype!r:.100}")
    name, repository = described(request.headers.get("X-GitHub-Event", ""), body)
    # Committed before the event is deferred: a listener may run before this function ends, and its row refers to ours.
    with database() as rows:
        rows.execute("INSERT INTO repositories VALUES (?, ?) ON CONFLICT DO NOTHING", (repository, time.time()))
    event_id = defer(name, body, content_type=request.mimetype)
    return {"event": event_id}, 202


def described(kind: str, body: bytes) -> tuple[str, str]:
    """Return the event's name, `hook.<kind>` or `hook.<kind>.<action>`, and the repository. Answer 400 where the
    request does not say them: what goes into a name is checked, however trusted the sender is."""
    try:
        content = json.loads(body)
        words = [kind, *([content["action"]] if "action" in content else [])]
        repository = content["repository"]["full_name"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        abort(400, f"the body: expected a JSON object with repository.full_name ({type(error).__name__}: {error})")
    if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in words):
        abort(400, f"X-GitHub-Event and action: expected words such as 'issues' and 'opened', got {words!r:.200}")
    if not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
        abort(400, f"repository.full_name: expected a name such as 'octo/hello', got {repository!r:.200}")
    return ".".join(["hook", *words]), repository


@hooks.errorhandler(DeferError)
def not_deferred(error: DeferError) -> ResponseReturnValue:
    """Ask the sender to come again. After a `DeferUnconfirmed` the event may run as well: then it is there twice."""
    current_app.logger.error("a webhook was not taken: %s", error)
    return {"error": "not taken, send it again"}, 503, {"Retry-After": "10"}
