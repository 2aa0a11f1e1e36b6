"""A site's own retry policies, as the worker imports them."""

from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.queues import Queue
from worker.policies import policies_of


@pytest.mark.parametrize(
    ("retry", "why"),
    [
        ("no_such_module:mail", "ModuleNotFoundError: "),
        ("broken_policies:mail", "SyntaxError: "),
        ("json:nothing", "AttributeError: "),
        ("json:dumps", "ValueError: "),
    ],
)
def test_what_is_no_policy_is_named_with_what_was_expected(
    retry: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in the site's module."""
    (tmp_path / "broken_policies.py").write_text("mail = (")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SettingsError) as error:
        policies_of(Queue("mail", retry=retry))

    said = str(error.value)
    assert said.startswith(f"queues.mail.retry = {retry!r} (from the settings' file): expected 'module:object'")
    assert why in said
