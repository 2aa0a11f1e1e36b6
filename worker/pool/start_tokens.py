"""The worker's end of the start tokens of one child.

The child takes the token of a request before it begins the request. If the worker takes the token back, the child
cannot have it any more: the request has not begun and will not begin. The kernel gives each token to one side only,
also while the child is killed. Both sides read from one socket: the worker keeps the end that the child inherits.
"""

import socket
from collections.abc import Iterable

from bridge.child_protocol import TOKEN_SIZE, StartToken, read_tokens, write_tokens
from bridge.in_flight import MOST_IN_FLIGHT


class StartTokens:
    """The tokens of requests that were sent to a child, and have not begun."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that the child inherits."""
        return self._theirs.fileno()

    def put(self, tokens: Iterable[StartToken]) -> bool:
        """Give the child tokens. Return False if it takes no more: then it has none of these."""
        try:
            self._ours.send(write_tokens(tokens))  # so few bytes are sent whole or not at all
        except OSError:
            return False
        return True

    def take_back(self) -> list[StartToken]:
        """Return the tokens that the child has not taken, which it will not get any more."""
        taken = b""
        try:
            # A wait is not possible: the flag is that of this call, and not of the socket, which the child shares.
            while piece := self._theirs.recv(TOKEN_SIZE * MOST_IN_FLIGHT, socket.MSG_DONTWAIT):
                taken += piece
        except OSError:
            pass
        return read_tokens(taken)

    def close(self) -> None:
        """Close both ends. A second call changes nothing."""
        self._ours.close()
        self._theirs.close()
