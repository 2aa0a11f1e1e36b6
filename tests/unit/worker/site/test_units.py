"""systemd units: what is in them, and whether systemd reads them."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.config.settings import load_settings
from worker.site.members import members_of
from worker.site.units import Host, units_of

TOML = """
broker_url = "amqp://localhost/"
namespace = "shop"
publish = "spool"
spool = "/var/lib/shop/spool.db"
grace = "20s"

[pool]
bind = "unix:/run/shop-web/app.sock"
"""


def units(path: Path, toml: str = TOML, directory: str = "/srv") -> dict[str, str]:
    """The units of a site with this bridge.toml."""
    (path / "bridge.toml").write_text(toml)
    settings = load_settings(environ={}, file=str(path / "bridge.toml"))
    members = members_of(settings, "shop:create_app('x', \"y z\", 100%)")
    return dict(units_of(settings, members, Host("root", Path(directory), Path(sys.executable).parent)))


def lines(unit: str, key: str) -> list[str]:
    """The values of a key of a unit, in order."""
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_a_relay_may_write_next_to_the_file_of_an_outbox(tmp_path: Path) -> None:
    """It deletes there what it has published. The worker's app has files of its own."""
    found = units(tmp_path, f'{TOML}\n[stores.shop]\nurl = "sqlite:////srv/data/shop.db"\n')

    assert lines(found["shop-relay.service"], "ReadWritePaths") == ["/srv/data", "/var/lib/shop"]
    assert lines(found["shop-worker.service"], "ReadWritePaths") == ["/var/lib/shop"]


def test_the_units_of_a_site(tmp_path: Path) -> None:
    """A service for each process, which systemd watches, and a target for all."""
    found = units(tmp_path)
    worker = found["shop-worker.service"]

    assert list(found) == ["shop.target", "shop-pool.service", "shop-worker.service", "shop-relay.service"]
    assert lines(found["shop.target"], "Wants") == ["shop-pool.service shop-worker.service shop-relay.service"]
    assert (lines(worker, "Type"), lines(worker, "WatchdogSec")) == (["notify"], ["60"])
    assert lines(worker, "TimeoutStopSec") == ["35"]
    assert lines(worker, "NoNewPrivileges") == lines(worker, "PrivateTmp") == ["yes"]
    assert lines(worker, "ProtectSystem") == ["strict"]
    assert lines(worker, "ReadWritePaths") == ["/var/lib/shop"]
    assert lines(found["shop-pool.service"], "ReadWritePaths") == ["/run/shop-web", "/var/lib/shop"]
    assert not lines(found["shop-relay.service"], "ExecReload")


def test_the_order_of_the_end(tmp_path: Path) -> None:
    """systemd ends services in the opposite order of their start: the pool, then the worker, then the relay."""
    found = units(tmp_path)

    assert lines(found["shop-pool.service"], "After") == [
        "network-online.target shop-worker.service shop-relay.service"
    ]
    assert lines(found["shop-worker.service"], "After") == ["network-online.target shop-relay.service"]


def test_the_words_of_a_command_stay_words(tmp_path: Path) -> None:
    """Quotes, percent signs and spaces of the app's name are those of the command line."""
    (start,) = lines(units(tmp_path)["shop-worker.service"], "ExecStart")

    assert r'''"shop:create_app('x', \"y z\", 100%%)"''' in start


def test_a_directory_that_a_reboot_removes(tmp_path: Path) -> None:
    """It is made before the start, unless it is there, as that of the service's user."""
    pool = units(tmp_path)["shop-pool.service"]

    (make,) = lines(pool, "ExecStartPre")
    assert make.startswith("+/bin/sh -c ")
    assert make.endswith(" sh /run/shop-web root 0755")
    assert not lines(units(tmp_path)["shop-worker.service"], "ExecStartPre")


def test_the_command_that_makes_it(tmp_path: Path) -> None:
    """A directory that is there keeps its mode."""
    (make,) = lines(units(tmp_path)["shop-pool.service"], "ExecStartPre")
    new, old = tmp_path / "new one", tmp_path / "old"
    old.mkdir(mode=0o711)
    for each in (new, old):
        words = [*shlex.split(make.removeprefix("+").replace("$$", "$"))[:-3], str(each), str(os.getuid()), "0755"]
        subprocess.run(words, check=True)

    assert [each.stat().st_mode & 0o777 for each in (new, old)] == [0o755, 0o711]


def test_a_path_with_a_space(tmp_path: Path) -> None:
    """It is one path."""
    found = units(tmp_path, TOML.replace("/var/lib/shop", "/var/lib/my $hop 100%"))

    assert lines(found["shop-worker.service"], "ReadWritePaths") == ['"/var/lib/my $hop 100%%"']


@pytest.mark.parametrize(("directory", "seen"), [("/srv/shop", "yes"), ("/home/shop/app", "read-only")])
def test_an_app_in_a_home_directory(tmp_path: Path, directory: str, seen: str) -> None:
    """A service can read the directory that its app is in, and no other home directory otherwise."""
    (tmp_path / "bridge.toml").write_text("")
    settings = load_settings(environ={}, file=str(tmp_path / "bridge.toml"))
    host = Host("shop", Path(directory), Path("/usr/bin"))

    found = units_of(settings, members_of(settings, "shop:app"), host)

    assert lines(found["bridge-worker.service"], "ProtectHome") == [seen]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
@pytest.mark.parametrize("data", ["/var/lib/shop", "/var/lib/my $hop 100%"])
def test_systemd_reads_them(tmp_path: Path, data: str) -> None:
    """systemd knows each key and each value, and finds the programs."""
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in units(tmp_path, TOML.replace("/var/lib/shop", data)).items():
        (folder / name).write_text(text)

    paths = sorted(map(str, folder.iterdir()))
    verified = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)

    ours = [line for line in verified.stderr.splitlines() if str(folder) in line or "shop" in line]
    assert (ours, verified.returncode) == ([], 0)
