"""Real web servers as private, unprivileged processes in front of a FastCGI server: nginx, lighttpd and cgi-fcgi.

Each has its own directory and a free port. Each ends with the site whose environment it was started with.
"""

import grp
import http.client
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config.foreign_pool import Address
from tests.limits import PATIENCE
from tests.ports import free_port

MAX_BODY = 100 * 1024**2
PARAMS = "/etc/nginx/fastcgi_params"
"""The parameters that CGI requires, in a file of nginx's package."""


@dataclass(frozen=True)
class Answer:
    """The response of a web server."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class WebServer:
    """A running web server on a port of 127.0.0.1."""

    def __init__(self, command: list[str], directory: Path, port: int, environment: Mapping[str, str]) -> None:
        self.name = command[0]
        self.port = port
        self.log = directory / "server.log"
        # nginx overwrites its environment with its process title, so the guard cannot find it.
        dies_with_the_test_run = ["setpriv", "--pdeathsig", "TERM"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*dies_with_the_test_run, program(command[0]), *command[1:]],
                cwd=directory,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        self._await_port()

    def stop(self) -> None:
        """End the server and its worker processes."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the server."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request on a new connection; return the whole response."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def _await_port(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
                time.sleep(0.02)
            else:
                return


def nginx(
    directory: Path, upstream: Address, environment: Mapping[str, str], further: str = "", *, keep: bool = False
) -> WebServer:
    """Start nginx in front of a FastCGI server, with `further` directives for `location`; with `keep`, it keeps its
    connections to that server."""
    http = f"client_max_body_size {MAX_BODY}; underscores_in_headers on;"
    location = f"""
        fastcgi_param SCRIPT_NAME "";
        fastcgi_param PATH_INFO $uri;
        fastcgi_read_timeout {PATIENCE:g};
        fastcgi_max_temp_file_size 0;
        {further}
    """
    return nginx_with(http, location, directory, upstream, environment, kept=16 if keep else 0)


def nginx_with(
    http: str, location: str, directory: Path, upstream: Address, environment: Mapping[str, str], *, kept: int
) -> WebServer:
    """Start nginx in front of a FastCGI server, with these additional directives for `http` and `location`. nginx keeps
    `kept` connections to the server, or opens a new one for each request if `kept` is 0."""
    directory.mkdir(exist_ok=True)
    port = free_port()
    keeping = (f"keepalive {kept};", "fastcgi_keep_conn on;") if kept else ("", "")
    (directory / "nginx.conf").write_text(f"""
        {nginx_user()}
        pid {directory}/nginx.pid;
        worker_processes 1;
        error_log stderr warn;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            {"".join(f"{kind}_temp_path {directory}/{kind};" for kind in _TEMPORARY)}
            {http}
            upstream app {{ server {upstream}; {keeping[0]} }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    include {PARAMS};
                    fastcgi_pass app;
                    {keeping[1]}
                    {location}
                }}
            }}
        }}
    """)
    command = ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]
    return WebServer(command, directory, port, environment)


def lighttpd(directory: Path, upstream: Address, environment: Mapping[str, str]) -> WebServer:
    """Start lighttpd in front of a FastCGI server."""
    directory.mkdir()
    port = free_port()
    where = (
        f'"socket" => "{upstream.path}"' if upstream.path else f'"host" => "{upstream.host}", "port" => {upstream.port}'
    )
    (directory / "lighttpd.conf").write_text(f"""
        server.modules = ("mod_fastcgi")
        server.document-root = "{directory}"
        server.upload-dirs = ("{directory}")
        server.bind = "127.0.0.1"
        server.port = {port}
        server.stream-response-body = 1
        server.max-request-size = {MAX_BODY // 1024}
        server.http-parseopts = ("header-strict" => "disable")
        fastcgi.server = ("/" => (({where}, "check-local" => "disable", "fix-root-scriptname" => "enable")))
    """)
    return WebServer(["lighttpd", "-D", "-f", str(directory / "lighttpd.conf")], directory, port, environment)


def cgi_fcgi(address: Address, path: str, **parameters: str) -> bytes:
    """Send a GET by libfcgi's own client; return the CGI reply."""
    where = address.path or f"{address.host}:{address.port}"
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "REQUEST_URI": path, "QUERY_STRING": "", "SCRIPT_NAME": ""}
    server = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}
    return subprocess.run(
        [program("cgi-fcgi"), "-bind", "-connect", where],
        env={**request, **server, **parameters},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    ).stdout


def program(name: str) -> str:
    """Return the path of a server's program. Debian installs servers in directories that are only on root's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    assert found is not None, f"{name}: not found; make servers installs it"
    return found


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx_user() -> str:
    """Return the directive that lets nginx's workers run as this user. Only root needs it."""
    if os.getuid() != 0:
        return ""
    return f"user {pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name};"
