"""The example `articles` with the real programs: model events, a method in the pool, and a trigger for `psql`."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from bridge.config.settings import load_settings
from tests.journey.site import PROGRAMS, Site, eventually, site_on_sqlite

EXAMPLE = Path(__file__).parents[2] / "examples" / "articles"


@pytest.fixture
def site(url: str, tmp_path: Path) -> Iterator[Site]:
    """A site with the example on an empty database."""
    site = site_on_sqlite(tmp_path)
    shutil.copytree(EXAMPLE, tmp_path / "articles")
    site.configure(f'[stores.magazine]\nurl = "{url}"\n')
    site.environment["ARTICLES_DATABASE"] = url
    output(site, [str(PROGRAMS / "flask"), "--app", "articles", "init-database"])
    yield site
    site.end()


def output(site: Site, command: list[str], given: str = "") -> str:
    """Run a command in the site's directory; return its output."""
    environment = {**os.environ, **site.environment}
    done = subprocess.run(
        command, input=given, cwd=site.directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def client(site: Site, code: str) -> Any:
    """Make requests of the app in a process of its own, as a web server does; return what the code prints, as JSON."""
    program = f"import json; from articles import app; c = app.test_client(); {code}"
    return json.loads(output(site, [str(PROGRAMS / "python"), "-c", program]) or "null")


def changes(url: str) -> list[str]:
    """Return the list of changes in the database."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return [row.text for row in connection.execute(text("SELECT text FROM change ORDER BY id"))]


@pytest.mark.databases("sqlite")
async def test_an_article_is_published(site: Site, url: str) -> None:
    """Its draft and its publication are events, and the listener lists them; both exactly once."""
    site.run("bridge-relay")
    site.worker(app="articles:app")
    client(site, "c.post('/articles', json={'title': 'News'}); c.post('/articles/1/publish')")

    await eventually(lambda: len(changes(url)) == 2, report=lambda: str(changes(url)))
    found = client(site, "print(json.dumps(c.get('/articles/1').json))")
    assert found["is_public"]
    assert found["changes"][0] == "title:  -> News"
    assert found["changes"][1].startswith("published_at: None -> 20")

    call = [str(PROGRAMS / "bridge-call"), "method.article.publish"]
    assert json.loads(output(site, [*call, '{"identity": 1, "arguments": {"tweet": false}}'])) == {"result": None}
    output(site, [str(PROGRAMS / "bridge-defer"), "method.article.publish", '{"identity": 99}'])
    await eventually(lambda: len(changes(url)) == 3, report=lambda: str(changes(url)))
    letters = await site.letters_at_least(1)
    assert [(each.reason, each.error.message) for each in letters] == [("rejected", "Article 99: the record is gone")]


@pytest.mark.databases("postgres")
async def test_a_row_of_psql_is_an_event(site: Site, url: str) -> None:
    """The same listener runs for what psql writes, by the trigger that the program prints."""
    where = make_url(url)
    psql = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", str(where.host), "-p", str(where.port), "-U", "postgres"]
    psql.append(str(where.database))
    output(site, psql, output(site, [str(PROGRAMS / "bridge-outbox"), "trigger", "article", "--on", "insert,update"]))
    site.run("bridge-relay")
    site.worker(app="articles:app")
    output(site, psql, "INSERT INTO article (title) VALUES ('by psql'); UPDATE article SET title = 'ü'")

    await eventually(lambda: len(changes(url)) == 3, report=lambda: str(changes(url)))
    assert sorted(changes(url)) == ["id:  -> 1", "title:  -> by psql", "title: by psql -> ü"]


def test_the_settings_of_the_example_are_read() -> None:
    """They have the database as a store."""
    assert list(load_settings(environ={}, file=str(EXAMPLE / "bridge.toml")).values.stores) == ["magazine"]
