"""The page as programs serve it: `bridge-web` from its start to SIGTERM, and `bridge-pool` behind nginx."""

import http.client
import os
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from bridge.console.exit_codes import ExitCode
from deferred_event_bridge.dashboard.guarding import MAX_FORM
from deferred_event_bridge.dashboard.web_cli import main
from tests.dashboard.page_site import PASSWORDS, page_in_a_pool, site_with_users, until
from tests.journey.site import PROGRAMS, Site
from tests.journey.web_servers import nginx
from tests.limits import PATIENCE
from tests.ports import free_port


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with users and without a worker."""
    with site_with_users(tmp_path) as site:
        yield site


async def test_bridge_web_ends_with_0_when_asked_to_stop(site: Site) -> None:
    """At SIGTERM; its log has no error."""
    web = site.run("bridge-web", "--listen", f"127.0.0.1:{free_port()}")
    await web.says("The page is at")

    web.signal(signal.SIGTERM)

    assert await web.ended() == ExitCode.DONE
    assert "Traceback" not in web.log


async def test_a_huge_body_is_refused_before_it_is_read(site: Site) -> None:
    """Nothing of it is stored: the answer comes although the body does not. A form of the largest size is read."""
    port = free_port()
    web = site.run("bridge-web", "--listen", f"127.0.0.1:{port}")
    await web.says("The page is at")

    def status(size: int, body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("POST", "/acts/pause", body, {"Content-Length": str(size)})
        return connection.getresponse().status

    assert status(MAX_FORM + 1, b"") == 413
    assert status(MAX_FORM, b"x" * MAX_FORM) == 401


async def test_without_users_bridge_web_exits_with_2(site: Site) -> None:
    """The message says how to make one."""
    site.configure("")
    web = site.run("bridge-web")

    assert await web.ended() == ExitCode.USAGE
    assert "bridge-web user NAME" in web.log


def test_the_tables_of_a_user_can_be_appended_to_the_settings(site: Site) -> None:
    """As the program writes them to standard output: `bridge-web user ana >> bridge.toml`. A second user brings no
    second secret."""
    site.configure("namespace = 'shop'")
    settings = site.directory / "bridge.toml"
    for name in ("ana", "bob"):
        written = subprocess.run(
            [str(PROGRAMS / "bridge-web"), "user", name],
            input=b"a long password\n",
            cwd=site.directory,
            env={**os.environ, **site.environment},
            capture_output=True,
            check=True,
        )
        settings.write_bytes(settings.read_bytes() + written.stdout)
        assert written.stderr == b""

    dashboard = tomllib.loads(settings.read_text("utf-8"))["dashboard"]
    assert list(dashboard["users"]) == ["ana", "bob"]
    assert len(dashboard["secret"]) >= 32


@pytest.mark.parametrize("name", ["ana@example.org", "ana.lopez", "ana lopez", "a" * 61])
def test_no_user_is_made_that_the_settings_refuse(name: str) -> None:
    """Nothing is printed but what was expected."""
    refused = CliRunner().invoke(main, ["user", name], input="a long password\n")
    assert (refused.exit_code, refused.stdout) == (ExitCode.USAGE, "")
    assert "expected a name of A-Z a-z 0-9 _ -, at most 60 characters" in refused.stderr


@pytest.mark.long
async def test_the_page_behind_nginx_and_bridge_pool(site: Site) -> None:
    """Sign-in, a screen and an act through FastCGI."""
    address = await page_in_a_pool(site)
    server = nginx(site.directory / "nginx", address, site.environment)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        sent = urlencode({"name": "ola", "password": PASSWORDS["ola"]}).encode()
        signed_in = server.ask("POST", "/sign-in", sent, **form)
        assert signed_in.status == 303
        cookie = {"Cookie": next(v for k, v in signed_in.headers.items() if k.lower() == "set-cookie").split(";")[0]}
        until(lambda: b"queue-mail" in server.ask("GET", "/", None, **cookie).body)

        asked = server.ask("GET", "/acts/pause?queue=mail", None, **cookie).body.decode()
        token = re.search(r'name="token" value="([^"]+)"', asked)
        assert token is not None
        act = urlencode({"token": token[1], "why": "away"}).encode()
        assert server.ask("POST", "/acts/pause", act, **form, **cookie).status == 303
        until(lambda: b"paused by ola@page: away" in server.ask("GET", "/", None, **cookie).body)
    finally:
        server.stop()
