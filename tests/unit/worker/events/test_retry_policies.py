"""A site's own retry policies, which the worker imports."""

from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.queues import Queue
from worker.events.retry_policies import policies_of


@pytest.mark.parametrize(
    ("retry", "why"),
    [
        ("no_such_module:mail", "ModuleNotFoundError: "),
        ("broken_policies:mail", "SyntaxError: "),
        ("json:nothing", "AttributeError: "),
        ("json:dumps", "ValueError: "),
    ],
)
def test_a_setting_that_names_no_policy_is_refused(
    retry: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the setting, the expected form, and the failure of the site's module."""
    (tmp_path / "broken_policies.py").write_text("mail = (")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SettingsError) as error:
        policies_of(Queue("mail", retry=retry))

    message = str(error.value)
    assert message.startswith(f"queues.mail.retry = {retry!r} (from the settings' file): expected 'module:object'")
    assert why in message
