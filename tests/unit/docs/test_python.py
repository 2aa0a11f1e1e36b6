"""The Python that is shown runs: each page's blocks in order, as one module each, and what they defer is replayed."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask

from bridge.attempt import Error
from bridge.outcome import Rejected, Succeeded
from bridge.queues import Queue
from bridge.retry_policy import GiveUp, ReplayFailed, ReplayTimedOut, Round, Wait
from deferred_event_bridge import DeferredEvents
from tests.unit.docs.markdown import DOCS, README, ROOT, Block, blocks
from worker.events.retry_policies import policies_of

APPS = blocks(README, "python")
FOLLOWED = ("tutorial", "failing-event")
"""Pages of several files: tests/journey/test_tutorial.py and tests/dashboard/test_failing_event.py follow them."""
ONE_MODULE = [page for page in DOCS if blocks(page, "python") and page.stem not in FOLLOWED]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in which modules can be written and imported, with the files that apps make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        module_file = getattr(sys.modules[name], "__file__", None) or ""
        if module_file.startswith(str(tmp_path)):
            del sys.modules[name]


def imported(here: Path, name: str, text: str) -> ModuleType:
    """Write a module and import it."""
    (here / f"{name}.py").write_text(text, "utf-8")
    importlib.invalidate_caches()
    return importlib.import_module(name)


@pytest.mark.parametrize("block", APPS, ids=str)
def test_each_app_of_the_readme_takes_an_account_and_welcomes_it(block: Block, here: Path) -> None:
    """Pasted into a file as it is; the curl line's request is answered, and the event is handled."""
    module = imported(here, "shop", block.text)
    app: Flask = module.app
    events: DeferredEvents = module.events
    with events.testing() as deferred:
        response = app.test_client().post("/accounts", json={"email": "ann@example.org"})
        assert response.status_code == 202
        assert response.json == {"event": deferred[0].id}
        assert [event.name for event in deferred] == ["account.created"]
        assert deferred.replay() == [Succeeded()]


@pytest.mark.parametrize("page", ONE_MODULE, ids=lambda page: page.name)
def test_the_python_of_each_page_runs(page: Path, here: Path) -> None:
    """Its blocks are one module. What it defers is published, into a file; its tests pass."""
    module = page_as_module(here, page)
    for name, function in vars(module).copy().items():
        if name.startswith("test_") and not inspect.signature(function).parameters:  # no fixtures
            function()


def test_the_listeners_of_the_page_about_listening_take_an_account(here: Path) -> None:
    """They have all that they name, and the login wall lets the replay pass, and nobody else."""
    module = page_as_module(here, ROOT / "docs" / "listening.md")
    with module.events.testing() as deferred:
        module.events.defer("account.created", {"email": "ann@example.org"})
        module.events.defer("account.created", {"email": "nobody"})
        outcomes = deferred.replay(check=False)
    assert outcomes[0] == Succeeded()
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].error.message == "not an e-mail address"
    assert module.app.test_client().get("/").status_code == 401


def test_the_extensions_of_the_page_about_them_let_replays_pass(here: Path) -> None:
    """A CSRF check, a redirect to HTTPS, a rate limit, a middleware that copies the environ. Others are held."""
    module = page_as_module(here, ROOT / "docs" / "flask-extensions.md")
    received: list[str] = []
    module.events.on("account.created")(lambda event: received.append(event.id))
    with module.events.testing() as deferred:
        for _ in range(61):
            module.events.defer("account.created", {})
        deferred.replay()
    assert len(received) == 61
    statuses = [module.app.test_client().post("/_bridge/account.created").status_code for _ in range(2)]
    assert 200 not in statuses


def test_the_apps_of_the_factory_of_the_page_call_their_own_listeners(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One extension serves both."""
    caplog.set_level("INFO")
    module = page_as_module(here, ROOT / "docs" / "flask-extensions.md")
    with module.factory_events.testing() as deferred:
        for app in (module.shop, module.office):
            with app.app_context():
                module.factory_events.defer("account.created", {"email": "ann@example.org"})
        deferred.replay()
    assert [record.getMessage() for record in caplog.records if "welcomes" in record.getMessage()] == [
        "shop welcomes ann@example.org",
        "office welcomes ann@example.org",
    ]


def test_the_warm_up_of_the_page_about_the_pool_runs(here: Path) -> None:
    """The extension has it, and it can be called."""
    module = page_as_module(here, ROOT / "docs" / "pool.md")
    [(_, fill_cache)] = module.events.warm_ups.newest()
    fill_cache()


def test_the_policy_of_the_page_about_retries_is_one(here: Path) -> None:
    """The worker imports it by the name that the page's settings have, and asks it."""
    imported(here, "shop_policies", text_of(ROOT / "docs" / "retries.md"))
    policies = policies_of(Queue("mail", retry="shop_policies:mail"))
    an_hour = Round(attempts=3, seconds=3600, waited=30)
    assert isinstance(policies.own.ask(an_hour, ReplayFailed(Error("SmtpDown", ""))), Wait)
    assert policies.own.ask(an_hour, ReplayFailed(Error("ValueError", ""))) == GiveUp(exhausted=False)
    a_day = Round(attempts=30, seconds=25 * 3600, waited=80_000)
    assert policies.own.ask(a_day, ReplayTimedOut(Error("timeout", ""))) == GiveUp(exhausted=True)


def text_of(page: Path) -> str:
    """The page's Python, as one module's text."""
    return "\n".join(block.text for block in blocks(page, "python"))


def page_as_module(here: Path, page: Path) -> ModuleType:
    """The page's Python, imported."""
    return imported(here, f"page_{page.stem.replace('-', '_')}", text_of(page))
