"""A request under flup: its output streams, its environ, and the run of its app by `wsgi_response`."""

import hmac
import os
import traceback
from collections.abc import Iterable
from io import BufferedReader
from typing import Any
from wsgiref.types import WSGIApplication

from flup.server import fcgi_base as fcgi
from flup.server.fcgi_single import WSGIServer

from app_adapter.descendants import end_if_copy
from app_adapter.news import ENVIRON as NEWS
from app_adapter.news import News
from app_adapter.request_body import RequestBody
from app_adapter.standard_streams import say
from app_adapter.wsgi_response import UNHANDLED, ClientGone, WsgiResponse

MAX_CONTENT = 65_528
READ_SIZE = 65_536


class _Output(fcgi.OutputStream):  # type: ignore[misc]  # flup has no types
    """STDOUT of a request. It takes any text of any size. Output after the request's end goes to stderr."""

    def write(self, data: str | bytes) -> None:
        if isinstance(data, str):
            data = data.encode("utf-8", "backslashreplace")
        if self.closed:
            say(data)
        else:
            super().write(data)

    def writelines(self, lines: Iterable[str | bytes]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        super().close()
        self.closed = True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(data), MAX_CONTENT):
            self._conn.write(self._type, self._req.requestId, view[at : at + MAX_CONTENT])


class _ErrorOutput(_Output):
    """STDERR of a request. A logger flushes it after each line, so it is gathered to large records."""

    def __init__(self, connection: Any, request: "_Request") -> None:
        super().__init__(connection, request, fcgi.FCGI_STDERR)
        self._gathered = bytearray()
        self._said = 0

    def flush(self) -> None:
        """Write what is new to this process's stderr, if the server wants that."""
        if self._req.server.says_errors():
            say(bytes(self._gathered[self._said :]))
            self._said = len(self._gathered)

    def pass_on(self) -> None:
        """Write what was gathered to the connection."""
        self.flush()
        gathered, self._gathered, self._said = bytes(self._gathered), bytearray(), 0
        super()._write(gathered)

    def close(self) -> None:
        if not self.closed:
            self.pass_on()
        super().close()

    def _write(self, data: bytes) -> None:
        self._gathered += data
        if len(self._gathered) >= MAX_CONTENT:
            self.pass_on()


class _Request(fcgi.Request):  # type: ignore[misc]  # flup has no types
    """A request, and the client of its response."""

    def __init__(self, connection: Any, input_stream: Any, timeout: Any) -> None:
        # Not flup's own, which makes streams that this class replaces.
        self._conn, self.server = connection, connection.server
        self.params: dict[str, str] = {}
        self.body = self.stdin = self.data = RequestBody(connection.process_input)
        self.stdout = _Output(connection, self, fcgi.FCGI_STDOUT)
        self.stderr = _ErrorOutput(connection, self)
        self.encoded = bytearray()  # a pair may be split between two PARAMS records
        self.started = False
        """True if all parameters have arrived."""

    @property
    def gone(self) -> bool:
        """True if the client is known to have left."""
        return bool(self._conn.gone or self.aborted)

    def has_left(self) -> bool:
        """Look whether the client has left."""
        return self.gone or self._conn.has_hung_up()

    def run(self) -> None:
        """Run the app. A response that breaks after its first byte has no END_REQUEST, so that no client takes a part
        for the whole."""
        response = WsgiResponse(self)
        try:
            if self.role not in self.server.roles:
                response.ended = True
                self._flush()
                self._end(0, fcgi.FCGI_UNKNOWN_ROLE)
            else:
                response.run(self.server.application, self.server.environ_of(self))
        except ClientGone:
            self._conn.end_after_request()
        except BaseException as error:  # SystemExit too: it ends a request, not the child
            end_if_copy(self.server.pid, error)
            self.stderr.write(traceback.format_exc())
            self._conclude(response)
        finally:
            end_if_copy(self.server.pid)
            self._conn.forget(self)

    def _conclude(self, response: WsgiResponse) -> None:
        """End a response whose app has raised."""
        if not response.begun:
            self.send(UNHANDLED, more=True)
            self.end()
        elif not response.ended:
            self.stderr.pass_on()
            # Without keep_conn, nginx takes the end of the stream for the end of a response of unknown length. It and
            # others give a response up at a record that no application may send.
            self._conn.write(fcgi.FCGI_ABORT_REQUEST, self.requestId, b"")
            self._conn.end_after_request()

    def send(self, data: bytes, *, more: bool) -> None:
        """Send a part of the response."""
        self.stdout.write(data)
        if not more:
            self._conn.send_pending()

    def end(self) -> None:
        """End the response."""
        self._flush()
        self._end()


class FlupServer(WSGIServer):  # type: ignore[misc]  # flup has no types
    """The server object that flup's handlers expect. It never listens.

    `prints_errors`: the error output of a request goes to this process's stderr too. `secret`: a request is a replay
    only if it knows this secret. `news`: where listeners tell the worker of their event.
    """

    request_class = _Request
    maxwrite = MAX_CONTENT + fcgi.FCGI_HEADER_LEN

    def __init__(
        self,
        app: WSGIApplication,
        *,
        prints_errors: bool = False,
        secret: str | None = None,
        news: News | None = None,
    ) -> None:
        super().__init__(app)
        self.pid = os.getpid()
        self.prints_errors = prints_errors
        self._secret = secret
        self._news = news

    def says_errors(self) -> bool:
        """Return True if error output goes to this process's stderr: that of a forked copy has no client."""
        return self.prints_errors or os.getpid() != self.pid

    def environ_of(self, request: Any) -> dict[str, Any]:
        """Return the environ of a request, without the client's `Proxy` header.

        Many programs read HTTP_PROXY as the proxy to use (httpoxy, CVE-2016-5385).
        """
        params = request.params
        params.pop("HTTP_PROXY", None)
        claimed = params.pop("BRIDGE_SECRET", "")
        if self._secret is not None and not hmac.compare_digest(claimed.encode("latin-1"), self._secret.encode()):
            params = {name: value for name, value in params.items() if not name.startswith("BRIDGE_")}
        length = request.body.expect(params.get("CONTENT_LENGTH"))
        environ = {
            **params,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if params.get("HTTPS", "").lower() in ("on", "1") else "http",
            "wsgi.input": BufferedReader(request.body, READ_SIZE if length is None else min(length + 1, READ_SIZE)),
            "wsgi.input_terminated": True,
            "wsgi.errors": request.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if self._news is not None:
            environ[NEWS] = self._news
        self._sanitizeEnv(environ)
        return environ
