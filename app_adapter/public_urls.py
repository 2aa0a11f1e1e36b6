"""The public URL of replays inside an app: those of its config or settings, and a refusal to invent one.

The receiver sets it in the environ of each replay, whoever sent the replay, so an external URL that a listener makes is
the same as in a request of a user.
"""

import re
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

from flask import Flask
from werkzeug.routing import MapAdapter

from bridge.public_url import UNKNOWN_HOST, PublicUrl

_UNKNOWN = "bridge.unknown_public_url"
_EXTERNAL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?//")


class _Given(NamedTuple):
    """The sources of a replay's public URL: Flask's config, and the parameters that the worker sent."""

    server_name: str | None
    scheme: str | None
    root: str | None
    trusted_host: str
    sent_scheme: str
    sent_host: str
    sent_mount: str


class ReplayUrls:
    """Sets the public URL of an app's replays: that of SERVER_NAME, PREFERRED_URL_SCHEME and APPLICATION_ROOT, else the
    setting.

    If the app has neither, a host and mount that the worker sent remain. If the worker sent none either, the host is
    one that the app answers to, and no external URL can be made.
    """

    def __init__(self, app: Flask, setting: PublicUrl | None) -> None:
        self._app = app
        self._setting = setting
        self._last: tuple[tuple[object, ...], dict[str, Any]] = ((), {})

    def set_in(self, environ: WSGIEnvironment) -> None:
        """Set the public URL in the environ of a replay."""
        config, sent = self._app.config.get, environ.get
        trusted = config("TRUSTED_HOSTS")
        given = (
            config("SERVER_NAME"),
            config("PREFERRED_URL_SCHEME"),
            config("APPLICATION_ROOT"),
            trusted[0] if trusted else UNKNOWN_HOST,
            environ["wsgi.url_scheme"],
            sent("HTTP_HOST", UNKNOWN_HOST),
            sent("SCRIPT_NAME", ""),
        )
        known, parameters = self._last
        if given != known:  # most replays of a site differ in their path only
            parameters = _parameters(_Given(*given), self._setting)
            self._last = given, parameters
        environ.pop("HTTPS", None)
        environ.update(parameters)
        environ["REQUEST_URI"] = environ["SCRIPT_NAME"] + sent("PATH_INFO", "")


def _parameters(given: _Given, setting: PublicUrl | None) -> dict[str, Any]:
    """Return the values of an environ that the public URL makes, without those of a path."""
    root = (given.root or "").strip("/")
    mount = f"/{root}" if root else ""
    scheme = given.scheme or "http"
    is_known = True
    if given.server_name:
        url = PublicUrl(scheme, given.server_name, mount)
    elif setting is not None:
        url = replace(setting, mount=setting.mount or mount)
    else:
        is_known = given.sent_host != UNKNOWN_HOST
        host = given.sent_host if is_known else given.trusted_host.lstrip(".")
        url = PublicUrl(given.sent_scheme if scheme == "http" else scheme, host, mount)
    url = replace(url, mount=url.mount or given.sent_mount)
    parameters = url.parameters("")
    del parameters["PATH_INFO"], parameters["REQUEST_URI"]
    return {**parameters, "wsgi.url_scheme": url.scheme, _UNKNOWN: not is_known}


def refuse_invented_urls(app: Flask) -> None:
    """Let `url_for(…, _external=True)` raise in a replay that has no public URL."""
    create = app.create_url_adapter

    def create_url_adapter(request: Any) -> Any:
        adapter = create(request)
        if adapter is not None and request is not None and request.environ.get(_UNKNOWN):
            # Of this request alone.
            adapter.__class__ = _refusing(type(adapter))  # type: ignore[arg-type]  # a class can be hashed
        return adapter

    app.create_url_adapter = create_url_adapter  # type: ignore[method-assign]  # Flask calls it for each request


@cache
def _refusing(adapter_class: type[MapAdapter]) -> type[MapAdapter]:
    """Return a class of adapters that make no external URL."""

    class Refusing(adapter_class):  # type: ignore[valid-type, misc]  # a class that is known at run time
        def build(self, *arguments: Any, **named: Any) -> str:
            url: str = super().build(*arguments, **named)
            if _EXTERNAL.match(url):
                raise RuntimeError(
                    "a deferred event cannot make an external URL, because the app's public URL is not known. Set "
                    "SERVER_NAME (with PREFERRED_URL_SCHEME and APPLICATION_ROOT) in Flask's config, or public_url in "
                    "bridge.toml, such as 'https://shop.example'"
                )
            return url

    return Refusing
