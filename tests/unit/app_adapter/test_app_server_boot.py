"""The boot of a child, as the pool sees it: the child reports that it is ready, or why it cannot be."""

from pathlib import Path

import pytest

from bridge.child_protocol import Ready
from tests.unit.app_adapter.children import SHOP, Child


def test_a_child_reports_that_it_is_ready(tmp_path: Path) -> None:
    """The report has the values that the worker compares and shows."""
    with Child(tmp_path, SHOP) as child:
        report = child.report

    shared = {"broker_url": f"sqlite:///{tmp_path}/bridge.db", "namespace": "bridge", "replay_path": "/_bridge"}
    assert report == Ready("v7", shared)


@pytest.mark.parametrize("target", ["shop", "shop:app", "shop.py", "factory:create_app()", "factory:create_app('x')"])
def test_the_app_is_named_as_flask_names_it(tmp_path: Path, target: str) -> None:
    """The name is a module, a file or a factory."""
    (tmp_path / "factory.py").write_text("def create_app(name=''):\n    from shop import app\n    return app\n")

    with Child(tmp_path, SHOP, target) as child:
        assert isinstance(child.report, Ready)


def test_an_app_may_have_a_worker_of_its_own(tmp_path: Path) -> None:
    """Only two of our packages are in the process. The app's directory comes before the others."""
    (tmp_path / "worker.py").write_text("answer = 42")

    with Child(tmp_path, SHOP + "\n    from worker import answer") as child:
        assert isinstance(child.report, Ready)


def test_a_module_of_our_name_is_warned_about(tmp_path: Path) -> None:
    """The module cannot be imported in this process, and the warning names it."""
    (tmp_path / "bridge.py").write_text("")

    with Child(tmp_path, SHOP) as child:
        assert isinstance(child.report, Ready)

    assert f"WARNING: {tmp_path}/bridge.py cannot be imported here" in child.errors.read_text()


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


def test_a_wrong_setting_is_reported_without_a_traceback(tmp_path: Path) -> None:
    """The sentence has everything that the reader needs."""
    with Child(tmp_path, SHOP.replace('"BRIDGE_RELEASE"', '"BRIDGE_CHILDREN"')) as child:
        assert child.failed.startswith("children = 'v7' (from Flask's config): expected it in bridge.toml")
        assert "\n" not in child.failed


def test_an_app_that_cannot_call_its_async_listener_cannot_boot(tmp_path: Path) -> None:
    """Otherwise each event of that listener would fail."""
    with Child(tmp_path, SHOP + ASYNC) as child:
        assert child.failed.startswith("the listener 'shop:later' cannot be called: install flask[async]")


@pytest.mark.parametrize(("source", "why"), FAILURES)
def test_an_app_that_cannot_boot_says_why(tmp_path: Path, source: str, why: str) -> None:
    """The message has the traceback or a sentence; the exit code is 1."""
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
    """The message quotes the reply, and names the endpoint that the app must let pass."""
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


def test_a_child_has_the_variables_of_env_files(tmp_path: Path) -> None:
    """As `flask` has them: .env is stronger than .flaskenv, and settings of the bridge count too."""
    (tmp_path / ".flaskenv").write_text("SECRET=weak\nBRIDGE_REPLAY_PATH=/in")
    (tmp_path / ".env").write_text("SECRET='of .env'\nBRIDGE_NAMESPACE=shop")

    with Child(tmp_path, SHOP.replace('"v7"', 'os.environ["SECRET"]')) as child:
        assert isinstance(child.report, Ready)
        assert child.report.release == "of .env"
        assert (child.report.settings["namespace"], child.report.settings["replay_path"]) == ("shop", "/in")


@pytest.mark.parametrize("call", ["app.run()", "app.run(debug=True, port=5000)"])
def test_an_unguarded_app_run_is_named_and_ignored(tmp_path: Path, call: str) -> None:
    """An unguarded `app.run()` is ignored: the child boots, and the code after the call has run."""
    with Child(tmp_path, SHOP + f"\n    {call}\n    app.config['BRIDGE_AFTER'] = 1") as child:
        assert isinstance(child.report, Ready)

    line = len(SHOP.splitlines()) + 2
    assert f"WARNING: {tmp_path}/shop.py, line {line}, calls app.run() while the app is imported" in (
        child.errors.read_text()
    )
