"""Which queues a worker serves, and the settings of its group."""

from pathlib import Path

import pytest

from bridge.config.settings import Settings, load_settings
from bridge.config.worker_groups import groups_serving, queues_of_worker, with_group
from bridge.errors import SettingsError

TOML = """
children = 4
[workers.mail]
queues = ["mail"]
children = 2
spare = 0
[workers.all]
[queues.mail]
[queues.default]
"""


@pytest.fixture(name="settings")
def loaded(tmp_path: Path) -> Settings:
    """Settings with two groups and two queues."""
    (tmp_path / "bridge.toml").write_text(TOML)
    return load_settings(environ={"BRIDGE_SPARE": "3"}, file=str(tmp_path / "bridge.toml"))


def names(settings: Settings, named: tuple[str, ...] = (), group: str | None = None) -> list[str]:
    """Return the names of the queues that a worker serves."""
    return [queue.name for queue in queues_of_worker(settings, named, group)]


def test_a_worker_serves_all_queues_or_those_named(settings: Settings) -> None:
    """The command line is stronger than the group, and a group without queues serves all."""
    assert names(settings) == ["mail", "default"]
    assert names(settings, ("default",)) == ["default"]
    assert names(settings, (), "mail") == ["mail"]
    assert names(settings, ("default",), "mail") == ["default"]
    assert names(settings, (), "all") == ["mail", "default"]
    assert groups_serving(settings, "default") == ["all"]


def test_the_settings_of_a_group_are_weaker_than_the_command_line_alone(settings: Settings) -> None:
    """They replace those of the file and of the environment, also with 0."""
    of_group = with_group(settings, "mail")
    assert (of_group.values.children, of_group.values.spare) == (2, 0)
    assert of_group.origin("spare").startswith("[workers.mail] in ")
    line = load_settings(environ={}, file=str(settings.file), command_line={"children": 7})
    assert with_group(line, "mail").values.children == 7


@pytest.mark.parametrize(
    ("named", "group", "message"),
    [
        (("mial",), None, "--queue = 'mial': expected a queue of FILE (did you mean mail?); there are: mail, default"),
        ((), "mial", "--group = 'mial': expected a table [workers.mial] in FILE (did you mean mail?)"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_closest_one(
    settings: Settings, named: tuple[str, ...], group: str | None, message: str
) -> None:
    """It names the option, the value and what there is."""
    with pytest.raises(SettingsError) as raised:
        queues_of_worker(settings, named, group)
    assert message.replace("FILE", str(settings.file)) in str(raised.value)
