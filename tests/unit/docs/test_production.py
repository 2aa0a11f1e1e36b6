"""The files of docs/production.md in examples/ are what the page says, and fit the programs."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.config.settings import load_settings
from tests.limits import PATIENCE
from tests.unit.docs.markdown import ROOT, all_blocks
from tests.unit.docs.test_commands import parse

WORKER = ROOT / "examples" / "kubernetes" / "worker.yaml"
SCALING = ROOT / "examples" / "kubernetes" / "scaling.yaml"
UNIT = ROOT / "examples" / "systemd" / "shop-web.service"
PROGRAMS = Path(sys.executable).parent


def documents(file: Path) -> list[Any]:
    """The documents of a YAML file."""
    return list(YAML(typ="safe", pure=True).load_all(file.read_text("utf-8")))


def pod() -> Any:
    """The pod of the Deployment."""
    [deployment] = documents(WORKER)
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    return deployment["spec"]["template"]["spec"]


def test_the_command_of_the_pod_can_be_typed() -> None:
    """The worker takes its options."""
    [container] = pod()["containers"]
    parse(container["command"])


def test_the_environment_of_the_pod_is_settings() -> None:
    """Each value can be read, and the pod has more time to end than the worker takes."""
    [container] = pod()["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    password_file = Path(variables.pop("BRIDGE_BROKER_PASSWORD_FILE"))
    settings = load_settings(environ=variables)
    assert {name.removeprefix("BRIDGE_").lower() for name in variables} <= set(settings.origins)
    assert pod()["terminationGracePeriodSeconds"] > settings.values.grace.total_seconds()
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    assert str(password_file.parent) in mounts


def test_the_probes_ask_for_pages_of_the_worker() -> None:
    """At the port of its setting `http`."""
    [container] = pod()["containers"]
    [port] = container["ports"]
    [http] = [each["value"] for each in container["env"] if each["name"] == "BRIDGE_HTTP"]
    assert http.endswith(f":{port['containerPort']}")
    pages = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: (page["path"], page["port"]) for name, page in pages.items()} == {
        "startupProbe": ("/livez", port["name"]),
        "livenessProbe": ("/livez", port["name"]),
        "readinessProbe": ("/readyz", port["name"]),
    }


def test_keda_counts_the_queues_that_there_are() -> None:
    """All lanes of the default queue, of the Deployment of the workers."""
    authentication, scaled = documents(SCALING)
    triggers = scaled["spec"]["triggers"]
    names = Names("bridge")
    assert {each["metadata"]["queueName"] for each in triggers} == {names.queue("default", lane) for lane in LANES}
    assert {each["authenticationRef"]["name"] for each in triggers} == {authentication["metadata"]["name"]}
    assert scaled["spec"]["scaleTargetRef"]["name"] == documents(WORKER)[0]["metadata"]["name"]


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_every_yaml_of_the_pages_can_be_read(block: Any) -> None:
    """It is YAML with something in it."""
    assert YAML(typ="safe", pure=True).load(block.text)


def unit_lines(key: str) -> list[str]:
    """The values of a key of the unit."""
    lines = UNIT.read_text("utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def test_gunicorn_takes_the_options_of_the_unit(tmp_path: Path) -> None:
    """It checks its configuration with them, and imports an app."""
    (tmp_path / "shop.py").write_text("from flask import Flask\napp = Flask(__name__)\n", "utf-8")
    [command] = unit_lines("ExecStart")
    _, *options = shlex.split(command)
    checked = [sys.executable, "-m", "gunicorn", "--check-config", *options]
    ran = subprocess.run(checked, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    """Without a complaint, where the program, the user and the directory exist."""
    text = UNIT.read_text("utf-8").replace("/srv/shop/.venv/bin", str(PROGRAMS)).replace("User=shop", "User=root")
    (tmp_path / UNIT.name).write_text(text.replace("=/srv/shop\n", f"={tmp_path}\n"), "utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / UNIT.name)], capture_output=True, text=True, check=False
    )
    assert UNIT.name not in verified.stderr, verified.stderr
