"""The views of the page's own sign-in."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from flask import abort, redirect, request, url_for
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Response

from deferred_event_bridge.dashboard.access import COOKIE, Access
from deferred_event_bridge.dashboard.sign_in_limits import SignInLimits

MAX_PASSWORD = 1000
"""The most characters of a password that is hashed."""


@dataclass(frozen=True, slots=True)
class SignInViews:
    """The views. With `is_hosted` the host app signs in, and there is no sign-in here. `answer` draws a template."""

    is_hosted: bool
    access: Callable[[], Access]
    answer: Callable[..., Response]
    _limits: SignInLimits = field(default_factory=SignInLimits)

    def sign_in(self) -> Response:
        """Show the sign-in, or sign in."""
        if self.is_hosted:
            abort(404)
        if request.method == "GET":
            return self._form("", 200, request.args.get("next", ""))
        name, password = request.form.get("name", "")[:200], request.form.get("password", "")[:MAX_PASSWORD]
        following = request.form.get("next", "")
        wait = self._limits.wait(request.remote_addr or "", name)
        if wait:
            response = self._form(f"Too many tries. Try again in {math.ceil(wait)} s.", 429, following)
            response.headers["Retry-After"] = str(math.ceil(wait))
            return response
        access = self.access()
        cookie = access.sign_in(name, password)
        if cookie is None:
            return self._form("Wrong name or password.", 403, following)
        self._limits.give_back(request.remote_addr or "", name)
        response = redirect(_within(following), 303)
        set_cookie(response, COOKIE, cookie, int(access.session_seconds))
        return response

    def sign_out(self) -> Response:
        """Forget the session."""
        response = redirect(url_for(".now" if self.is_hosted else ".sign_in"), 303)
        response.delete_cookie(COOKIE, path=url_for(".now"))
        return response

    def _form(self, wrong: str, status: int, following: str) -> Response:
        return self.answer("sign_in.html", {"headline": "Sign in", "wrong": wrong}, status, next=following)


def set_cookie(response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie of the page, which no script and no other site can use."""
    response.set_cookie(
        name, value, max_age=seconds, path=url_for(".now"), secure=request.is_secure, httponly=True, samesite="Strict"
    )


def _within(path: str) -> str:
    """Return the path if it is one of the page, else that of its first screen: nobody is sent to another site."""
    root = iri_to_uri(url_for(".now"))
    plain = path.isascii() and path.isprintable() and "\\" not in path and not path.startswith("//")
    return path if plain and path.startswith(root) else root
