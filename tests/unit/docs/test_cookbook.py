"""Each recipe of the cookbook, with its settings, does what it promises."""

import io
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from bridge.outcome import Failed, Overloaded, Rejected, Succeeded
from tests.unit.docs.markdown import ROOT, section
from tests.unit.docs.test_python import here, imported  # noqa: F401  # here is a fixture

PAGE = ROOT / "docs" / "cookbook.md"
TEXT = PAGE.read_text("utf-8")
PREAMBLE = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0]
RECIPES = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(here: Path) -> Load:  # noqa: F811
    """Loads a recipe as a module, in a directory with its settings."""

    def load(heading: str) -> ModuleType:
        text = section(PAGE, heading)
        for settings in re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            (here / "bridge.toml").write_text(settings, "utf-8")
        code = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        name = f"recipe_{re.sub(r'[^a-z]', '_', heading.lower())}"
        needs = "from pathlib import Path\n"  # an earlier recipe of the page has imported it
        return imported(here, name, PREAMBLE + needs + "\n".join(code))

    return load


def test_every_recipe_has_a_test() -> None:
    """A new recipe is named in a test of this file."""
    names = Path(__file__).read_text("utf-8")
    assert [heading for heading in RECIPES if f'load("{heading}")' not in names] == []


def test_a_mail_has_a_link_that_its_reader_can_open(load: Load) -> None:
    """The link has the public URL. The mail's id is that of the event."""
    recipe = load("Mails with links")
    with MailServer() as server, recipe.events.testing() as deferred:
        recipe.app.config.update(MAIL_HOST="127.0.0.1", MAIL_PORT=server.server_address[1])
        event = recipe.events.defer("mail.confirmation", {"email": "ann@example.org", "token": "t17"})
        assert deferred.replay() == [Succeeded()]
    assert deferred[0].queues == ("mail",)
    assert "https://shop.example/confirm/t17" in server.mails[0]
    assert f"<{event}@shop.example>" in server.mails[0]


def test_a_mail_server_that_is_away_fails_the_event(load: Load) -> None:
    """So that it is retried."""
    recipe = load("Mails with links")
    with MailServer() as server:
        port = server.server_address[1]
    recipe.app.config.update(MAIL_HOST="127.0.0.1", MAIL_PORT=port)
    with recipe.events.testing() as deferred:
        recipe.events.defer("mail.confirmation", {"email": "ann@example.org", "token": "t17"})
        [outcome] = deferred.replay(check=False)
    assert isinstance(outcome, Failed)


def test_a_report_is_ordered_awaited_and_read(load: Load) -> None:
    """It can be read at the address that the order was answered with."""
    recipe = load("A report that takes 20 seconds")
    client = client_of(recipe)
    with recipe.events.testing() as deferred:
        address = client.post("/reports", json={"year": 2026}).json["report"]
        assert client.get(address).status_code == 202
        deferred.replay()
    assert client.get(address).text.startswith("2026-01: ")
    assert deferred[0].queues == ("reports",)


@pytest.mark.parametrize(
    ("status", "kind"), [(200, Succeeded), (503, Failed), (429, Overloaded), (404, Rejected), (422, Rejected)]
)
def test_an_api_is_told_of_a_change(load: Load, status: int, kind: type[object]) -> None:
    """Its errors are retried, its limits waited for, its refusals are dead letters."""
    recipe = load("An API that fails now and then")
    seen: list[str | None] = []

    @Request.application
    def api(request: Request) -> Response:
        request.get_data()
        seen.append(request.headers.get("Idempotency-Key"))
        return Response(status=status, headers={"Retry-After": "7"})

    server = make_server("127.0.0.1", 0, api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        recipe.app.config["STOCK_API"] = f"http://127.0.0.1:{server.server_port}/"
        with recipe.events.testing() as deferred:
            event = recipe.events.defer("stock.changed", {"article": 17, "pieces": 3})
            [outcome] = deferred.replay(check=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert isinstance(outcome, kind)
    assert seen == [event]
    if isinstance(outcome, Overloaded):
        assert "7" in repr(outcome)


def test_a_reminder_comes_at_nine_by_the_clock_of_its_user(load: Load) -> None:
    """Also in the night in which the clock changes."""
    recipe = load("Tomorrow at nine")
    berlin = ZoneInfo("Europe/Berlin")
    at = recipe.at_nine(datetime(2026, 3, 28, 12, tzinfo=berlin))
    assert at.astimezone(UTC) == datetime(2026, 3, 29, 7, tzinfo=UTC)
    with recipe.events.testing() as deferred:
        client_of(recipe).post("/reminders", json={"what": "milk"})
        assert deferred[0].at.astimezone(berlin).hour == 9
        deferred.replay()


def test_the_night_bills_each_customer_by_an_event_of_its_own(load: Load) -> None:
    """The event of the schedule is one that a queue takes, and hands out the rest."""
    recipe = load("A job every night")
    with recipe.events.testing() as deferred:
        recipe.events.defer("night.began", {})
        deferred.replay()
        deferred.replay()
    assert [event.name for event in deferred] == ["night.began", *["customer.billed"] * 3]
    assert deferred[1].payload["day"] == datetime.now(UTC).date().isoformat()


def test_a_code_is_more_urgent_than_a_picture(load: Load) -> None:
    """By the event's priority, or by its queue's."""
    recipe = load("Urgent and less urgent events")
    with recipe.events.testing() as deferred:
        client_of(recipe).post("/passwords/forgotten", json={"email": "ann@example.org"})
        client_of(recipe).post("/pictures", json={})
    assert deferred[0].handling.priority == "high"
    assert deferred[0].handling.expires is not None
    assert deferred[1].queues == ("thumbnails",)


def test_a_price_is_the_answer_of_a_call(load: Load) -> None:
    """The listener's result comes back as the page's JSON."""
    recipe = load("A result")
    with recipe.events.testing():
        assert client_of(recipe).get("/price/3").json == {"cents": 300}


def test_the_progress_of_an_album_can_be_read(load: Load) -> None:
    """It ends with all of it."""
    recipe = load("Show the progress")
    with recipe.events.testing() as deferred:
        event = recipe.events.defer("album.uploaded", {"pictures": ["a.png", "b.png"]})
        deferred.replay()
    assert dict(recipe.PROGRESS) == {event: 100}


def test_a_cancelled_reminder_does_not_run(load: Load) -> None:
    """It is left out of the replay."""
    recipe = load("Cancel what waits")
    client = client_of(recipe)
    with recipe.events.testing() as deferred:
        event = client.post("/orders/17/reminder").json["event"]
        assert client.delete(f"/reminders/{event}").status_code == 204
        assert deferred.replay() == []


def test_a_second_click_is_the_same_event(load: Load) -> None:
    """And another order is another one."""
    recipe = load("Somebody clicks twice")
    client = client_of(recipe)
    with recipe.events.testing() as deferred:
        first, second, other = (client.post(f"/orders/{order}/pay").json["event"] for order in (17, 17, 18))
    assert (first == second, first == other, len(deferred)) == (True, False, 2)


def test_the_steps_follow_each_other(load: Load) -> None:
    """Each defers the next, with what it has made."""
    recipe = load("One step after the other")
    with recipe.events.testing() as deferred:
        recipe.events.defer("video.uploaded", {"name": "cat"})
        for _ in range(3):
            deferred.replay()
    assert [event.name for event in deferred] == ["video.uploaded", "video.transcoded", "video.published"]
    assert deferred[2].payload == {"name": "cat", "file": "cat.webm"}


def test_each_reader_gets_a_newsletter(load: Load) -> None:
    """As an event with a key of its own, in the queue with the rate."""
    recipe = load("A newsletter to 10,000 readers")
    with recipe.events.testing() as deferred:
        assert client_of(recipe).post("/newsletters/12/send").json == {"mails": 10_000}
        assert deferred[7].replay() == [Succeeded()]
    assert deferred[7].queues == ("newsletter",)
    assert deferred[7].handling.key == "newsletter-12-reader7@shop.example"


def test_a_big_file_is_stored_and_its_name_deferred(load: Load) -> None:
    """The listener finds it, though it is larger than an event may be."""
    recipe = load("Big files")
    with recipe.events.testing() as deferred:
        answer = client_of(recipe).post("/files", data={"file": (io.BytesIO(b"x" * 2_000_000), "film.webm")})
        assert answer.status_code == 202
        deferred.replay()
    assert list(deferred[0].payload) == ["name"]


def client_of(recipe: ModuleType) -> Any:
    """A client of the recipe's app. What a page answers is whatever the recipe says."""
    return recipe.app.test_client()


class MailServer(socketserver.TCPServer):
    """An SMTP server that keeps the mails which it has taken."""

    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.mails: list[str] = []

    def __enter__(self) -> "MailServer":
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Conversation(socketserver.StreamRequestHandler):
    """A client that sends one mail (RFC 5321)."""

    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self._lines():
            if line.upper() == "DATA":
                self.wfile.write(b"354 go on\r\n")
                self.server.mails.append("\n".join(iter(lambda: next(self._lines()), ".")))
            self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")

    def _lines(self) -> Iterator[str]:
        while line := self.rfile.readline():
            yield line.decode().rstrip("\r\n")
