"""The page below a prefix of a web server in front: its addresses, the sign-in, and its screens."""

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask

from tests.dashboard.page_client import signed_in
from tests.dashboard.page_site import PASSWORDS, page_in_a_pool, site_with_users
from tests.journey.site import Site
from tests.journey.web_servers import nginx_with
from tests.limits import PATIENCE
from tests.ports import free_port

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with users and without a worker."""
    with site_with_users(tmp_path) as site:
        yield site


@pytest.mark.parametrize(("prefix", "written"), [("", ""), ("/bridge", "/bridge"), ("/für alle", "/f%C3%BCr%20alle")])
def test_a_screen_asks_for_itself(app: Flask, prefix: str, written: str) -> None:
    """The address that the page polls, and that of the sign-in with the screen to return to, have the prefix."""
    below = {"SCRIPT_NAME": prefix.encode().decode("latin-1")}  # as WSGI writes it
    path = "/failing?q=a%26b&queue=mail"

    asked = app.test_client().get(path, environ_overrides=below)
    [after] = parse_qs(urlsplit(asked.headers["Location"]).query)["next"]
    assert asked.headers["Location"].startswith(f"{written}/sign-in?")
    assert after == written + path

    form = {"name": "sam", "password": PASSWORDS["sam"], "next": after}
    entered = app.test_client().post("/sign-in", data=form, environ_overrides=below)
    assert entered.headers["Location"] == written + path

    client = app.test_client()
    client.set_cookie("bridge_session", str(_session(app)))
    page = client.get(path, environ_overrides=below).text
    assert re.findall('hx-get="([^"]+)"', page) == [(written + path).replace("&", "&amp;")]


def _session(app: Flask) -> str:
    cookie = signed_in(app, "sam").get_cookie("bridge_session")
    assert cookie is not None
    return cookie.value


async def test_bridge_web_believes_the_prefix_of_its_proxy(site: Site) -> None:
    """After the sign-in comes the screen that was asked for, and it polls its own address."""
    port = free_port()
    web = site.run("bridge-web", "--listen", f"127.0.0.1:{port}", "--proxy")
    await web.says("The page is at")

    def ask(method: str, path: str, body: str | None = None, **headers: str) -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request(method, path, body, {**headers, "X-Forwarded-Prefix": "/bridge"})
        answer = connection.getresponse()
        return answer, answer.read().decode()

    asked, _ = ask("GET", "/failing?q=mail")
    [after] = parse_qs(urlsplit(asked.headers["Location"]).query)["next"]
    entered, _ = ask(
        "POST", "/sign-in", urlencode({"name": "sam", "password": PASSWORDS["sam"], "next": after}), **FORM
    )
    assert entered.headers["Location"] == "/bridge/failing?q=mail"
    _, page = ask("GET", "/failing?q=mail", Cookie=entered.headers["Set-Cookie"].partition(";")[0])
    assert 'hx-get="/bridge/failing?q=mail"' in page


@pytest.mark.long
async def test_a_screen_behind_nginx_and_bridge_pool(site: Site) -> None:
    """The address that a screen polls is one that nginx passes to the page."""
    address = await page_in_a_pool(site)
    location = """
        fastcgi_split_path_info ^(/bridge)(.*)$;
        fastcgi_param SCRIPT_NAME $fastcgi_script_name;
        fastcgi_param PATH_INFO $fastcgi_path_info;
        if ($uri !~ ^/bridge/) { return 404; }
    """
    server = nginx_with("", location, site.directory / "nginx", address, site.environment, kept=0)
    try:
        sent = urlencode({"name": "sam", "password": PASSWORDS["sam"], "next": "/bridge/pool"}).encode()
        entered = server.ask("POST", "/bridge/sign-in", sent, **FORM)
        headers = {name.lower(): value for name, value in entered.headers.items()}
        cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
        page = server.ask("GET", headers["location"], None, **cookie).body.decode()
        [polled] = re.findall('hx-get="([^"]+)"', page)
        again = server.ask("GET", polled, None, **cookie)
        assert (again.status, b'id="live"' in again.body) == (200, True)
    finally:
        server.stop()
