"""Forged, framed, replayed and hostile requests, roles, and the sign-in: with Flask's client on a site on SQLite."""

import asyncio
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.config.settings import Settings, load_settings
from bridge.errors import SettingsError
from deferred_event_bridge.dashboard import Role, User, blueprint, create_app, sign_in_limits
from deferred_event_bridge.dashboard.observing import Observer
from tests.contract.acts import a_letter
from tests.dashboard.page_client import EVIL, kill, on_broker, signed_in, token_of
from tests.dashboard.page_site import PASSWORDS, SETTINGS, dashboard_toml, until
from worker.control.controls_log import ControlsLog


def pauses(settings: Settings) -> list[str]:
    """Return who paused what, by the controls of the site."""
    found: list[str] = []

    async def read(broker: Broker) -> None:
        log = ControlsLog(broker, settings.values.namespace, settings.ledger_keys())
        await log.read_controls()
        found.extend(f"{each.target} by {each.who}: {each.why}" for each in log.controls.pauses(datetime.now(UTC)))

    on_broker(settings, read)
    return found


@pytest.mark.parametrize("path", ["/", "/now.json", "/pool", "/failing.json", "/event", "/redrive", "/acts/pause"])
def test_nobody_sees_anything_without_a_session(app: Flask, path: str) -> None:
    """A page leads to the sign-in; JSON is refused with 401."""
    answer = app.test_client().get(path)

    assert answer.status_code == (401 if path.endswith(".json") else 302)
    assert b"orders" not in answer.data


def test_without_users_the_page_does_not_start(tmp_path: Path) -> None:
    """The error names the setting and the command that makes it."""
    (tmp_path / "bridge.toml").write_text("")
    with pytest.raises(SettingsError, match=r"dashboard.users .*: expected one user or more.*bridge-web user"):
        create_app(load_settings(environ={}, file=str(tmp_path / "bridge.toml")))


def test_without_a_secret_the_page_does_not_start(tmp_path: Path) -> None:
    """The error names the setting."""
    toml = dashboard_toml().replace("secret", "title", 1).replace('\ntitle = "shop"', "")
    (tmp_path / "bridge.toml").write_text(toml)
    with pytest.raises(SettingsError, match=r"dashboard.secret .*: expected a secret"):
        create_app(load_settings(environ={}, file=str(tmp_path / "bridge.toml")))


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_a_page_of_another_site_changes_nothing(app: Flask, settings: Settings, headers: dict[str, str]) -> None:
    """A form from elsewhere is refused, also with the session and a token."""
    client = signed_in(app, "ola")
    form = {"token": token_of(client, "/acts/pause?queue=mail"), "why": "evil"}

    assert client.post("/acts/pause", data=form, headers=headers).status_code == 403
    assert pauses(settings) == []


def test_a_token_is_of_its_user_its_act_and_its_content(app: Flask, settings: Settings) -> None:
    """A missing, altered or foreign token, or one of another act, changes nothing."""
    ola, ana = signed_in(app, "ola"), signed_in(app, "ana")
    token = token_of(ola, "/acts/pause?queue=mail")

    forms = [
        ola.post("/acts/pause", data={"why": "x"}),
        ola.post("/acts/pause", data={"why": "x", "token": "0" + token}),
        ana.post("/acts/pause", data={"why": "x", "token": token}),
        ola.post("/acts/cancel", data={"why": "x", "token": token}),
        signed_in(app, "ola").post("/acts/pause", data={"why": "x", "token": token}),
    ]

    assert [answer.status_code for answer in forms] == [403] * len(forms)
    assert pauses(settings) == []


def test_a_form_that_is_sent_again_after_a_resume_does_nothing(app: Flask, settings: Settings) -> None:
    """A replayed pause does not hold, because its id was resumed."""
    client = signed_in(app, "ola")
    form = {"token": token_of(client, "/acts/pause?queue=mail"), "why": "away"}
    assert client.post("/acts/pause", data=form).status_code == 303
    assert pauses(settings) == ["queue mail by ola@page: away"]
    back = {"token": token_of(client, "/acts/resume?queue=mail"), "why": "back"}
    assert client.post("/acts/resume", data=back).status_code == 303

    assert client.post("/acts/pause", data=form).status_code == 303

    assert pauses(settings) == []


def test_a_plan_whose_form_is_sent_again_is_begun_once(app: Flask, settings: Settings) -> None:
    """Two posts of one form make one plan, with who and why."""
    kill(settings, a_letter)
    client = signed_in(app, "ola")
    until(lambda: client.get("/failing.json").get_json()["dead"] == 1)
    form = {"token": token_of(client, "/acts/redrive"), "why": "fixed", "rate": "100/s"}

    for _ in range(2):
        assert client.post("/acts/redrive", data=form).status_code == 303

    until(lambda: client.get("/redrive.json").get_json()["plans"])
    [plan] = client.get("/redrive.json").get_json()["plans"]
    assert (plan["letters"], plan["who"], plan["why"]) == (1, "ola@page", "fixed")


def test_letters_of_cancelled_events_are_left_out_of_a_plan(app: Flask, settings: Settings) -> None:
    """A redrive of all letters counts and puts back the others alone, as that of bridge-dlq does."""
    kill(settings, lambda delivery: replace(a_letter(delivery), reason="cancelled"))
    kill(settings, a_letter)
    client = signed_in(app, "ola")
    until(lambda: client.get("/failing.json").get_json()["dead"] == 2)
    asked = client.get("/acts/redrive").text
    assert "Redrive 1 dead letter?" in asked and "1 more are left out" in asked
    form = {"token": token_of(client, "/acts/redrive"), "why": "fixed", "rate": "100/s"}

    client.post("/acts/redrive", data=form)

    until(lambda: client.get("/redrive.json").get_json()["plans"])
    assert client.get("/redrive.json").get_json()["plans"][0]["letters"] == 1


def test_what_the_setting_redact_names_is_not_shown(app: Flask, settings: Settings) -> None:
    """A password in a payload is hidden on the page of its letter, and in its JSON."""
    kill(settings, a_letter, b'{"password": "hunter2hunter2", "to": "ann"}')
    client = signed_in(app, "ana")
    until(lambda: client.get("/failing.json").get_json()["dead"] == 1)

    for path in ("/letters/1", "/letters/1.json"):
        text = client.get(path).text
        assert "[redacted]" in text and "ann" in text and "hunter2" not in text


@pytest.mark.parametrize(
    ("name", "act", "code"),
    [
        ("sam", "pause?queue=mail", 403),
        ("ola", "pause?queue=mail", 200),
        ("ola", "discard", 403),
        ("ana", "discard", 404),
    ],
)
def test_a_role_may_only_do_its_acts(app: Flask, name: str, act: str, code: int) -> None:
    """See changes nothing, operate does not discard; 404 says that there is nothing to discard."""
    assert signed_in(app, name).get(f"/acts/{act}").status_code == code


def test_an_act_needs_a_reason(app: Flask, settings: Settings) -> None:
    """Without a reason nothing is recorded, and nothing is done."""
    client = signed_in(app, "ola")
    token = token_of(client, "/acts/pause?queue=mail")
    assert client.post("/acts/pause", data={"token": token, "why": " "}).status_code == 400
    assert pauses(settings) == []


def test_no_page_can_frame_this_one_or_bring_scripts_in(app: Flask) -> None:
    """Every answer forbids framing and everything inline; the session cookie is strict and hidden from scripts."""
    client = app.test_client()
    answer = client.post("/sign-in", data={"name": "ana", "password": PASSWORDS["ana"]}, base_url="https://localhost")
    for each in (answer, client.get("/"), client.get("/nowhere"), client.get("/static/page.css")):
        policy = each.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert each.headers["X-Frame-Options"] == "DENY"
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure"))


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/ok\r\nX: y"]
)
def test_the_sign_in_leads_nowhere_else(app: Flask, path: str) -> None:
    """Only a path of the page is followed after the sign-in."""
    answer = app.test_client().post("/sign-in", data={"name": "ana", "password": PASSWORDS["ana"], "next": path})
    assert answer.headers["Location"] == "/"


def test_tries_to_sign_in_are_limited(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sixth try within a moment waits, also with the right password, and says how long."""
    monkeypatch.setattr(sign_in_limits, "SECONDS_A_TRY", 600.0)  # a slow machine checks no five passwords in a moment
    client = app.test_client()
    for _ in range(5):
        assert client.post("/sign-in", data={"name": "ana", "password": "wrong"}).status_code == 403

    answer = client.post("/sign-in", data={"name": "ana", "password": PASSWORDS["ana"]})

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 600


def test_people_behind_one_address_do_not_hinder_each_other(app: Flask) -> None:
    """A right password spends no try."""
    for _ in range(4):
        for name in PASSWORDS:
            signed_in(app, name)


def test_a_changed_password_ends_the_session(settings: Settings, app: Flask) -> None:
    """A session of before the change is refused."""
    client = signed_in(app, "ana")
    cookie = client.get_cookie("bridge_session")
    assert cookie is not None
    dashboard = settings.values.dashboard
    assert dashboard is not None
    users = {**dashboard.users, "ana": replace(dashboard.users["ana"], password=dashboard.users["ola"].password)}
    changed = replace(settings, values=replace(settings.values, dashboard=replace(dashboard, users=users)))
    other = create_app(changed).test_client()
    other.set_cookie("bridge_session", cookie.value)

    assert other.get("/").status_code == 302


def test_hostile_texts_are_shown_as_texts(app: Flask, settings: Settings) -> None:
    """Markup in a message, a payload and a URL is escaped; control characters and direction marks are shown."""

    data = ('{"x": "' + EVIL.replace('"', '\\"').replace("\x1b", "\\u001b") + '"}').encode()
    error = Error("E" + EVIL, EVIL, EVIL + "\n" + EVIL)
    kill(settings, lambda delivery: replace(a_letter(delivery), error=error), data)
    client = signed_in(app, "ana")
    until(lambda: b"1 dead" in client.get("/failing").data)
    group = client.get("/failing.json").get_json()["groups"][0]["group"]
    number = client.get(f"/failing/{group}.json").get_json()["letters"][0]["number"]

    pages = ["/failing", f"/failing/{group}", f"/letters/{number}", "/event", f"/acts/redrive?number={number}"]
    pages += ["/failing?" + urlencode({"q": EVIL, "queue": EVIL}), "/event?" + urlencode({"key": EVIL})]
    pages += ["/?_external=1&_scheme=javascript", "/failing/" + "x" * 200, "/acts/" + "%3Cscript%3E"]
    for path in pages:
        page = client.get(path)
        assert page.status_code in (200, 404), path
        assert "<script>alert" not in page.text, path
        assert "\u202e" not in page.text and "\x1b" not in page.text, path
    assert "&lt;script&gt;" in client.get(f"/letters/{number}").text


def test_every_screen_is_json_too(app: Flask) -> None:
    """The document has the headline of the screen."""
    client = signed_in(app, "sam")
    for screen in ("now", "pool", "failing", "event", "redrive"):
        answer = client.get(f"/{screen}.json")
        assert (answer.status_code, answer.content_type) == (200, "application/json")
        assert answer.get_json()["headline"] in client.get("/" if screen == "now" else f"/{screen}").text


def test_attempts_are_chosen_by_name_queue_and_outcome(app: Flask, settings: Settings) -> None:
    """The question is kept in the form and in the command; a wrong one is refused with what was expected."""
    client = signed_in(app, "sam")

    page = client.get("/event?name=mail.%23&queue=mail&outcome=dead").text

    assert "The history has no such attempt." in page
    assert "<option selected>dead</option>" in page and 'value="mail.#"' in page
    assert "bridge-events list --last 30 --name &#39;mail.#&#39; --queue mail --outcome dead" in page
    wrong = client.get("/event?outcome=lost")
    assert (wrong.status_code, "outcome: expected one of delivered" in wrong.text) == (400, True)
    assert client.get("/event?name=%23.%23.").status_code == 400


def test_a_huge_form_is_refused(app: Flask) -> None:
    """413, before it is read."""
    client = signed_in(app, "ola")
    assert client.post("/acts/pause", data={"why": "x" * 500_000}).status_code == 413


def test_a_letter_is_shown_while_the_ledger_is_read(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, without acts, because whether it was decided is not known yet; so is its event."""

    async def read_for_long(_: Observer) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Observer, "_watch", read_for_long)
    kill(settings, a_letter)
    client = signed_in(app, "ana")

    page = client.get("/letters/1")

    assert page.status_code == 200
    assert "whether this letter was decided is not known yet" in page.text
    assert "no such account" in page.text and "/acts/redrive" not in page.text
    document = client.get("/letters/1.json").get_json()
    assert document["open"] is None
    assert "1 dead" not in client.get("/failing").text


def test_a_broker_that_is_away_is_said(app: Flask, settings: Settings, tmp_path: Path) -> None:
    """The screens stay, and say that the broker cannot be asked and why."""
    for each in tmp_path.glob("b.db*"):
        each.unlink()
    client = signed_in(app, "sam")
    until(lambda: "The broker cannot be asked" in client.get("/").text)
    assert client.get("/event").status_code == 503


@pytest.fixture
def host(settings: Settings) -> Iterator[FlaskClient]:
    """The client of an app of somebody's own, which has the page below /bridge and its own sign-in."""
    app = Flask("host")
    app.secret_key = "of the host"

    def check(request: Request) -> User | None:
        name = request.headers.get("X-User")
        return None if name is None else User(name, Role.OPERATE)

    app.register_blueprint(blueprint(check=check, settings=settings), url_prefix="/bridge")
    yield app.test_client()
    app.extensions["bridge_dashboard"].close()


def test_an_app_brings_its_own_sign_in(host: FlaskClient, settings: Settings) -> None:
    """The host's user acts below the prefix, under the host's name; somebody unknown gets 401, and there is no
    sign-in."""
    ben = {"X-User": "ben"}

    def get(path: str, headers: dict[str, str]) -> TestResponse:
        return host.get(path, headers=headers)

    assert [get("/bridge/", {}).status_code, get("/bridge/sign-in", {}).status_code] == [401, 404]
    form = get("/bridge/acts/pause?queue=mail", ben)
    token = re.search(r'name="token" value="([^"]+)"', form.text)
    assert token is not None
    assert 'action="/bridge/acts/pause?queue=mail"' in form.text
    assert host.post("/bridge/acts/pause", data={"token": token[1], "why": "x"}, headers=ben).status_code == 303
    assert pauses(settings) == ["queue mail by ben@page: x"]


@pytest.mark.rabbitmq
def test_the_page_of_a_site_on_rabbitmq(rabbitmq_url: str, tmp_path: Path) -> None:
    """The screens, a letter, a pause and a plan on RabbitMQ."""
    namespace = f"page{uuid.uuid4().hex[:8]}"
    head = f'broker_url = "{rabbitmq_url}"\nnamespace = "{namespace}"\n'
    (tmp_path / "bridge.toml").write_text(head + SETTINGS + dashboard_toml())
    settings = load_settings(environ={}, file=str(tmp_path / "bridge.toml"))
    on_broker(settings, lambda broker: broker.declare(settings.queues()))
    app = create_app(settings)
    try:
        kill(settings, a_letter)
        client = signed_in(app, "ola")
        until(lambda: client.get("/failing.json").get_json()["dead"] == 1, lambda: client.get("/failing.json").text)
        number = client.get("/failing.json").get_json()["groups"][0]["dead"]["newest"]
        event = client.get(f"/letters/{number}.json").get_json()["event"]["id"]
        for path in ("/", "/pool", "/failing", f"/letters/{number}", f"/event?id={event}", "/event", "/redrive"):
            assert client.get(path).status_code == 200, path
        assert "Dead letter" in client.get(f"/event?id={event}").text

        form = {"token": token_of(client, "/acts/pause?queue=mail"), "why": "away"}
        assert client.post("/acts/pause", data=form).status_code == 303
        assert pauses(settings) == ["queue mail by ola@page: away"]
        form = {"token": token_of(client, "/acts/redrive"), "why": "fixed", "rate": "100/s"}
        assert client.post("/acts/redrive", data=form).status_code == 303
        until(lambda: client.get("/failing.json").get_json()["dead"] == 0)
    finally:
        app.extensions["bridge_dashboard"].close()

        async def remove(broker: Broker) -> None:
            assert isinstance(broker, RabbitBroker)
            await broker.remove(settings.queues())

        on_broker(settings, remove)
