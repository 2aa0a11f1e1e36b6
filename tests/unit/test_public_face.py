"""The package `deferred_event_bridge`: its public names, and its error if a module of the app hides a package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import app_adapter
import deferred_event_bridge
from deferred_event_bridge.hidden_packages import IN_APP, PACKAGES, ROOT, hidden_packages
from tests.limits import PATIENCE

PROGRAMS = Path(sys.executable).parent
APP = """
from flask import Flask
from deferred_event_bridge import DeferredEvents
app = Flask("shop")
DeferredEvents(app)
"""
FROM_APP_ADAPTER = APP.replace("deferred_event_bridge", "app_adapter")


def ended(directory: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this directory until it ends."""
    return subprocess.run(
        command,
        cwd=directory,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def hide(directory: Path, name: str) -> Path:
    """Create a module of this name in the directory: `app_adapter` as a package, any other as a file."""
    if name == "app_adapter":
        (directory / name).mkdir()
        (directory / name / "__init__.py").touch()
        return directory / name
    (directory / f"{name}.py").touch()
    return directory / f"{name}.py"


def test_the_public_names_are_those_of_the_app_adapter() -> None:
    """The package has the same names and objects as `app_adapter`."""
    assert set(deferred_event_bridge.__all__) == set(app_adapter.__all__)
    assert set(deferred_event_bridge.__all__) <= set(dir(deferred_event_bridge))
    for name in deferred_event_bridge.__all__:
        assert getattr(deferred_event_bridge, name) is getattr(app_adapter, name)


def test_another_name_is_an_error() -> None:
    """A misspelt name raises `AttributeError`."""
    with pytest.raises(AttributeError, match="has no attribute 'differ'"):
        deferred_event_bridge.differ  # noqa: B018  # the access raises


@pytest.mark.parametrize("module", ["deferred_event_bridge", "app_adapter"])
def test_a_web_process_imports_no_part_of_the_programs(module: str) -> None:
    """A web process does not import the command lines and their libraries, which cost time and memory."""
    code = f"import json, sys\nfrom {module} import defer\nprint(json.dumps(list(sys.modules)))"

    imported = set(json.loads(ended(ROOT, sys.executable, "-c", code).stdout))

    assert "app_adapter.defer" in imported
    assert not imported & {"rich", "bridge.console", "worker", "dead_letter", "bridge.logger"}


@pytest.mark.parametrize("name", IN_APP)
@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-c", "import shop"),
        (str(PROGRAMS / "flask"), "--app", "shop", "routes"),
        (str(PROGRAMS / "gunicorn"), "--check-config", "shop:app"),
    ],
    ids=["python", "flask", "gunicorn"],
)
def test_a_web_process_names_the_file_that_hides_a_package(tmp_path: Path, name: str, command: tuple[str, ...]) -> None:
    """The error names the file, the package that it hides, and the remedy, instead of "No module named"."""
    (tmp_path / "shop.py").write_text(APP)
    by = hide(tmp_path, name)

    result = ended(tmp_path, *command)

    assert result.returncode != 0
    assert f"{by} hides the package '{name}' of deferred-event-bridge, which is in {ROOT}: rename it" in result.stderr
    assert "No module named" not in result.stderr


def test_an_import_from_the_app_adapter_names_the_file_too(tmp_path: Path) -> None:
    """An app that imports from `app_adapter` gets the same error."""
    (tmp_path / "shop.py").write_text(FROM_APP_ADAPTER)
    by = hide(tmp_path, "bridge")

    assert f"{by} hides the package 'bridge'" in ended(tmp_path, sys.executable, "-c", "import shop").stderr


@pytest.mark.parametrize("name", ["dead_letter", "worker"])
def test_an_app_may_have_modules_of_the_programs_names(tmp_path: Path, name: str) -> None:
    """An app's own `worker.py` or `dead_letter.py` is no error, because web processes do not import those packages."""
    (tmp_path / "shop.py").write_text(APP)
    hide(tmp_path, name)

    result = ended(tmp_path, sys.executable, "-c", f"import shop, {name}; print({name}.__file__)")

    assert (result.stdout, result.stderr) == (f"{tmp_path}/{name}.py\n", "")


@pytest.mark.parametrize(
    ("program", "name"),
    [("bridge-worker", name) for name in (*IN_APP, "worker")]
    + [("bridge-dlq", "dead_letter"), ("bridge-defer", "app_adapter"), ("bridge-doctor", "bridge")],
)
def test_a_program_names_the_file_that_hides_a_package(tmp_path: Path, program: str, name: str) -> None:
    """If PYTHONPATH puts the app's directory first, a program exits with 2 and one line that names the file."""
    by = hide(tmp_path, name)

    result = ended(tmp_path, str(PROGRAMS / program), "--version", PYTHONPATH=str(tmp_path))

    assert result.returncode == 2
    assert result.stderr.startswith(f"Error: {by} hides the package '{name}' of deferred-event-bridge")
    assert result.stderr.count("\n") == 1


def test_a_program_ignores_a_module_that_hides_a_package_it_does_not_need(tmp_path: Path) -> None:
    """An app with a `worker.py` can use bridge-defer."""
    hide(tmp_path, "worker")

    assert ended(tmp_path, str(PROGRAMS / "bridge-defer"), "--version", PYTHONPATH=str(tmp_path)).returncode == 0


def test_modules_and_directories_of_modules_hide_a_package(tmp_path: Path) -> None:
    """A module and a directory of modules hide a package. A directory of other files and the package itself do not."""
    (tmp_path / "bridge.py").touch()
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "jobs.py").touch()
    (tmp_path / "dead_letter").mkdir()
    (tmp_path / "dead_letter" / "letters.txt").touch()

    found = hidden_packages(PACKAGES, [str(tmp_path)])

    assert [(hidden.name, hidden.by) for hidden in found] == [
        ("bridge", tmp_path / "bridge.py"),
        ("worker", tmp_path / "worker"),
    ]
    assert hidden_packages(PACKAGES, [str(ROOT)]) == hidden_packages(PACKAGES) == []
