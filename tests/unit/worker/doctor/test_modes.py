"""The doctor's findings about the modes of the site's files."""

import os
from pathlib import Path

import pytest

from bridge.brokers.contract.findings import Finding, FindingState
from bridge.config.settings import load_settings
from tests.root import as_root
from worker.doctor import modes


def examined(folder: Path, toml: str = "", **environ: str) -> list[Finding]:
    """Return the findings about a site whose settings are in this folder."""
    path = folder / "bridge.toml"
    path.write_text(f"{toml}\n")
    return list(modes.examine(load_settings(environ=environ, file=str(path))))


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the private files of a database. Its path is short, as that of a control socket has to be."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    folder.chmod(0o755)
    for part in ("", "-wal", "-shm"):
        (folder / f"bridge.db{part}").touch(0o600)
    return folder


def test_private_files_are_in_order(folder: Path) -> None:
    """So are missing files."""
    assert [each.state for each in examined(folder)] == [FindingState.OK]
    (folder / "bridge.db").unlink()
    assert [each.state for each in examined(folder)] == [FindingState.OK]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o606, 0o601])
@pytest.mark.parametrize("part", ["", "-wal", "-shm"])
def test_a_file_that_others_can_use(folder: Path, part: str, mode: int) -> None:
    """The database and its journal hold events; the finding names the file, its mode and the command."""
    path = folder / f"bridge.db{part}"
    path.chmod(mode)

    (found,) = examined(folder)

    assert found.sentence == f"others can use files with events in them: {path} {mode:04o}"
    assert found.next_step == f"chmod 0600 {path}; or set file_group, if a group shares them"


def test_files_of_a_group(folder: Path) -> None:
    """With `file_group`, the group may use the files, and others may not."""
    group = f"file_group = {os.getegid()}"
    (folder / "bridge.db").chmod(0o660)
    assert [each.state for each in examined(folder, group)] == [FindingState.OK]
    (folder / "bridge.db").chmod(0o664)

    (found,) = examined(folder, group)

    assert found.next_step == f"chmod 0660 {folder}/bridge.db"


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_in_which_everybody_makes_files(folder: Path, mode: int) -> None:
    """Also with the sticky bit: others can make the files that SQLite or a worker is going to make."""
    folder.chmod(mode)

    (found,) = examined(folder)

    assert found.sentence == f"every user of this machine can make files in {folder}: mode {mode:04o}"


def test_the_spool_is_looked_at(folder: Path) -> None:
    """With RabbitMQ, the file with events in it is the spool."""
    (folder / "bridge.db").rename(folder / "spool.db")
    (folder / "spool.db").chmod(0o644)

    (found,) = examined(folder, 'spool = "spool.db"', BRIDGE_BROKER_URL="amqp://shop:secret@localhost/")

    assert f"{folder}/spool.db 0644" in found.sentence


@pytest.mark.parametrize(("url", "wrong"), [("amqp://shop:secret@localhost/", True), ("amqp://localhost/", False)])
def test_settings_with_a_password(folder: Path, url: str, wrong: bool) -> None:
    """A bridge.toml that everybody can read is wrong only if a password is in it."""
    toml = f'broker_url = "{url}"'
    examined(folder, toml)
    (folder / "bridge.toml").chmod(0o644)

    (found,) = examined(folder, toml)

    assert (found.state is FindingState.WRONG) is wrong
    if wrong:
        assert found.sentence.startswith(f"every user of this machine can read {folder}/bridge.toml")
        assert found.next_step == f"chmod o= {folder}/bridge.toml"


def test_a_control_directory_that_others_can_use(folder: Path) -> None:
    """No worker makes its socket there, and bridge-status asks none."""
    (folder / "run" / "bridge").mkdir(parents=True)
    (folder / "run" / "bridge").chmod(0o755)

    (found,) = examined(folder)

    assert found.sentence.startswith(f"bridge-status does not believe the workers in {folder}/run/bridge: ")
    assert found.next_step == f"chmod 0700 {folder}/run/bridge; or another control_directory"


@as_root
def test_a_control_directory_of_another_user(folder: Path) -> None:
    """Its mode is its owner's affair."""
    control = folder / "run" / "bridge"
    control.mkdir(parents=True)
    control.chmod(0o755)
    os.chown(control, 54321, -1)

    (found,) = examined(folder)

    assert found.next_step == "run bridge-doctor as the user of the workers; or another control_directory"
