"""A child as the pool sees it boot: it says that it is ready, or why it cannot be."""

from pathlib import Path

import pytest

from tests.unit.app_adapter.children import SHOP, Child


def test_it_says_that_it_is_ready(tmp_path: Path) -> None:
    """The ready message carries what the worker compares and shows."""
    with Child(tmp_path, SHOP) as child:
        ready = child.report["ready"]

    assert ready["boot_seconds"] >= 0
    assert (ready["release"], ready["host"]) == ("v7", "localhost")
    assert ready["settings"] == {
        "broker_url": f"sqlite:///{tmp_path}/bridge.db",
        "namespace": "bridge",
        "replay_path": "/_bridge",
    }


@pytest.mark.parametrize("target", ["shop", "shop:app", "shop.py", "factory:create_app()", "factory:create_app('x')"])
def test_the_app_is_named_as_flask_names_it(tmp_path: Path, target: str) -> None:
    """A module, a file, a factory."""
    (tmp_path / "factory.py").write_text("def create_app(name=''):\n    from shop import app\n    return app\n")

    with Child(tmp_path, SHOP, target) as child:
        assert "ready" in child.report


def test_an_app_may_have_a_worker_of_its_own(tmp_path: Path) -> None:
    """Of our packages only two are in the process; the app's directory comes before the others."""
    (tmp_path / "worker.py").write_text("answer = 42")

    with Child(tmp_path, SHOP + "\n    from worker import answer") as child:
        assert "ready" in child.report


def test_a_module_of_our_name_is_warned_about(tmp_path: Path) -> None:
    """It cannot be imported here, so the app is told which."""
    (tmp_path / "bridge.py").write_text("")

    with Child(tmp_path, SHOP) as child:
        assert "ready" in child.report

    assert f"warning: {tmp_path}/bridge.py cannot be imported here" in child.errors.read_text()


FAILURES = [
    ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    ("raise ValueError('broken at import')", "ValueError: broken at import"),
    ("import sys; sys.exit('usage: shop')", "SystemExit: usage: shop"),
    ("x = 1", "Failed to find Flask application or factory in module 'shop'"),
    ("from flask import Flask; app = Flask('shop')", "events = DeferredEvents(app)"),
]
ASYNC = """
    sys.modules["asgiref"] = None  # as where it is not installed

    @events.on("order.#")
    async def later(event):
        pass
"""


def test_a_setting_that_cannot_be_used_is_said_without_a_traceback(tmp_path: Path) -> None:
    """The sentence has all that is needed."""
    with Child(tmp_path, SHOP.replace('"BRIDGE_RELEASE"', '"BRIDGE_CHILDREN"')) as child:
        assert child.failed.startswith("children = 'v7' (from Flask's config): expected it in bridge.toml")
        assert "\n" not in child.failed


def test_an_async_listener_without_the_means_to_call_it_cannot_boot(tmp_path: Path) -> None:
    """Else each of its events would fail."""
    with Child(tmp_path, SHOP + ASYNC) as child:
        assert child.failed.startswith("the listener 'shop:later' cannot be called: install flask[async]")


@pytest.mark.parametrize(("source", "why"), FAILURES)
def test_an_app_that_cannot_boot_says_why(tmp_path: Path, source: str, why: str) -> None:
    """The message has the traceback or the sentence that helps; the exit code is 1."""
    target = "shop" if source == "x = 1" else "shop:app"

    with Child(tmp_path, source, target) as child:
        assert why in child.failed


WALLS = [
    ("redirect('/login?next=x')", ["status 302", "/login?next=x"]),
    ("Response('welcome, whoever you are')", ["status 200", "welcome, whoever you are"]),
    ("Response('x' * 3_000_000)", ["status 200", "xxx"]),
    ("abort(400, 'no CSRF token')", ["status 400", "no CSRF token"]),
    ("1 / 0", ["status 500", "ZeroDivisionError"]),
]


@pytest.mark.parametrize(("answer", "quoted"), WALLS)
def test_an_app_that_answers_in_the_receivers_place_never_gets_ready(
    tmp_path: Path, answer: str, quoted: list[str]
) -> None:
    """The message quotes the reply, and says what has to let the replay pass."""
    wall = f"""
    from flask import abort, redirect

    @app.before_request
    def wall():
        return {answer}
    """

    with Child(tmp_path, SHOP + wall) as child:
        failed = child.failed

    for part in [*quoted, "'bridge_replay'"]:
        assert part in failed
