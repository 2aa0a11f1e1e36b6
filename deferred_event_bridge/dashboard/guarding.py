"""Guards every request of the page: its size, where it comes from, and the headers of its answer."""

from urllib.parse import urlsplit

from flask import Request, Response, abort

MAX_FORM = 448 * 1024

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def check_origin(request: Request) -> None:
    """End a request that changes something with 403 if a page of another site has sent it, and with 413 if it is large.

    Browsers tell the origin by headers that pages cannot set. A program may send none; it needs a session and a form's
    token all the same.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    if (request.content_length or 0) > MAX_FORM:
        abort(413, f"A form has at most {MAX_FORM} bytes.")
    fetched_from = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if fetched_from is not None:
        foreign = fetched_from not in ("same-origin", "none")
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign:
        abort(403, "This form was sent by a page of another site.")


def add_headers(response: Response) -> Response:
    """Add the headers that keep browsers from running, framing or keeping anything else."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response
