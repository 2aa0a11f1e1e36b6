"""The examples of signals and of events over HTTP, as their docstrings say to run them."""

import json
import shutil
from pathlib import Path

from tests.journey.site import Program, Site, eventually
from tests.lines import whole_lines
from tests.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


async def started(example: str, site: Site) -> str:
    """Run the web app of an example in the site's directory; return its URL."""
    shutil.copytree(EXAMPLES / example, site.directory, dirs_exist_ok=True)
    port = free_port()
    server = site.run("flask", "--app", "app", "run", "--port", str(port))
    await server.says(f"Running on http://127.0.0.1:{port}")
    return f"http://127.0.0.1:{port}"


async def curl(site: Site, *arguments: str) -> str:
    """Run curl; return its output."""
    program = Program(["curl", "--silent", "--show-error", *arguments], site.directory, site.environment)
    assert await program.ended() == 0, program.log
    return program.log


async def test_a_signal_that_is_received_later(here: Site) -> None:
    """A receipt is written for each order that is committed, and for no other."""
    url = await started("signals", here)
    worker, relay = here.worker(app="app:app"), here.run("bridge-relay")
    for email, amount in (("bob@example.org", "-1"), ("ann@example.org", "9.90")):
        await curl(here, f"{url}/orders", "-d", f"email={email}", "-d", f"amount={amount}")

    receipts = here.directory / "receipts.txt"
    await eventually(lambda: bool(whole_lines(receipts)), report=lambda: worker.log + relay.log)
    assert whole_lines(receipts) == ["ann@example.org has paid 9.90 to app"]
    assert await here.letters() == []


async def test_events_over_http(here: Site) -> None:
    """A client with curl sends events, one of them twice, a batch, and a call."""
    made = here.run(
        "bridge-ingress", "token", "demo", "--events", "word.*", "--right", "defer", "--right", "call", "--json"
    )
    assert await made.ended() == 0, made.log
    token = json.loads(made.log)
    here.configure(
        f'[ingress.tokens.demo]\nhash = "{token["hash"]}"\nevents = ["word.*"]\nrights = ["defer", "call"]\n'
    )
    url = await started("ingress", here)
    worker = here.worker(app="app:app")
    await worker.says("ready for events")

    client = Program(
        ["./send.sh"], here.directory, {**here.environment, "TOKEN": token["token"], "URL": f"{url}/bridge"}
    )
    assert await client.ended() == 0, client.log
    assert client.log.splitlines()[-1] == '"olleh"'
    words = here.directory / "words.txt"
    await eventually(lambda: len(whole_lines(words)) >= 4, report=lambda: worker.log)
    assert sorted(whole_lines(words)) == ["hello (app)", "once (app)", "rain (/garden)", "salt (/kitchen)"]
