"""The reply of the receiver, with which the app cannot tamper: a verdict, or the answer to a call."""

from collections.abc import Iterable
from typing import NamedTuple
from wsgiref.types import StartResponse

from bridge.call_words import ANSWER
from bridge.reply import STATUSES, Verdict, headers_of


class VerdictReply(NamedTuple):
    """A reply of the receiver."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request with this reply."""
        start_response(self.status, list(self.headers))
        return [self.body]


def reply_of(verdict: Verdict) -> VerdictReply:
    """Return the reply of a verdict, with a text for people."""
    text = verdict.kind if verdict.error is None else f"{verdict.kind}: {verdict.error.bounded().message}"
    return _plain(STATUSES[verdict.kind], text, headers_of(verdict))


def _plain(status: str, text: str, headers: Iterable[tuple[str, str]] = ()) -> VerdictReply:
    body = f"{text}\n".encode("utf-8", "backslashreplace")
    plain = ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))
    return VerdictReply(status, [*plain, *headers], body)


NO_VERDICT = _plain("500 Internal Server Error", "the app raised; no verdict")


def reply_with(verdict: Verdict, data: bytes, content_type: str) -> VerdictReply:
    """Return the reply with the answer to a call as its body, and its content type in a header that the app cannot
    set."""
    headers = [("Content-Type", content_type), ("Content-Length", str(len(data))), (ANSWER, content_type)]
    return VerdictReply(STATUSES[verdict.kind], [*headers, *headers_of(verdict)], data)
