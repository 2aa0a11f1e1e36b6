"""The blueprint: its URLs, who may open them, and how a document becomes a page or JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, g, redirect, request, send_from_directory, url_for
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Response as BaseResponse

from app_adapter.defer import EXTENSION
from bridge.config.dashboard_settings import DashboardSettings, Role
from bridge.config.settings import Settings, load_settings
from bridge.console.printable import json_text
from bridge.console.program import Failure
from bridge.errors import BridgeError
from deferred_event_bridge.dashboard.access import Access, Check, User, access_of
from deferred_event_bridge.dashboard.acting import ActViews
from deferred_event_bridge.dashboard.acts import acts_of
from deferred_event_bridge.dashboard.decision_job import Busy, DecisionJobs
from deferred_event_bridge.dashboard.drawing import STATIC, draw, prepare
from deferred_event_bridge.dashboard.guarding import add_headers, check_origin
from deferred_event_bridge.dashboard.observing import Observer
from deferred_event_bridge.dashboard.plan_threads import PlanThreads
from deferred_event_bridge.dashboard.screens import child, event, failing, letter, now, pool, redrive
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, Unusable
from deferred_event_bridge.dashboard.signing_in import SignInViews

NAME = "bridge_dashboard"
SAID = "bridge_said"
OPEN = ("sign_in", "static_file")
"""Endpoints that need no user."""

QUERY = ("id", "key", "q", "queue", "name", "outcome")
"""The names in the query of a screen's URL. Others change nothing."""

YEAR = 365 * 24 * 3600
"""Seconds for which browsers keep a static file, whose URL changes with its content."""


def blueprint(check: Check | None = None, settings: Settings | None = None) -> Blueprint:
    """Return a blueprint with the page. Register it with a `url_prefix` in an app that has pages of its own.

    `check` is the host app's own sign-in: it gets the request and returns a `User`, or None for nobody. Without it the
    page has a sign-in of its own, for the users of the settings. `settings` are by default those of `DeferredEvents`,
    else those of `bridge.toml` and the environment. Registering raises `SettingsError` if nobody may use the page.
    """
    page = Page(check, settings)
    result = Blueprint(NAME, __name__)
    result.record(page.prepare)
    result.before_request(page.admit)
    result.after_request(add_headers)
    result.register_error_handler(HTTPException, page.http_error)
    for kind in (BridgeError, NotThere, Unusable, Busy, TimeoutError):
        result.register_error_handler(kind, page.error)
    result.add_url_rule("/sign-in", "sign_in", page.signing_in.sign_in, methods=["GET", "POST"])
    result.add_url_rule("/sign-out", "sign_out", page.signing_in.sign_out, methods=["POST"])
    result.add_url_rule("/static/<name>", "static_file", page.static_file)
    views = page.acts
    result.add_url_rule("/acts/<act>", "ask", views.ask, methods=["GET"])
    result.add_url_rule("/acts/<act>", "act", views.act, methods=["POST"])
    for path, name, view in (
        ("/", "now", page.now),
        ("/pool", "pool", page.pool),
        ("/pool/<instance>/<int:pid>", "child", page.child),
        ("/failing", "failing", page.failing),
        ("/failing/<group_id>", "group", page.group),
        ("/letters/<int:number>", "letter", page.letter),
        ("/event", "event", page.event),
        ("/redrive", "redrive", page.redrive),
    ):
        result.add_url_rule(path, name, view)
        result.add_url_rule(f"{'/now' if path == '/' else path}.json", f"{name}_json", view)
    return result


@dataclass(slots=True)
class Page:
    """The views of a blueprint."""

    _check: Check | None
    _given: Settings | None
    _observer: Observer = field(init=False)
    _access: Access = field(init=False)
    _title: str = field(init=False, default="bridge")
    _jobs: DecisionJobs = field(default_factory=DecisionJobs)
    _plans: PlanThreads = field(default_factory=PlanThreads)
    acts: ActViews = field(init=False)
    signing_in: SignInViews = field(init=False)

    def __post_init__(self) -> None:
        self.acts = ActViews(acts_of(self._jobs, self._plans), self.asked, self._answer, lambda: self._access, SAID)
        self.signing_in = SignInViews(self._check is not None, lambda: self._access, self._answer)

    def prepare(self, setup: BlueprintSetupState) -> None:
        """Read the settings of the app that registers the blueprint. Raise `SettingsError`."""
        state = setup.app.extensions.get(EXTENSION)
        settings = self._given or (load_settings() if state is None else state.settings)
        self._access = access_of(settings, self._check, setup.app.secret_key)
        self._title = (settings.values.dashboard or DashboardSettings()).title
        self._observer = setup.app.extensions[NAME] = Observer(settings)
        prepare()

    def admit(self) -> BaseResponse | None:
        """Let a request in, or answer it: 403 from a foreign page, the sign-in for somebody who is not signed in."""
        check_origin(request)
        endpoint = (request.endpoint or "").rpartition(".")[2]
        g.bridge_user = None
        if endpoint in OPEN:
            self._observer.begin()  # while the person signs in
            return None
        g.bridge_user = self._access.user_of(request)
        if g.bridge_user is not None:
            return None
        if self._check is not None or request.method != "GET" or _wants_json():
            abort(401, "Sign in first.")
        return redirect(url_for(".sign_in", next=_here()))

    def asked(self) -> Asked:
        """Return the question of the present request."""
        return Asked(self._observer, g.bridge_user, request.args, datetime.now(UTC))

    def now(self) -> BaseResponse:
        """Are we keeping up, and what is broken?"""
        asked = self.asked()
        document = now.document(asked)
        return self._answer("now.html", document, charts=now.charts(asked), commands=now.COMMANDS)

    def pool(self) -> BaseResponse:
        """Show the workers, their slots and their children."""
        return self._answer("pool.html", pool.document(self.asked()), commands=pool.COMMANDS)

    def child(self, instance: str, pid: int) -> BaseResponse:
        """Show where the code of one child is now."""
        return self._answer("child.html", child.document(self.asked(), instance, pid))

    def failing(self) -> BaseResponse:
        """Show the groups of failures, with their causes."""
        return self._answer("failing.html", failing.document(self.asked()))

    def group(self, group_id: str) -> BaseResponse:
        """One group of letters."""
        return self._answer("group.html", failing.group(self.asked(), group_id), group_id=group_id)

    def letter(self, number: int) -> BaseResponse:
        """One letter."""
        return self._answer("letter.html", letter.document(self.asked(), number), number=number)

    def event(self) -> BaseResponse:
        """Show one event on one line of time."""
        return self._answer("event.html", event.document(self.asked()))

    def redrive(self) -> BaseResponse:
        """Show the plans of redrives, with their progress."""
        return self._answer("redrive.html", redrive.document(self.asked(), self._jobs, self._plans.errors))

    def static_file(self, name: str) -> Response:
        """Return a file of the page."""
        response = send_from_directory(STATIC, name)
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        return response

    def http_error(self, error: HTTPException) -> BaseResponse:
        """Answer a request that cannot be served; Flask's error handler."""
        if error.code is None or error.code < 400:
            return Response(error.get_response().response, error.code)
        return self._error(error.code, error.description or "")

    def error(self, error: Exception) -> BaseResponse:
        """Answer a request that failed with an error of ours; Flask's error handler."""
        match error:
            case NotThere():
                return self._error(404, str(error))
            case Unusable() | Failure():
                return self._error(400, str(error))
            case Busy():
                return self._error(409, str(error))
            case TimeoutError():
                return self._error(504, "The broker did not answer in time.")
        return self._error(503, str(error))

    def _error(self, code: int, text: str) -> BaseResponse:
        return self._answer("error.html", {"headline": text or "This does not exist.", "code": code}, code)

    def _answer(self, template: str, document: Mapping[str, Any], status: int = 200, **further: Any) -> BaseResponse:
        """Return the document as JSON, if the URL or the client asks for that, else as a page."""
        if _wants_json():
            return Response(json_text(document, indent=2), status, content_type="application/json")
        user: User | None = getattr(g, "bridge_user", None)
        access: Access | None = getattr(self, "_access", None)
        said = access.read_form(user, request.cookies.get(SAID, "")) if user and access else None
        screen = (request.endpoint or "").rpartition(".")[2]
        values = {
            "doc": document,
            "title": self._title,
            "user": user,
            "own_sign_in": self._check is None,
            "said": said.get("said") if said else None,
            "screen": {"child": "pool", "group": "failing", "letter": "failing"}.get(screen, screen),
            "may_operate": user is not None and user.may(Role.OPERATE),
            "may_edit": user is not None and user.may(Role.EDIT),
            "json_url": _json_url(screen),
            "here": _here(),
            **further,
        }
        response = Response(draw(template, values), status, content_type="text/html; charset=utf-8")
        if said and "HX-Request" not in request.headers:
            response.delete_cookie(SAID, path=url_for(".now"))
        return response


def _here() -> str:
    """Return the URL of the request from its path on, with the prefix below which a web server shows the page."""
    return iri_to_uri(request.script_root + request.full_path.rstrip("?"))


def _wants_json() -> bool:
    return (request.endpoint or "").endswith("_json") or request.accept_mimetypes.best == "application/json"


def _json_url(screen: str) -> str | None:
    if screen not in ("now", "pool", "child", "failing", "group", "letter", "event", "redrive"):
        return None
    query = {name: request.args[name] for name in QUERY if name in request.args}
    values: dict[str, Any] = {**(request.view_args or {}), **query}
    return url_for(f".{screen}_json", **values)
