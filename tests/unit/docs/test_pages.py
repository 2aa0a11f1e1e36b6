"""Each page leads where it says, and is as short as it should be."""

from pathlib import Path

import pytest

from tests.unit.docs.markdown import PAGES, README, ROOT, anchors, links, rows, section, spans

LINKING = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
FOLDERS = ("bridge/", "app_adapter/", "worker/", "dead_letter/", "tests/", "deferred_event_bridge/")


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file of the repository, and an anchor is a heading of that file."""
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_found_from_the_readme() -> None:
    """The README's last table has all of docs/."""
    assert set(PAGES) - {README} <= {(ROOT / link).resolve() for link in links(README)}


def test_the_readme_is_short() -> None:
    """A newcomer has two minutes."""
    assert len(README.read_text("utf-8").splitlines()) <= 250


@pytest.mark.parametrize("page", [*LINKING, ROOT / "Dockerfile"], ids=lambda page: page.name)
def test_nobody_installs_a_name_that_is_not_ours(page: Path) -> None:
    """The package index has no deferred-event-bridge of ours; somebody else may take the name."""
    assert "pip install deferred-event-bridge" not in page.read_text("utf-8")


def test_the_files_that_the_architecture_names_exist() -> None:
    """Each path in a code span, with `*` for any name."""
    named = {span for span in spans(ARCHITECTURE) if span.startswith(FOLDERS)}
    assert len(named) > 40
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


def test_the_figures_are_those_of_the_benchmarks() -> None:
    """`make bench` renews RESULTS.md, and the README's comparison follows it."""
    results = [row for row in rows((ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")) if len(row) > 6]
    figures = {(row[0], row[1]): row for row in results}
    peers = [figures[name, "rabbitmq"] for name in ("this project", "Celery, quorum queue", "Dramatiq")]
    comparison = section(README, "Why not Celery or Dramatiq?")
    table = {row[0]: row[1:] for row in rows(comparison)}

    assert [cell.partition(", ")[0] for cell in table["events/s on RabbitMQ"]] == [row[4] for row in peers]
    p50 = [row[5].partition(" / ")[0] for row in peers]
    assert table["from sending to the handler, p50"] == [f"{milliseconds} ms" for milliseconds in p50]
    confirmed = ("this project", "Celery, quorum queue, confirming", "Dramatiq, confirming")
    sends = [figures[name, "rabbitmq"][6].partition(" / ")[0] for name in confirmed]
    assert table["a confirmed send, p50"] == [f"{milliseconds} ms" for milliseconds in sends]
    assert f"{figures['this project', 'sqlite'][4]} events/s" in comparison
    assert f"{figures['Huey, fsync', 'sqlite'][4]} no-op tasks/s with fsync" in comparison
