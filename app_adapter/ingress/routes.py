"""The blueprint that takes events over HTTP: its URLs, and the order of the checks before an event is deferred."""

import json
import time
from dataclasses import dataclass, field

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from app_adapter.app_state import AppState
from app_adapter.defer import EXTENSION
from app_adapter.ingress import cloudevents, openapi, reading, zmws
from app_adapter.ingress.access import Access, Client, access_of, ingress_of
from app_adapter.ingress.asked import KEY, NOTHING, Asked, asked_of, asks
from app_adapter.ingress.bodies import check_json, read_body
from app_adapter.ingress.cloudevents import Received
from app_adapter.ingress.keys import Keys, keys_of
from app_adapter.ingress.problems import Problem, answer_to_problem, wrong
from app_adapter.ingress.rates import RateLimits
from app_adapter.ingress.sending import Answered, Sent, check, send, send_many
from app_adapter.ingress.webhooks import ID as WEBHOOK_ID
from app_adapter.ingress.webhooks import Webhooks, is_signed, webhooks_of
from app_adapter.listener_api import is_json
from bridge.config.ingress_settings import IngressSettings, Right
from bridge.config.settings import Settings
from bridge.errors import SettingsError


def blueprint() -> Blueprint:
    """Return a blueprint that takes events over HTTP for one app. The app must have `DeferredEvents` when it registers
    the blueprint. Registering raises `SettingsError` if the settings name no token."""
    ingress = Ingress()
    result = Blueprint("ingress", __name__)
    result.record(ingress.prepare)
    result.register_error_handler(Problem, answer_to_problem)
    result.post("/events")(ingress.post)
    result.post("/events/<name>")(ingress.post)
    result.get("/events")(ingress.events)
    result.get("/events/<event_id>")(ingress.event)
    result.get("/workers")(ingress.workers)
    result.get("/openapi.json")(ingress.openapi)
    return result


@dataclass(slots=True)
class Ingress:
    """The views of a blueprint, with what they have read of the settings of its app."""

    _settings: Settings = field(init=False)
    _access: Access = field(init=False)
    _webhooks: Webhooks = field(init=False)
    _keys: Keys = field(init=False)
    _limits: IngressSettings = field(init=False)
    _rates: RateLimits = field(default_factory=RateLimits)

    def prepare(self, setup: BlueprintSetupState) -> None:
        """Read the settings of the app that registers the blueprint. Raise `SettingsError`."""
        state = setup.app.extensions.get(EXTENSION)
        if state is None:
            raise SettingsError(
                f"the app {setup.app.name!r}: expected DeferredEvents(app) before the ingress is registered"
            )
        self._settings = state.settings
        self._access, self._limits = access_of(self._settings), ingress_of(self._settings)
        self._webhooks = webhooks_of(self._limits)
        self._keys = keys_of(self._settings)
        if self._limits.zmws is not None:
            setup.add_url_rule("/<job>", "zmws", self.zmws, methods=["GET", "POST"])

    def post(self, name: str | None = None) -> Response:
        """Take the events of a request. With a name in the URL, that is the name of each."""
        environ, headers = request.environ, request.headers  # `request` looks these up at each use
        token = None if is_signed(headers) else self._access.client(headers.get("Authorization"))
        body = read_body(request, self._limits.max_request)
        client = token or self._webhooks.client(headers, body, time.time())
        asked = asked_of(headers, self._limits.key_within, self._limits.longest_wait) if asks(environ) else NOTHING
        content_type = headers.get("Content-Type", "")
        if cloudevents.is_batch(content_type):
            return self._post_batch(client, name, body, asked)
        event = _named(self._event(content_type, body, name), name)
        if token is None:
            event = event._replace(key=headers[WEBHOOK_ID])
        self._take(client, event, asked)
        result = send(_state(), self._keys, event, asked)
        return _answered(result, asked) if isinstance(result, Answered) else _deferred(result, name)

    def event(self, event_id: str) -> Response:
        """Show what became of an event."""
        return _json(reading.event(self._settings, self._reader(), event_id), 200)

    def events(self) -> Response:
        """List the newest attempts."""
        return _json(reading.events(self._settings, self._reader(), request.args), 200)

    def workers(self) -> Response:
        """Show the workers of the site."""
        return _json(reading.workers(self._settings, self._reader()), 200)

    def zmws(self, job: str) -> Response:
        """Answer in the dialect of zmws. A request has the rights of the token that the settings name for it."""
        client = self._access.named(str(self._limits.zmws))
        parameters = zmws.parameters(request, read_body(request, self._limits.max_request))
        return zmws.answer(_state(), client, job, parameters, self._limits.longest_wait.total_seconds(), self._take)

    def _take(self, client: Client, event: Received, asked: Asked) -> None:
        self._check(client, event, asked)
        self._rates.take(client, 1)

    def openapi(self) -> Response:
        """Describe the ingress. Everybody may read that."""
        return _json(openapi.document(request.base_url.removesuffix("/openapi.json")), 200)

    def _reader(self) -> Client:
        client = self._access.client(request.headers.get("Authorization"))
        client.check_right(Right.READ)
        return client

    def _post_batch(self, client: Client, name: str | None, body: bytes, asked: Asked) -> Response:
        if asked.wait:
            raise wrong("Prefer: wait", f"{asked.wait:g}", "expected no wait with a batch")
        if KEY in request.headers:
            raise wrong(KEY, request.headers[KEY], "expected no key with a batch, whose events have one each: their id")
        content_type = request.headers["Content-Type"]
        found = cloudevents.of_batch(content_type, body, self._limits.max_depth, self._limits.max_events)
        events = [self._checked(client, each, name, asked) for each in found]
        self._rates.take(client, len(events))
        return _batch_answer(send_many(_state(), self._keys, events, asked))

    def _event(self, content_type: str, body: bytes, name: str | None) -> Received:
        depth = self._limits.max_depth
        if cloudevents.is_structured(content_type):
            return cloudevents.of_structured(content_type, body, depth)
        payload = body if body or (content_type and not is_json(content_type)) else None
        if payload is not None and is_json(content_type):
            check_json(payload, depth)
        if cloudevents.is_binary(request.headers):
            return cloudevents.of_binary(request.headers, payload, content_type or None)
        if name is None:
            raise wrong("Content-Type", content_type, "expected a CloudEvent, or the event's name in the URL")
        return Received(name, payload, content_type or None)

    def _check(self, client: Client, event: Received, asked: Asked) -> None:
        check(event, self._settings.values.max_body)
        client.check(Right.DEFER, event.name)
        if asked.wait:
            client.check(Right.CALL, event.name)

    def _checked(self, client: Client, found: Received | Problem, name: str | None, asked: Asked) -> Received | Problem:
        """Return an event of a batch, or its problem."""
        if isinstance(found, Problem):
            return found
        event = _named(found, name)
        try:
            self._check(client, event, asked)
        except Problem as problem:
            return problem
        return event


def _named(event: Received, name: str | None) -> Received:
    return event if name is None or name == event.name else event._replace(name=name)


def _state() -> AppState:
    state: AppState = current_app.extensions[EXTENSION]
    return state


def _answered(answer: Answered, asked: Asked) -> Response:
    headers = {"Preference-Applied": f"wait={asked.wait:g}"}
    if isinstance(answer.value, bytes):
        return Response(answer.value, headers=headers, content_type="application/octet-stream")
    return Response(current_app.json.dumps(answer.value), headers=headers, content_type="application/json")


def _deferred(event_id: str, name: str | None) -> Response:
    events = request.path if name is None else request.path.rpartition("/")[0]  # making it with url_for takes longer
    location = f"{request.script_root}{events}/{event_id}"
    response = _json({"id": event_id}, 202)
    response.headers["Location"] = location
    return response


def _batch_answer(sent: Sent) -> Response:
    items = [end.document() if isinstance(end, Problem) else {"id": end, "status": 202} for end in sent.ends]
    response = _json(items, sent.status)
    if sent.retry_after is not None:
        response.headers["Retry-After"] = sent.retry_after
    return response


def _json(value: object, status: int) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")
