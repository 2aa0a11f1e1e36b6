"""The public URL of replays inside an app: those of its config or settings, and a refusal to invent one.

The receiver sets it in the environ of each replay, whoever sent the replay, so an external URL that a listener makes is
the same as in a request of a user.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

from flask import Flask

from bridge.public_url import UNKNOWN_HOST, PublicUrl

_UNKNOWN = "bridge.unknown_public_url"
_EXTERNAL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?//")


class _Config(NamedTuple):
    """The parts of the app's public URL that are in Flask's config."""

    server_name: str | None
    scheme: str | None
    root: str | None
    trusted_host: str | None


def set_public_url(environ: WSGIEnvironment, app: Flask, setting: PublicUrl | None) -> None:
    """Set the public URL of a replay: that of SERVER_NAME, PREFERRED_URL_SCHEME and APPLICATION_ROOT, else the setting.

    If the app has neither, a host and mount that the worker sent remain. If the worker sent none either, the host is
    one that the app answers to, and no external URL can be made.
    """
    get = app.config.get
    trusted = get("TRUSTED_HOSTS")
    config = _Config(
        get("SERVER_NAME"), get("PREFERRED_URL_SCHEME"), get("APPLICATION_ROOT"), trusted[0] if trusted else None
    )
    sent = (environ["wsgi.url_scheme"], environ.get("HTTP_HOST", UNKNOWN_HOST), environ.get("SCRIPT_NAME", ""))
    url, parameters, is_known = _resolved(config, setting, *sent)
    environ.pop("HTTPS", None)
    environ.update(parameters)
    environ["REQUEST_URI"] = url.mount + environ.get("PATH_INFO", "")
    environ["wsgi.url_scheme"] = url.scheme
    environ[_UNKNOWN] = not is_known


@lru_cache(maxsize=100)  # some microseconds of each replay; the replays of a site differ in their path only
def _resolved(
    config: _Config, setting: PublicUrl | None, sent_scheme: str, sent_host: str, sent_mount: str
) -> tuple[PublicUrl, dict[str, str], bool]:
    """Return the public URL, its parameters without those of a path, and whether its host is known."""
    root = (config.root or "").strip("/")
    mount = f"/{root}" if root else ""
    scheme = config.scheme or "http"
    is_known = True
    if config.server_name:
        url = PublicUrl(scheme, config.server_name, mount)
    elif setting is not None:
        url = replace(setting, mount=setting.mount or mount)
    else:
        is_known = sent_host != UNKNOWN_HOST
        host = sent_host if is_known else (config.trusted_host or UNKNOWN_HOST).lstrip(".")
        url = PublicUrl(sent_scheme if scheme == "http" else scheme, host, mount)
    url = replace(url, mount=url.mount or sent_mount)
    parameters = url.parameters("")
    del parameters["PATH_INFO"], parameters["REQUEST_URI"]
    return url, parameters, is_known


def refuse_invented_urls(app: Flask) -> None:
    """Let `url_for(…, _external=True)` raise in a replay that has no public URL."""
    create = app.create_url_adapter

    def create_url_adapter(request: Any) -> Any:
        adapter = create(request)
        if adapter is not None and request is not None and request.environ.get(_UNKNOWN):
            adapter.build = _refusing(adapter.build)  # type: ignore[method-assign]  # of this request alone
        return adapter

    app.create_url_adapter = create_url_adapter  # type: ignore[method-assign]  # Flask calls it for each request


def _refusing(build: Callable[..., str]) -> Callable[..., str]:
    def build_relative(*arguments: Any, **named: Any) -> str:
        url = build(*arguments, **named)
        if _EXTERNAL.match(url):
            raise RuntimeError(
                "a deferred event cannot make an external URL, because the app's public URL is not known. Set "
                "SERVER_NAME (with PREFERRED_URL_SCHEME and APPLICATION_ROOT) in Flask's config, or public_url in "
                "bridge.toml, such as 'https://shop.example'"
            )
        return url

    return build_relative
