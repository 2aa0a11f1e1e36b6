"""The response of the replay URL's view, as the app's hooks and middleware see it. The receiver replaces it by the
reply of its verdict."""

from collections.abc import Iterable, Iterator
from wsgiref.types import WSGIEnvironment

from flask import Response
from werkzeug.datastructures import Headers

from bridge.reply import KINDS, Kind

_HEADERS = {
    kind: [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(kind) + 1))] for kind in KINDS
}


class _Body:
    """The body of a response: an iterator whose `close()` closes the response, as Werkzeug's `ClosingIterator`, which
    costs several times as much."""

    __slots__ = ("_pieces", "close")

    def __init__(self, response: Response) -> None:
        self._pieces = response.iter_encoded()
        self.close = response.close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def __next__(self) -> bytes:
        return next(self._pieces)


class ViewResponse(Response):
    """A response of Flask's that is sent with less work if no hook has changed its head."""

    def get_wsgi_response(self, environ: WSGIEnvironment) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return what Flask's response returns: its body, status and headers.

        Werkzeug makes a copy of the headers, in which it corrects a location and adds the length. An unchanged head has
        no location, and it has its length.
        """
        headers = list(self.headers)
        is_plain = self.status_code == 200 and headers == _HEADERS["delivered"] and not self.direct_passthrough
        if is_plain and environ["REQUEST_METHOD"] == "POST":  # a middleware may have made a HEAD of it: no body
            return _Body(self), self.status, headers
        return super().get_wsgi_response(environ)


def view_response(kind: Kind) -> Response:
    """Return the response to a replay with a verdict of this kind."""
    headers = Headers()
    for name, value in _HEADERS[kind]:
        headers.add(name, value)
    return ViewResponse([f"{kind}\n".encode()], headers=headers)
