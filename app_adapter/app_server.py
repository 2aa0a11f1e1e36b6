"""The app under flup, on one connected socket that a child inherits. `child_program` boots it.

    python -P -m app_adapter.app_server --fd N --control M --stacks S APP

A child serves FastCGI until the stream ends. On SIGTERM it finishes the running request and exits.
"""

import os
import socket
import sys
from wsgiref.types import WSGIApplication

from app_adapter.app_state import AppState
from app_adapter.child_program import Channels, main
from app_adapter.flup_connection import FlupConnection
from app_adapter.flup_request import FlupServer
from app_adapter.idle import idle_hooks
from app_adapter.news import News
from app_adapter.start_tokens import StartTokens


def flup_connection(sock: socket.socket, app: WSGIApplication) -> FlupConnection:
    """Return the connection that serves an app on a connected socket."""
    return FlupConnection(sock, FlupServer(app))


def served_connection(channels: Channels, state: AppState) -> FlupConnection:
    """Return the connection on which a child serves an app, with the app's idle hooks, the news to the worker and the
    start tokens of its requests."""

    def write(data: bytes) -> None:
        try:
            os.write(channels.output, data)
        except OSError:
            return  # the pool has ended

    server = FlupServer(state.app, news=News(channels.news))
    tokens = StartTokens(channels.tokens, write)
    return FlupConnection(channels.serve, server, idle_hooks(state.app, state.idles), tokens)


if __name__ == "__main__":
    sys.exit(main(served_connection, flup_connection))
