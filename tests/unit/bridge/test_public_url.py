"""The public URL of an app: how it is written, and the CGI parameters that it makes."""

import pytest

from bridge.public_url import NO_PUBLIC_URL, UNKNOWN_HOST, PublicUrl

WRITTEN = [
    ("https://shop.example", PublicUrl("https", "shop.example")),
    ("https://shop.example/", PublicUrl("https", "shop.example")),
    ("http://localhost:8000", PublicUrl("http", "localhost:8000")),
    ("https://shop.example:8443/office/", PublicUrl("https", "shop.example:8443", "/office")),
    ("http://[::1]:8000/a/b", PublicUrl("http", "[::1]:8000", "/a/b")),
]


@pytest.mark.parametrize(("text", "url"), WRITTEN)
def test_a_public_url_is_scheme_host_and_mount(text: str, url: PublicUrl) -> None:
    """A slash at the end is no part of it."""
    assert PublicUrl.parsed(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "shop.example",
            "ftp://shop.example",
            "https://",
            "https://u:p@shop.example",
            "https://shop.example/?a=1",
        ),
        *("https://shop.example/#a", "https://shop.example:x", "https://shöp.example", "https://a b", "https://[::1"),
    ],
)
def test_another_text_is_refused(text: str) -> None:
    """Users, queries and fragments have no place in it."""
    with pytest.raises(ValueError, match=r"expected|Port|Invalid"):
        PublicUrl.parsed(text)


PARAMETERS = [
    (NO_PUBLIC_URL, {"HTTP_HOST": UNKNOWN_HOST, "SERVER_NAME": UNKNOWN_HOST, "SERVER_PORT": "80", "SCRIPT_NAME": ""}),
    (PublicUrl("https", "a.b"), {"HTTP_HOST": "a.b", "SERVER_NAME": "a.b", "SERVER_PORT": "443", "HTTPS": "on"}),
    (PublicUrl("https", "a.b:8443"), {"HTTP_HOST": "a.b:8443", "SERVER_NAME": "a.b", "SERVER_PORT": "8443"}),
    (PublicUrl("http", "[::1]"), {"HTTP_HOST": "[::1]", "SERVER_NAME": "[::1]", "SERVER_PORT": "80"}),
    (PublicUrl("http", "[::1]:81"), {"HTTP_HOST": "[::1]:81", "SERVER_NAME": "[::1]", "SERVER_PORT": "81"}),
    (PublicUrl("http", "a.b", "/m"), {"SCRIPT_NAME": "/m", "PATH_INFO": "/in/x", "REQUEST_URI": "/m/in/x"}),
]


@pytest.mark.parametrize(("url", "expected"), PARAMETERS)
def test_the_parameters_are_those_of_a_web_server(url: PublicUrl, expected: dict[str, str]) -> None:
    """HTTPS is on for https alone; the port is that of the scheme, unless the host has another."""
    parameters = url.parameters("/in/x")

    assert expected.items() <= parameters.items()
    assert ("HTTPS" in parameters) == (parameters["REQUEST_SCHEME"] == "https") == (url.scheme == "https")
