"""The example of Sidekiq, as its docstring says to run it, with a real Sidekiq."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journey.site import Program, Site, eventually, site_on_sqlite
from tests.limits import PATIENCE
from tests.lines import whole_lines
from tests.ports import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "sidekiq"
HELD = "bridge:sidekiq:python:held"


@pytest.fixture
def site(url: str, tmp_path: Path) -> Iterator[Site]:
    """A site that is the example, with this Redis in the place of the machine's own."""
    site = site_on_sqlite(tmp_path)
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    settings = (EXAMPLE / "bridge.toml").read_text()
    assert "redis://127.0.0.1:6379/0" in settings
    site.configure(settings.replace("redis://127.0.0.1:6379/0", url))
    site.environment.update(REDIS_URL=url, LANG="C.UTF-8")
    yield site
    site.remove()


async def command(site: Site, *words: str) -> str:
    """Run a command of another project to its end; return its output."""
    program = Program(words, site.directory, site.environment)
    assert await program.ended() == 0, program.log
    return program.log


async def test_a_shop_of_two_languages(site: Site, client: Any) -> None:
    """An event of Flask is a job of Ruby, a job of Ruby is an event of Flask, and each side runs only what is its
    own."""
    port = free_port()
    web = site.run("flask", "--app", "app", "run", "--port", str(port))
    await web.says(f"Running on http://127.0.0.1:{port}")
    worker, relay = site.worker(app="app:app"), site.run("bridge-relay")
    sidekiq = Program(["sidekiq", "-r", "./invoices.rb"], site.directory, site.environment)

    def logs() -> str:
        return "\n".join(program.log for program in (web, worker, relay, sidekiq))

    answer = await command(
        site, "curl", "-sS", f"http://127.0.0.1:{port}/orders/17/paid", "-d", "email=ann@example.org"
    )
    await command(site, "ruby", "-r", "./mail.rb", "-e", 'MailJob.perform_async("bob@example.org", "Welcome")')

    mails = site.directory / "mails.txt"
    await eventually(lambda: len(whole_lines(mails)) >= 2, PATIENCE, logs)
    await eventually(lambda: not client.hlen(HELD), PATIENCE, logs)
    assert answer.strip() == "{}"
    assert sorted(whole_lines(mails)) == ["to ann@example.org: Your invoice of order 17", "to bob@example.org: Welcome"]
    assert whole_lines(site.directory / "invoices.txt") == ["invoice of order 17"]
    assert not client.exists("queue:default", "queue:python", "retry")
    assert await site.letters() == []
