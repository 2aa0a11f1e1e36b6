"""The text of aiormq's errors, the reason why a connection cannot be made, and the error of a silent host."""

import asyncio
import socket
import ssl
from collections.abc import Iterator

from aiormq.exceptions import AMQPConnectionError, AMQPError, ProtocolSyntaxError

_LENGTH_IN_HTTP = int.from_bytes(b"P/1.") + 1
"""The bytes that an AMQP client expects after `HTTP/1.`, because it reads these as the head of a frame."""


class NoAnswer(AMQPConnectionError):
    """A host gave no answer in time: its process may be frozen, or the host is cut off."""


def error_text(error: BaseException) -> str:
    """Return RabbitMQ's own message, or the message of another error; the error's type if there is none."""
    if not isinstance(error, AMQPError):
        return str(error) or type(error).__name__
    return " ".join(str(argument) for argument in error.args if argument is not None) or type(error).__name__


def caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    """Return True if the error, or one that it was translated from, is of this kind."""
    return any(isinstance(each, kind) for each in _chain(error))


def reason_of(error: BaseException) -> str:
    """Return the reason why a connection could not be made, for people: DNS, refused, TLS, another protocol, or no
    answer. For other errors, return their own text."""
    return next(filter(None, map(_reason, _chain(error))), error_text(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _reason(error: BaseException) -> str | None:
    match error:
        case socket.gaierror():
            return f"there is no such host ({error.strerror})"
        case ConnectionRefusedError():
            return "nothing listens there (connection refused)"
        case ssl.SSLCertVerificationError():
            return f"TLS: the certificate is not accepted ({error.verify_message})"
        case ssl.SSLError(reason=str() as reason) if "ALERT" in reason:
            return f"TLS: the other side does not accept this client, and may ask for tls_cert ({reason})"
        case ssl.SSLError():
            return f"TLS: what listens there does not speak TLS as expected ({error.reason or error})"
        case asyncio.IncompleteReadError(expected=expected) if expected == _LENGTH_IN_HTTP:
            return "what listens there speaks HTTP and not AMQP: is that the port of the management?"
        case asyncio.IncompleteReadError() | ConnectionResetError():
            return "the other side closed the connection: it may expect TLS (amqps://) or tls_cert, or be no RabbitMQ"
        case ProtocolSyntaxError():
            return "what listens there speaks another version of AMQP: expected 0-9-1"
        case AMQPError():
            return None  # aiormq's text may quote the error that caused it
        case OSError(strerror=str() as strerror):
            return strerror
    return None
