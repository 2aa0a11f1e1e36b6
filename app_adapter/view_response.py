"""The response of the replay URL's view, as the app's hooks and middleware see it. The receiver replaces it by the
reply of its verdict."""

from collections.abc import Iterable
from wsgiref.types import WSGIEnvironment

from flask import Response
from werkzeug.datastructures import Headers

from bridge.reply import KINDS, Kind

_HEADERS = {
    kind: [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(kind) + 1))] for kind in KINDS
}


class ViewResponse(Response):
    """A response of Flask's that is sent with less work if no hook has changed its head."""

    def get_wsgi_response(self, environ: WSGIEnvironment) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return what Flask's response returns: its body, status and headers.

        Werkzeug makes a copy of the headers, in which it corrects a location and adds the length. An unchanged head has
        no location, and it has its length.
        """
        headers = list(self.headers)
        if self.status_code == 200 and headers == _HEADERS["delivered"]:
            return self.get_app_iter(environ), self.status, headers
        return super().get_wsgi_response(environ)


def view_response(kind: Kind) -> Response:
    """Return the response to a replay with a verdict of this kind."""
    headers = Headers()
    headers[:] = _HEADERS[kind]
    return ViewResponse([f"{kind}\n".encode()], headers=headers)
