"""Messages of FervoDeferredEventBundle (`Event/Queue/AmqpMessageQueue.php`): lines `key: value`, an empty line, and the
event, serialised by PHP and in base64. Its workers in Ruby and in Java (mq2php before 0.3) send that text to the
dispatcher of the app. Pure.
"""

from datetime import datetime
from urllib.parse import quote_plus

from bridge.foreign_messages.target import ForeignRequest, Target

LONGEST_PARAMETER = 65_000
"""Bytes. The worker in Ruby wrote one record of parameters, which holds no more. A longer event is in the form only."""


def request_of(data: bytes, queue: str) -> ForeignRequest:
    """Return the request: DEFERRED_DATA as a parameter, as the worker in Ruby has it, and as the field of a form, as
    the one in Java has it. Raise `ValueError`."""
    lines, body = _parts(data)
    headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    script = headers.get("dispatch_path", "")
    if not script:
        raise ValueError("the message has no dispatch_path: expected a message of FervoDeferredEventBundle")
    target = Target(script, f"{headers.get('fastcgi_host', '')}:{headers.get('fastcgi_port', '')}")
    form = f"DEFERRED_DATA={quote_plus(body)}".encode()
    return ForeignRequest(target, form, {"DEFERRED_DATA": body} if len(body) <= LONGEST_PARAMETER else {})


def failure_of(data: bytes, queue: str, error: str, now: datetime) -> bytes:
    """Return the message with one more line, `error`, in which no line ends and no colon. Raise `ValueError`."""
    lines, body = _parts(data)
    plain = error.replace(":", "=").replace("\r", " #> ").replace("\n", " #> ")
    return "\n".join([*lines, f"error: {plain}", "", body]).encode("utf-8", "backslashreplace")


def _parts(data: bytes) -> tuple[list[str], str]:
    """Return the lines before the empty one, and the text after it. Raise `ValueError`."""
    head, empty, body = data.decode("utf-8").partition("\n\n")
    if not empty:
        raise ValueError("the message has no empty line: expected a message of FervoDeferredEventBundle")
    return head.split("\n"), body.strip()
