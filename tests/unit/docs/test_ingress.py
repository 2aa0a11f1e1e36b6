"""The curl examples of docs/ingress.md work, and their answers are as shown."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from tests.limits import PATIENCE
from tests.unit.app_adapter.ingress.ingress_site import IngressSite, write_history
from tests.unit.docs.markdown import ROOT

PAGE = ROOT / "docs" / "ingress.md"
EXAMPLES = re.findall(
    r"^```sh\n(curl (?:(?!```).)*)^```\n(?:\n```json\n(.*?)^```$)?", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
)
"""The command lines of each block, and the answer that is shown below it, or nothing."""

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


COUNTING = """curl() { command curl --silent --write-out '%{stderr}%{http_code}\\n' "$@"; }\n"""
"""Makes curl print the status of each answer to standard error."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an ingress whose events are recorded, and whose calls are answered in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("ingress"))
        site = IngressSite()
        write_history(("019e0a4e-5b5c-7c3f-9c1d-0f4a2b6e8d11", "order.paid", "default", 1, "delivered"))
        site.events.on("str.reverse")(lambda event: event.payload["str"][::-1])
        server = make_server("127.0.0.1", 0, site.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        with site.events.testing():
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()
        server.server_close()


@pytest.mark.parametrize(("command", "answer"), EXAMPLES)
def test_an_example_is_answered_as_shown(server: str, tmp_path: Path, command: str, answer: str) -> None:
    """But for the ids."""
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF")
    ran = subprocess.run(
        ["bash", "-ec", COUNTING + command.replace("https://events.example", server)],
        env={**os.environ, "TOKEN": "t-all", "NO_PROXY": "*"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    if answer:
        assert plain(ran.stdout) == plain(answer)
    else:
        assert set(ran.stderr.split()) == {"200"}


def test_there_are_examples() -> None:
    """The search for them finds what the page has."""
    assert sum(command.count("curl ") for command, _ in EXAMPLES) == PAGE.read_text("utf-8").count("\ncurl ")


def plain(text: str) -> Any:
    """Return the JSON of a text with the same id everywhere."""
    return json.loads(ID.sub("ID", text))
