"""A request under flup: its output streams, its environ, and the run of its app by `wsgi_response`."""

import hmac
import os
import traceback
from functools import cached_property
from io import BufferedReader, BytesIO
from typing import Any, BinaryIO
from wsgiref.types import WSGIApplication

from flup.server import fcgi_base as fcgi
from flup.server.fcgi_single import WSGIServer

from app_adapter.descendants import end_if_copy
from app_adapter.error_output import ErrorOutput
from app_adapter.listener_api import NEWS
from app_adapter.news import News
from app_adapter.request_body import RequestBody, stated_length
from app_adapter.wsgi_response import UNHANDLED, ClientGone, Heads, WsgiResponse
from bridge.fastcgi.records import SENT_CONTENT

READ_SIZE = 65_536


class Request(fcgi.Request):  # type: ignore[misc]  # flup has no types
    """A request, and the client of its response. It begins when `take_params` or `take_whole` has been called."""

    def __init__(self, connection: Any, request_id: int, role: int, flags: int) -> None:
        # Not flup's own, which makes streams that this class replaces.
        self._conn, self.server = connection, connection.server
        self.requestId, self.role, self.flags = request_id, role, flags
        self.aborted = False
        self.started = False
        """True if all parameters have arrived."""
        self.params: dict[str, str] = {}
        self.stderr = ErrorOutput(connection, request_id, self.server.says_errors)
        self.whole_body: bytes | None = None
        """The body, if it has arrived together with the parameters."""
        self._begun = False

    def take_whole(self, params: dict[str, str], body: bytes) -> None:
        """Take the parameters and the whole body."""
        self.params, self.whole_body, self.started = params, body, True

    def take_params(self, params: dict[str, str]) -> None:
        """Take the parameters. The body arrives while the app reads it."""
        self.params, self.started = params, True

    @cached_property
    def encoded(self) -> bytearray:
        """The parameters that have arrived. A pair may be split between two records."""
        return bytearray()

    @cached_property
    def body(self) -> RequestBody:
        """The body of a request that has not arrived whole."""
        return RequestBody(self._conn.process_input)

    @property
    def gone(self) -> bool:
        """True if the client is known to have left."""
        return bool(self._conn.gone or self.aborted)

    def has_left(self) -> bool:
        """Look whether the client has left."""
        return self.gone or self._conn.has_hung_up()

    def input(self) -> BinaryIO:
        """Return the body as the app reads it."""
        stated, whole = self.params.get("CONTENT_LENGTH"), self.whole_body
        if whole is not None:
            length = stated_length(stated)
            if length is None or length <= len(whole):
                return BytesIO(whole[:length])
            self.body.add_data(whole)
            self.body.add_data(b"")
        length = self.body.expect(stated)
        return BufferedReader(self.body, READ_SIZE if length is None else min(length + 1, READ_SIZE))

    def run(self) -> None:
        """Run the app. A response that breaks after its first byte has no END_REQUEST, so that no client takes a part
        for the whole."""
        server = self.server
        response = WsgiResponse(self, server.heads.head_of)
        try:
            if self.role in server.roles:
                response.run(server.application, server.environ_of(self))
            else:
                response.ended = True
                self._conn.end_request(self, protocolStatus=fcgi.FCGI_UNKNOWN_ROLE)
        except ClientGone:
            self._conn.end_after_request()
        except BaseException as error:  # SystemExit too: it ends a request, not the child
            end_if_copy(server.pid, error)
            self.stderr.write(traceback.format_exc())
            self._conclude(response)
        finally:
            end_if_copy(server.pid)
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
            self._conn.send_pending()
            self._conn.end_after_request()

    def send(self, data: bytes, *, more: bool) -> None:
        """Send a part of the response."""
        self._begun = True
        write, number = self._conn.write, self.requestId
        if len(data) <= SENT_CONTENT:
            write(fcgi.FCGI_STDOUT, number, data)
        else:
            view = memoryview(data)
            for at in range(0, len(data), SENT_CONTENT):
                write(fcgi.FCGI_STDOUT, number, view[at : at + SENT_CONTENT])
        if not more:
            self._conn.send_pending()

    def end(self) -> None:
        """End the response."""
        if self._begun:
            self._conn.write(fcgi.FCGI_STDOUT, self.requestId, b"")
        self.stderr.close()
        self._conn.end_request(self)


class FlupServer(WSGIServer):  # type: ignore[misc]  # flup has no types
    """The server object that flup's handlers expect. It never listens.

    `prints_errors`: the error output of a request goes to this process's stderr too. `secret`: a request is a replay
    only if it knows this secret. `news`: where listeners tell the worker of their event.
    """

    maxwrite = SENT_CONTENT + fcgi.FCGI_HEADER_LEN

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
        self.heads = Heads()
        self.prints_errors = prints_errors
        self._secret = secret
        self._always: dict[str, Any] = {
            "wsgi.version": (1, 0),
            "wsgi.input_terminated": True,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **({} if news is None else {NEWS: news}),
        }

    def says_errors(self) -> bool:
        """Return True if error output goes to this process's stderr: that of a forked copy has no client."""
        return self.prints_errors or os.getpid() != self.pid

    def environ_of(self, request: Request) -> dict[str, Any]:
        """Return the environ of a request, without the client's `Proxy` header.

        Many programs read HTTP_PROXY as the proxy to use (httpoxy, CVE-2016-5385).
        """
        environ: dict[str, Any] = request.params
        environ.pop("HTTP_PROXY", None)
        claimed = environ.pop("BRIDGE_SECRET", "")
        if self._secret is not None and not hmac.compare_digest(claimed.encode("latin-1"), self._secret.encode()):
            environ = {name: value for name, value in environ.items() if not name.startswith("BRIDGE_")}
        environ.update(self._always)
        environ["wsgi.url_scheme"] = "https" if environ.get("HTTPS", "").lower() in ("on", "1") else "http"
        environ["wsgi.input"] = request.input()
        environ["wsgi.errors"] = request.stderr
        self._sanitizeEnv(environ)
        return environ
