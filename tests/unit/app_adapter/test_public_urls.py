"""The external URLs that listeners make: those of the app's config or settings, or a refusal."""

from collections.abc import Iterable
from typing import Any

import pytest
from flask import Flask, redirect, request, url_for

from app_adapter import Event
from bridge.public_url import UNKNOWN_HOST, PublicUrl
from tests.unit.app_adapter.replays import Answer, Shop


def linking(config: dict[str, Any] | None = None, app: Flask | None = None) -> tuple[Shop, list[str]]:
    """Return an app whose listener makes an external URL, and the list of the URLs that it made."""
    shop = Shop(app or Flask("shop"), config or {})
    made: list[str] = []
    shop.app.add_url_rule("/orders/<int:id>", "order", lambda id: "order")

    @shop.events.on("order.#")
    def link(event: Event) -> None:
        made.append(url_for("order", id=17, _external=True))

    return shop, made


SITES: list[tuple[dict[str, Any], str]] = [
    ({"SERVER_NAME": "shop.example"}, "http://shop.example/orders/17"),
    ({"SERVER_NAME": "shop.example:8080"}, "http://shop.example:8080/orders/17"),
    ({"SERVER_NAME": "shop.example", "PREFERRED_URL_SCHEME": "https"}, "https://shop.example/orders/17"),
    ({"SERVER_NAME": "shop.example", "APPLICATION_ROOT": "/office"}, "http://shop.example/office/orders/17"),
    ({"SERVER_NAME": "shop.example", "APPLICATION_ROOT": "office/"}, "http://shop.example/office/orders/17"),
    ({"SERVER_NAME": "a.example", "TRUSTED_HOSTS": ["b.example", "a.example"]}, "http://a.example/orders/17"),
    ({"BRIDGE_PUBLIC_URL": "https://shop.example"}, "https://shop.example/orders/17"),
    ({"BRIDGE_PUBLIC_URL": "https://shop.example:8443/office"}, "https://shop.example:8443/office/orders/17"),
    ({"BRIDGE_PUBLIC_URL": "https://a.example", "APPLICATION_ROOT": "/m"}, "https://a.example/m/orders/17"),
    ({"BRIDGE_PUBLIC_URL": "https://a.example", "SERVER_NAME": "b.example"}, "http://b.example/orders/17"),
]


@pytest.mark.parametrize(("config", "url"), SITES)
def test_an_external_url_is_that_of_the_app(config: dict[str, Any], url: str) -> None:
    """Flask's config comes first, then the setting public_url."""
    shop, made = linking(config)

    assert shop.replay().verdict.kind == "delivered"
    assert made == [url]


@pytest.mark.parametrize(("config", "url"), SITES)
def test_it_is_the_url_of_the_app_whoever_sends_the_replay(config: dict[str, Any], url: str) -> None:
    """A worker of a foreign pool knows another host or none."""
    shop, made = linking(config)

    for host in ("localhost", "other.example:81"):
        assert shop.replay(HTTP_HOST=host, SERVER_NAME=host).verdict.kind == "delivered"
    assert made == [url] * 2


@pytest.mark.parametrize(("config", "url"), SITES[:8])
def test_in_a_recording_the_url_is_the_same(config: dict[str, Any], url: str) -> None:
    """`events.testing()` replays as a worker does."""
    shop, made = linking(config)

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        deferred.replay()

    assert made == [url]


def test_the_request_of_a_replay_is_one_of_the_site() -> None:
    """Everything in Flask's request agrees: scheme, host, port, mount."""
    shop = Shop(config={"SERVER_NAME": "a.example", "PREFERRED_URL_SCHEME": "https", "APPLICATION_ROOT": "/m"})
    seen: list[object] = []
    shop.events.on("order.#", name="look")(
        lambda event: seen.extend([request.is_secure, request.url, request.url_root, dict(request.environ)])
    )

    shop.replay()

    *facts, environ = seen
    assert facts == [True, "https://a.example/m/_bridge/order.paid", "https://a.example/m/"]
    assert isinstance(environ, dict)
    expected = {"HTTPS": "on", "SERVER_PORT": "443", "SCRIPT_NAME": "/m", "REQUEST_URI": "/m/_bridge/order.paid"}
    assert expected.items() <= environ.items()


@pytest.mark.parametrize(
    "config", [{}, {"PREFERRED_URL_SCHEME": "https"}, {"TRUSTED_HOSTS": [".shop.example", "other"]}]
)
def test_a_listener_that_makes_an_external_url_without_any_is_told_so(config: dict[str, Any]) -> None:
    """The event fails, and the message names the settings. No URL is invented."""
    shop, made = linking(config)

    verdict = shop.replay().verdict

    assert verdict.error is not None
    assert "cannot make an external URL, because the app's public URL is not known. Set SERVER_NAME" in (
        verdict.error.message
    )
    assert made == []


def test_without_a_public_url_the_request_has_a_host_that_cannot_be_mistaken() -> None:
    """`request.url_root` is not that of localhost, and a trusted host is one that the app answers to."""
    seen: list[str] = []
    for config in ({}, {"TRUSTED_HOSTS": [".shop.example", "other"]}):
        shop = Shop(config=config)
        shop.events.on("order.#", name="look")(lambda event: seen.append(request.url_root))
        assert shop.replay().verdict.kind == "delivered"

    assert seen == [f"http://{UNKNOWN_HOST}/", "http://shop.example/"]


def test_relative_urls_and_redirects_need_no_public_url() -> None:
    """Nor does an URL that has its host already."""
    shop, _ = linking()
    made: list[object] = []
    shop.events.on("invoice.#", name="link")(
        lambda event: made.extend([url_for("order", id=1), redirect("https://a.example/").location])
    )

    assert shop.replay("invoice.sent").verdict.kind == "delivered"
    assert made == ["/orders/1", "https://a.example/"]


def test_a_scheme_alone_is_the_scheme_of_replays() -> None:
    """An app that redirects to HTTPS lets its replays pass."""
    shop = Shop(config={"PREFERRED_URL_SCHEME": "https"})
    shop.listens()
    shop.app.before_request(lambda: None if request.is_secure else redirect("https://shop.example/"))

    assert shop.replay().verdict.kind == "delivered"


def sent_with(shop: Shop, url: PublicUrl) -> Answer:
    """Replay as a worker that knows the site's public URL."""
    changes: dict[str, Any] = {**url.parameters("/_bridge/order.paid"), "wsgi.url_scheme": url.scheme}
    return shop.replay(**changes)


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, "https://sent.example:8443/m/orders/17"),
        ({"APPLICATION_ROOT": "/own"}, "https://sent.example:8443/own/orders/17"),
        ({"SERVER_NAME": "own.example"}, "http://own.example/m/orders/17"),
    ],
)
def test_an_app_without_a_public_url_takes_that_of_the_worker(config: dict[str, Any], url: str) -> None:
    """The worker of a foreign pool has `host` and `public_url`; the app's own config comes first."""
    shop, made = linking(config)

    sent_with(shop, PublicUrl("https", "sent.example:8443", "/m"))

    assert made == [url]


def test_an_ordinary_request_is_not_touched() -> None:
    """Users' requests have the host that the web server sent."""
    shop, _ = linking()
    shop.app.add_url_rule("/link", "link", lambda: url_for("order", id=1, _external=True))

    assert shop.app.test_client().get("/link", base_url="https://here.example").text == "https://here.example/orders/1"


def mounted(app: Any) -> Any:
    """Return a middleware that mounts the app at /here, as a dispatcher does."""

    def dispatch(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found: Iterable[bytes] = app({**environ, "SCRIPT_NAME": "/here"}, start_response)
        return found

    return dispatch


def test_a_mount_of_a_middleware_stays() -> None:
    """Unless the app names its own."""
    shop, made = linking({"SERVER_NAME": "a.example"})
    shop.app.wsgi_app = mounted(shop.app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it

    shop.replay()

    assert made == ["http://a.example/here/orders/17"]
